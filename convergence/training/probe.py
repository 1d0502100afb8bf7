"""What goes on inside a network at one moment of its training, layer by layer.

Pure functions of one lane and its state, compiled apart from the steps: looking changes no bit of a
trial. Rows are the trial's first training rows, inputs as it sees them but without added noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from convergence.models.base import Path, Watched, leaf_path
from convergence.randomness import wrap
from convergence.training.fingerprint import mix
from convergence.training.program import Program, prepared_inputs, prepared_targets
from convergence.training.state import Lane, Shared, TrialState
from convergence.training.step import batch_loss, global_norm

Array = jax.Array
PIECES, PIECE = 8, 32  # the rows looked at, in pieces whose gradients are compared
END = 0.01  # of a bounded non-linearity's range: a unit so near to an end is saturated


class Probe(NamedTuple):
    """One trial at one moment.

    Attributes:
        loss: float32, mean over the rows.
        activation: float32[layers] root mean square of what each layer hands on: hidden units
            after their non-linearity where the model tells them, else the layer's product.
        dead: float32[layers] share of hidden units that have one value on all rows; NaN where
            units are not told.
        saturated: float32[layers] share of values within `END` of the range's ends; NaN where
            the non-linearity has none.
        distinct: int32[layers] hidden units whose values differ from every other unit's of the
            layer, a set of equal ones counted once; 0 where units are not told.
        gradient: float32[groups] root mean square of the loss' gradient by each group's weights.
        weight: float32[groups] Euclidean norm of each group's weights.
        update: float32[groups] Euclidean norm of the next step's change, over `weight`.
        scatter: float32, the trace of the covariance of a single row's gradient.
        signal: float32, the squared norm of the expected gradient, unbiased: may fall below 0.
    """

    loss: Array
    activation: Array
    dead: Array
    saturated: Array
    distinct: Array
    gradient: Array
    weight: Array
    update: Array
    scatter: Array
    signal: Array


def kernel_groups(params: Any) -> dict[str, tuple[Path, ...]]:
    """The kernels of a model (leaves with two axes or more) by the layer that holds them."""
    found: dict[str, tuple[Path, ...]] = {}
    for where, leaf in jax.tree_util.tree_leaves_with_path(params):
        path = leaf_path(where)
        if len(leaf.shape) >= 2:
            name = "/".join(path[:-1]) or path[-1]
            found[name] = (*found.get(name, ()), path)
    return found


def look_rows(lane: Lane) -> Array:
    """int32[PIECES * PIECE]: the trial's first training rows, over again where there are fewer."""
    places = jnp.arange(PIECES * PIECE, dtype=jnp.int32) % jnp.maximum(lane.train_count, 1)
    return jnp.asarray(lane.rows)[places]


def mean_loss(
    program: Program, lane: Lane, shared: Shared, params: Any, model_state: Any, rows: Array
) -> Array:
    """The training loss of some rows, without dropout.

    A model that carries statistics (batch normalisation) uses those of the rows themselves: the
    running ones belong to the params that a trial went through, and to no point between them.
    """
    x = prepared_inputs(program, lane, shared, rows, jnp.float32(0))
    y = prepared_targets(program, lane, jnp.asarray(lane.targets)[rows])
    batchwise = bool(jax.tree.leaves(model_state))
    outputs, _ = program.algorithm.model.apply(
        params,
        model_state,
        x,
        train=batchwise,
        key=wrap(lane.keys["dropout"])
        if batchwise and program.algorithm.model.has_dropout
        else None,
        dropout=jnp.float32(0),
    )
    return batch_loss(program.algorithm.losses, lane.loss, outputs, y, lane.hyper)


