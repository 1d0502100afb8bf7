"""What a trial's model says of rows: its scores and its outputs, some rows at a time.

Pure functions of one lane, mapped over lanes by `population` and, for new rows, by `forward`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from convergence import metrics as metric_sums
from convergence.training.program import Program, prepared_inputs, prepared_targets
from convergence.training.state import Lane, Shared, Trained, TrialState

CHUNK = 32  # rows evaluated at once: what is computed of more leaves the cache


def trained(program: Program, state: TrialState) -> Trained:
    """What predicts of a trial's state, the params as the model's own tree."""
    train, algorithm = state.train, program.algorithm
    held = algorithm.optimizer.eval_params(train.params, train.opt_state)
    return Trained(algorithm.packing.unpack(held), train.model_state)


def _chunks(program: Program, lane: Lane, shared: Shared, model: Trained, noise: jax.Array) -> Any:
    """A function that gives the outputs for CHUNK rows, with so much noise on the inputs."""
    apply = program.algorithm.model.apply

    def outputs(rows: jax.Array) -> jax.Array:
        x = prepared_inputs(program, lane, shared, rows, noise)
        out, _ = apply(
            model.params, model.model_state, x, train=False, key=None, dropout=jnp.float32(0)
        )
        return out

    return outputs


def evaluate(
    program: Program,
    lane: Lane,
    shared: Shared,
    state: TrialState,
    rows: jax.Array,
    count: jax.Array,
    targets: jax.Array,
    noise: jax.Array,
) -> dict[str, jax.Array]:
    """Metrics of the model on `count` of the given rows, against these targets (of all rows).

    Args:
        rows: int32[n], n a multiple of CHUNK; entries from `count` on are padding.
        targets: [all rows] in the target's own unit.
        noise: float32, size of the noise on the inputs.

    Returns:
        float32 scalars by metric name.
    """
    outputs = _chunks(program, lane, shared, trained(program, state), noise)
    unit = 1.0 / lane.y_scale

    def part(index: jax.Array) -> dict[str, jax.Array]:
        here = jax.lax.dynamic_slice(rows, (index * CHUNK,), (CHUNK,))
        weight = (index * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32) < count).astype(jnp.float32)
        told = prepared_targets(program, lane, targets[here])
        scores = metric_sums.per_row(program.task, outputs(here), told, lane.y_mean, unit)
        values = told.astype(jnp.float32) * unit
        scores |= {"count": jnp.ones_like(weight), "target": values, "square": values**2}
        return {name: jnp.sum(jnp.where(weight > 0, v, 0)) for name, v in scores.items()}

    shapes = jax.eval_shape(part, jnp.zeros((), jnp.int32))
    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def body(carry: Any) -> Any:
        index, total = carry
        return index + 1, jax.tree.map(jnp.add, total, part(index))

    last = (count + CHUNK - 1) // CHUNK
    begin = (jnp.zeros((), jnp.int32), start)
    _, total = jax.lax.while_loop(lambda carry: carry[0] < last, body, begin)
    rest = (total.pop("count"), total.pop("target"), total.pop("square"))
    return metric_sums.summarise(program.task, total, *rest)


def predict(
    program: Program,
    lane: Lane,
    shared: Shared,
    model: Trained,
    rows: jax.Array,
    count: jax.Array,
) -> jax.Array:
    """float32[n, outputs] for the given rows (prepared units); rows from `count` on are zero.

    Inputs are clean, as targets are that predictions are held against. Of lane and shared arrays
    only the preparation of inputs and the table of rows are read (and, where the program has
    noise, the key of it).
    """
    outputs = _chunks(program, lane, shared, model, jnp.float32(0))
    width = jax.eval_shape(outputs, jax.ShapeDtypeStruct((CHUNK,), jnp.int32)).shape[-1]
    table = jnp.zeros((rows.shape[0], width), jnp.float32)

    def body(carry: Any) -> Any:
        index, table = carry
        here = jax.lax.dynamic_slice(rows, (index * CHUNK,), (CHUNK,))
        valid = (index * CHUNK + jnp.arange(CHUNK, dtype=jnp.int32) < count)[:, None]
        out = jnp.where(valid, outputs(here), jnp.float32(0))
        return index + 1, jax.lax.dynamic_update_slice(table, out, (index * CHUNK, 0))

    last = (count + CHUNK - 1) // CHUNK
    _, table = jax.lax.while_loop(
        lambda carry: carry[0] < last, body, (jnp.zeros((), jnp.int32), table)
    )
    return table
