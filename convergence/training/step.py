"""One train step: a pure function of state, batch, key and numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from convergence.losses import Loss
from convergence.models import Model
from convergence.optimizers import Optimizer
from convergence.training.state import Metrics, TrainState


class Algorithm(NamedTuple):
    """What the compiler sees of a setting: functions and static choices, no numbers."""

    model: Model
    loss: Loss
    optimizer: Optimizer
    batch_size: int
    accumulate: int
    clips: bool  # some arm of the study clips gradients


def global_norm(tree: Any) -> jax.Array:
    """float32 Euclidean norm over all leaves."""
    total = jnp.zeros((), jnp.float32)
    for leaf in jax.tree_util.tree_leaves(tree):
        total = total + jnp.sum(jnp.square(leaf.astype(jnp.float32)))
    return jnp.sqrt(total)


def _gradient(
    algorithm: Algorithm, state: TrainState, x: jax.Array, y: jax.Array, key: Any, hyper: Any
) -> tuple[jax.Array, Any, Any]:
    """Loss, new model state and gradient of one (micro)batch."""

    def objective(params: Any) -> tuple[jax.Array, Any]:
        outputs, model_state = algorithm.model.apply(
            params, state.model_state, x, train=True, key=key, dropout=hyper["dropout"]
        )
        return algorithm.loss.reduce(algorithm.loss.per_example(outputs, y, hyper)), model_state

    (loss, model_state), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    return loss, model_state, grads


def _accumulated(
    algorithm: Algorithm, state: TrainState, x: jax.Array, y: jax.Array, key: Any, hyper: Any
) -> tuple[jax.Array, Any, Any]:
    """The mean over `accumulate` microbatches, each with its own sub-key."""
    pieces = algorithm.accumulate
    xs = x.reshape(pieces, -1, *x.shape[1:])
    ys = y.reshape(pieces, -1, *y.shape[1:])

    def body(carry: Any, piece: Any) -> tuple[Any, None]:
        total, grads, model_state = carry
        index, x, y = piece
        sub = None if key is None else jax.random.fold_in(key, index)
        loss, model_state, new = _gradient(
            algorithm, state._replace(model_state=model_state), x, y, sub, hyper
        )
        return (total + loss, jax.tree.map(jnp.add, grads, new), model_state), None

    zero = jax.tree.map(jnp.zeros_like, state.params)
    start = (jnp.zeros((), jnp.float32), zero, state.model_state)
    indices = jnp.arange(pieces, dtype=jnp.uint32)
    (loss, grads, model_state), _ = jax.lax.scan(body, start, (indices, xs, ys))
    share = jnp.float32(1.0 / pieces)
    return loss * share, model_state, jax.tree.map(lambda g: g * share, grads)


def train_step(
    algorithm: Algorithm,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    key: jax.Array | None,
    hyper: dict[str, jax.Array],
    rate: jax.Array,
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
    """
    compute = _accumulated if algorithm.accumulate > 1 else _gradient
    loss, model_state, grads = compute(algorithm, state, x, y, key, hyper)
    norm = global_norm(grads)
    if algorithm.clips:
        limit = hyper["clip_norm"]
        factor = jnp.where((limit > 0) & (norm > limit), limit / norm, jnp.float32(1))
        grads = jax.tree.map(lambda g: g * factor, grads)
    params, opt_state = algorithm.optimizer.update(
        grads, state.opt_state, state.params, rate, loss, hyper
    )
    return TrainState(params, opt_state, model_state), Metrics(loss, norm)
