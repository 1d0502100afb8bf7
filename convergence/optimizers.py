"""Optimisers from optax, with every number a traced argument of the step.

The transformation is built anew inside each traced step from that step's rate and
hyperparameters, so that a change of a number recompiles nothing and a single trial runs the same
arithmetic as one among many.

Weight decay applies to kernels alone (leaves with two axes or more): biases and the scales of
normalisation layers are not decayed. In sgd, momentum, nesterov, adam and rmsprop it is added to
the gradient (L2); in adamw and lion it is decoupled, ``rate * weight_decay * kernel`` taken off
beside the step (Loshchilov & Hutter, 2019). Gradients are clipped by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from convergence import names
from convergence.errors import unknown_name
from convergence.packing import is_kernel

Array = jax.Array
PyTree = Any
Hyper = dict[str, Array]


class Optimizer(NamedTuple):
    """An optimiser as three pure functions.

    Attributes:
        init: ``params -> opt_state``.
        update: ``(grads, opt_state, params, rate, value, hyper) -> (new params, opt_state)``;
            ``rate`` is the step's float32 scalar learning rate, ``value`` its loss (for
            optimisers that look at it), ``hyper`` the traced hyperparameters by name.
        eval_params: ``(params, opt_state) -> params`` to evaluate with; the params themselves
            except for optimisers that average.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]
    eval_params: Callable[[PyTree, PyTree], PyTree]


class _Rule(NamedTuple):
    """How a gradient becomes a direction, and which way weight decay goes."""

    scale: Callable[[Hyper], optax.GradientTransformation]
    decoupled: bool = False


def _sgd(hyper: Hyper) -> optax.GradientTransformation:
    return optax.identity()


def _momentum(hyper: Hyper) -> optax.GradientTransformation:
    return optax.trace(hyper["momentum"])


def _nesterov(hyper: Hyper) -> optax.GradientTransformation:
    return optax.trace(hyper["momentum"], nesterov=True)


def _adam(hyper: Hyper) -> optax.GradientTransformation:
    """Adam with both bias corrections taken out of the loop over the elements.

    The same numbers as ``optax.scale_by_adam`` but for rounding (Kingma & Ba, 2015, end of section
    2, with epsilon scaled so that it means what it does in algorithm 1): one division and one root
    an element instead of three and one, which on CPU is a fifth of the update.
    """
    beta1, beta2, epsilon = hyper["beta1"], hyper["beta2"], hyper["epsilon"]

    def init(params: PyTree) -> optax.ScaleByAdamState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(grads: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        count = optax.safe_increment(state.count)
        steps = count.astype(jnp.float32)
        mu = jax.tree.map(lambda g, m: beta1 * m + (1 - beta1) * g, grads, state.mu)
        nu = jax.tree.map(lambda g, v: beta2 * v + (1 - beta2) * (g * g), grads, state.nu)
        root = jnp.sqrt(1 - beta2**steps)
        factor, floor = root / (1 - beta1**steps), epsilon * root
        updates = jax.tree.map(lambda m, v: factor * m / (jnp.sqrt(v) + floor), mu, nu)
        return updates, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def _rmsprop(hyper: Hyper) -> optax.GradientTransformation:
    # Epsilon is added to the root, as in adam, so that one value means the same in both.
    return optax.scale_by_rms(hyper["momentum"], hyper["epsilon"], eps_in_sqrt=False)


def _lion(hyper: Hyper) -> optax.GradientTransformation:
    return optax.scale_by_lion(hyper["beta1"], hyper["beta2"])


OPTIMIZERS: dict[str, _Rule] = {
    "sgd": _Rule(_sgd),
    "momentum": _Rule(_momentum),  # Polyak, 1964
    "nesterov": _Rule(_nesterov),  # Sutskever et al., 2013
    "adam": _Rule(_adam),  # Kingma & Ba, 2015
    "adamw": _Rule(_adam, decoupled=True),  # Loshchilov & Hutter, 2019
    "rmsprop": _Rule(_rmsprop),  # Tieleman & Hinton, 2012
    "lion": _Rule(_lion, decoupled=True),  # Chen et al., 2023
}


def _transformation(rule: _Rule, rate: Array, hyper: Hyper) -> optax.GradientTransformation:
    decay = optax.add_decayed_weights(hyper["weight_decay"], mask=is_kernel)
    scale = rule.scale(hyper)
    parts = (scale, decay) if rule.decoupled else (decay, scale)
    return optax.chain(*parts, optax.scale_by_learning_rate(rate))


def build_optimizer(name: str) -> Optimizer:
    """The optimiser of a name (one of `names.OPTIMIZERS`).

    ``hyper`` must hold momentum (momentum, nesterov; rmsprop's decay), beta1, beta2 (adam, adamw,
    lion), epsilon (adam, adamw, rmsprop) and weight_decay.

    Raises:
        UserError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise unknown_name(name, names.OPTIMIZERS, "optimizer", "optimizer")
    rule = OPTIMIZERS[name]

    def init(params: PyTree) -> PyTree:
        # The state's form does not depend on the numbers.
        zero = jnp.zeros((), jnp.float32)
        hyper = dict.fromkeys(("momentum", "beta1", "beta2", "epsilon", "weight_decay"), zero)
        return _transformation(rule, zero, hyper).init(params)

    def update(
        grads: PyTree, opt_state: PyTree, params: PyTree, rate: Array, value: Array, hyper: Hyper
    ) -> tuple[PyTree, PyTree]:
        transformation = _transformation(rule, rate, hyper)
        # Adam's bias correction raises a float32 to an int32 count, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = transformation.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def eval_params(params: PyTree, opt_state: PyTree) -> PyTree:
        return params

    return Optimizer(init, update, eval_params)
