"""One train step: a pure function of state, batch, key and numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from convergence.losses import Loss
from convergence.models import Model
from convergence.optimizers import Optimizer
from convergence.packing import Packing
from convergence.training.jitter import GRADIENT, SEEN, Jitter, moved, rounded_update
from convergence.training.state import Metrics, TrainState


class Algorithm(NamedTuple):
    """What the compiler sees of a setting: functions and static choices, no numbers."""

    model: Model
    losses: tuple[Loss, ...]  # a lane names one by its index
    optimizer: Optimizer
    batch_size: int
    accumulate: int
    clips: bool  # some arm of the study clips gradients
    packing: Packing  # how the state holds the params
    jitters: bool = False  # random last bits at every step: `jitter`


def global_norm(tree: Any) -> jax.Array:
    """float32 Euclidean norm over all leaves."""
    total = jnp.zeros((), jnp.float32)
    for leaf in jax.tree_util.tree_leaves(tree):
        total = total + jnp.sum(jnp.square(leaf.astype(jnp.float32)))
    return jnp.sqrt(total)


def batch_loss(
    losses: tuple[Loss, ...], index: jax.Array, outputs: jax.Array, y: jax.Array, hyper: Any
) -> jax.Array:
    """The scalar loss of a batch, by the loss of this index; one branch runs."""

    def branch(loss: Loss) -> Any:
        return lambda out: loss.reduce(loss.per_example(out, y, hyper))

    if len(losses) == 1:
        return branch(losses[0])(outputs)
    return jax.lax.switch(index, [branch(loss) for loss in losses], outputs)


def _gradient(
    algorithm: Algorithm,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    key: Any,
    hyper: Any,
    loss: jax.Array,
) -> tuple[jax.Array, Any, Any]:
    """Loss, new model state and gradient of one (micro)batch."""

    def objective(params: Any) -> tuple[jax.Array, Any]:
        outputs, model_state = algorithm.model.apply(
            params, state.model_state, x, train=True, key=key, dropout=hyper["dropout"]
        )
        return batch_loss(algorithm.losses, loss, outputs, y, hyper), model_state

    params = algorithm.packing.unpack(state.params)
    (value, model_state), grads = jax.value_and_grad(objective, has_aux=True)(params)
    return value, model_state, algorithm.packing.pack(grads)


def _accumulated(
    algorithm: Algorithm,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    key: Any,
    hyper: Any,
    loss: jax.Array,
) -> tuple[jax.Array, Any, Any]:
    """The mean over `accumulate` microbatches, each with its own sub-key."""
    pieces = algorithm.accumulate
    xs = x.reshape(pieces, -1, *x.shape[1:])
    ys = y.reshape(pieces, -1, *y.shape[1:])

    def body(carry: Any, piece: Any) -> tuple[Any, None]:
        total, grads, model_state = carry
        index, x, y = piece
        sub = None if key is None else jax.random.fold_in(key, index)
        value, model_state, new = _gradient(
            algorithm, state._replace(model_state=model_state), x, y, sub, hyper, loss
        )
        return (total + value, jax.tree.map(jnp.add, grads, new), model_state), None

    zero = jax.tree.map(jnp.zeros_like, state.params)
    start = (jnp.zeros((), jnp.float32), zero, state.model_state)
    indices = jnp.arange(pieces, dtype=jnp.uint32)
    (value, grads, model_state), _ = jax.lax.scan(body, start, (indices, xs, ys))
    share = jnp.float32(1.0 / pieces)
    return value * share, model_state, jax.tree.map(lambda g: g * share, grads)


def train_step(
    algorithm: Algorithm,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    key: jax.Array | None,
    hyper: dict[str, jax.Array],
    rate: jax.Array,
    loss: jax.Array,
    jitter: Jitter | None = None,
) -> tuple[TrainState, Metrics]:
    """The state after one step, and the step's loss and gradient norm.

    Args:
        algorithm: what is trained and how.
        state: params, optimiser state and model state.
        x: float32[batch, *shape], prepared.
        y: [batch] int32 classes or float32 prepared targets.
        key: this step's dropout key, or None where the model has no dropout.
        hyper: traced float32 scalars by name (`spec.TRACED`).
        rate: float32, this step's learning rate.
        loss: int32, index into the algorithm's losses.
        jitter: this step's rounding, where the algorithm has any.
    """
    compute = _accumulated if algorithm.accumulate > 1 else _gradient
    seen = state
    if jitter is not None:
        seen = state._replace(params=moved(jitter, SEEN, state.params))
    value, model_state, grads = compute(algorithm, seen, x, y, key, hyper, loss)
    if jitter is not None:
        grads = moved(jitter, GRADIENT, grads)
    norm = global_norm(grads)
    if algorithm.clips:
        limit = hyper["clip_norm"]
        factor = jnp.where((limit > 0) & (norm > limit), limit / norm, jnp.float32(1))
        grads = jax.tree.map(lambda g: g * factor, grads)
    params, opt_state = algorithm.optimizer.update(
        grads, state.opt_state, state.params, rate, value, hyper
    )
    if jitter is not None:
        params = rounded_update(jitter, params, state.params)
    return TrainState(params, opt_state, model_state), Metrics(value, norm)