def _groups_squares(groups: dict[str, tuple[Path, ...]], tree: Any) -> Array:
    """float32[groups]: sum of squares over each group's leaves."""
    leaves = {leaf_path(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    told = [sum(jnp.sum(jnp.square(leaves[path])) for path in paths) for paths in groups.values()]
    return jnp.stack(told)


def _distinct(values: Array) -> Array:
    """int32: columns of [n, units] that differ in some bit, equal ones counted once."""
    bits = jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.uint32)
    salt = mix(jnp.arange(values.shape[0], dtype=jnp.uint32))[:, None]
    words = [jnp.sort(jnp.sum(mix(bits ^ salt ^ jnp.uint32(k)), axis=0)) for k in (0, 0x5BD1E995)]
    # Two sums, each sorted by itself: as many are distinct as the larger count says.
    counts = [1 + jnp.sum(one[1:] != one[:-1], dtype=jnp.int32) for one in words]
    return jnp.maximum(*counts)


def _units(told: Watched, ends: tuple[float, float] | None) -> tuple[Array, Array, Array, Array]:
    nan = jnp.float32(jnp.nan)
    rows: list[tuple[Array, Array, Array, Array]] = []
    for place, layer in enumerate(told.layers):
        active = told.active.get(f"active_{place}")
        values = layer.product if active is None else active
        size = jnp.sqrt(jnp.mean(jnp.square(values)))
        if active is None:
            rows.append((size, nan, nan, jnp.int32(0)))
            continue
        flat = active.reshape(-1, active.shape[-1])
        dead = jnp.mean((flat == flat[:1]).all(axis=0).astype(jnp.float32))
        near = nan
        if ends is not None:
            low, high = ends
            margin = END * (high - low)
            near = jnp.mean(((flat < low + margin) | (flat > high - margin)).astype(jnp.float32))
        rows.append((size, dead, near, _distinct(flat)))
    columns = [jnp.stack(column) for column in zip(*rows)]
    return columns[0], columns[1], columns[2], columns[3]


def probe(
    program: Program,
    lane: Lane,
    shared: Shared,
    state: TrialState,
    after: TrialState,
    ends: tuple[float, float] | None,
) -> Probe:
    """What one trial's state tells.

    Args:
        after: the state one step on (or the same one, where the trial has ended: then there is no
            update).
        ends: of the hidden units' range, where they have one.
    """
    algorithm = program.algorithm
    unpack, model_state = algorithm.packing.unpack, state.train.model_state
    params, later = unpack(state.train.params), unpack(after.train.params)
    rows = look_rows(lane)
    groups = kernel_groups(params)

    def piece(total: Any, some: Array) -> tuple[Any, tuple[Array, Array]]:
        value, grads = jax.value_and_grad(
            lambda p: mean_loss(program, lane, shared, p, model_state, some)
        )(params)
        square = jnp.square(global_norm(grads))
        return jax.tree.map(jnp.add, total, grads), (value, square)

    start = jax.tree.map(jnp.zeros_like, params)
    total, (losses, squares) = jax.lax.scan(piece, start, rows.reshape(PIECES, PIECE))
    grads = jax.tree.map(lambda leaf: leaf / PIECES, total)
    whole = jnp.square(global_norm(grads))
    scatter = (jnp.mean(squares) - whole) * PIECES / (PIECES - 1)  # of a piece's mean gradient
    sizes = _group_sizes(groups, params)
    weight = jnp.sqrt(_groups_squares(groups, params))
    moved = jnp.sqrt(_groups_squares(groups, jax.tree.map(jnp.subtract, later, params)))
    count = len(groups)
    empty = jnp.full((count,), jnp.nan, jnp.float32)
    told = (empty, empty, empty, jnp.zeros((count,), jnp.int32))
    if algorithm.model.watch is not None:
        x = prepared_inputs(program, lane, shared, rows, jnp.float32(0))
        told = _units(algorithm.model.watch(params, model_state, x), ends)
    return Probe(
        jnp.mean(losses),
        *told,
        gradient=jnp.sqrt(_groups_squares(groups, grads) / sizes),
        weight=weight,
        update=moved / weight,
        scatter=PIECE * scatter,
        signal=whole - scatter / PIECES,
    )


def _group_sizes(groups: dict[str, tuple[Path, ...]], params: Any) -> Array:
    leaves = {leaf_path(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return jnp.array([sum(leaves[path].size for path in g) for g in groups.values()], jnp.float32)


def layer_names(program: Program, params: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of a `Probe`'s layers and of its groups, from the shapes of a model's params."""
    groups = tuple(kernel_groups(params))
    model = program.algorithm.model
    if model.watch is None:
        return groups, groups
    state = model.form(program.shape)[1]
    x = jax.ShapeDtypeStruct((2, *program.shape), jnp.float32)
    names: list[str] = []

    def seen(p: Any, s: Any, rows: Any) -> Array:
        assert model.watch is not None
        told = model.watch(p, s, rows)
        names.extend(layer.name for layer in told.layers)
        return told.outputs

    jax.eval_shape(seen, params, state, x)
    return tuple(names), groups
