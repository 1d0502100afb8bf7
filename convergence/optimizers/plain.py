"""The usual optimisers, from optax: gradient descent, with momentum, adam and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from convergence.optimizers.rule import Array, Hyper, PyTree, Rule, kernel_decay


def _sgd(hyper: Hyper) -> optax.GradientTransformation:
    return optax.identity()


def _momentum(hyper: Hyper) -> optax.GradientTransformation:
    return optax.trace(hyper["momentum"])


def _nesterov(hyper: Hyper) -> optax.GradientTransformation:
    return optax.trace(hyper["momentum"], nesterov=True)


def scale_by_adam(hyper: Hyper) -> optax.GradientTransformation:
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


def _rule(scale: Callable[[Hyper], optax.GradientTransformation], decoupled: bool = False) -> Rule:
    """The rule of a direction, and of which way weight decay goes."""

    def build(rate: Array, hyper: Hyper) -> optax.GradientTransformationExtraArgs:
        decay, direction = kernel_decay(hyper["weight_decay"]), scale(hyper)
        parts = (direction, decay) if decoupled else (decay, direction)
        return optax.chain(*parts, optax.scale_by_learning_rate(rate))

    return Rule(build)


RULES = {
    "sgd": _rule(_sgd),
    "momentum": _rule(_momentum),  # Polyak, 1964
    "nesterov": _rule(_nesterov),  # Sutskever et al., 2013
    "adam": _rule(scale_by_adam),  # Kingma & Ba, 2015
    "adamw": _rule(scale_by_adam, decoupled=True),  # Loshchilov & Hutter, 2019
    "rmsprop": _rule(_rmsprop),  # Tieleman & Hinton, 2012
    "lion": _rule(_lion, decoupled=True),  # Chen et al., 2023
}
