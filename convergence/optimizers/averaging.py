"""Schedule-free descent: an average of the iterates takes the place of a falling rate.

Gradients are taken at y, a mixture of the average x and of the plain iterates z; y are the params
that are trained, x those to evaluate with (Defazio et al., 2024, eqs. 3 to 5, with the weights of
their section 4.2: the square of the largest rate so far). A warm-up is advised, a schedule that
falls is not needed, and a rate still has to be chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from convergence.optimizers.rule import Array, Build, Hyper, PyTree, Rule, kernel_decay


class AverageState(NamedTuple):
    """State of schedule-free descent.

    Attributes:
        base: of the step that z takes.
        z: the iterates.
        x: their weighted average.
        largest: float32, the largest rate so far.
        total: float32, sum of the weights.
    """

    base: Any
    z: PyTree
    x: PyTree
    largest: Array
    total: Array


def _schedule_free(base: optax.GradientTransformation, rate: Array, beta: Array) -> Any:
    """Wraps a step without momentum.

    The same numbers as `optax.contrib.schedule_free` but for rounding. That one keeps beta in its
    state from the start, where ours is traced and known at the step only, and takes x out of y and
    z by a division by beta, which loses bits and forbids a beta of 0; so x is kept instead.
    """

    def init(params: PyTree) -> AverageState:
        zero = jnp.zeros((), jnp.float32)
        return AverageState(base.init(params), params, params, zero, zero)

    def update(
        grads: PyTree, state: AverageState, params: PyTree, **_: Any
    ) -> tuple[PyTree, AverageState]:
        steps, inner = base.update(grads, state.base, params)
        largest = jnp.maximum(state.largest, rate)
        weight = jnp.square(largest)
        total = state.total + weight
        share = jnp.where(total > 0, weight / jnp.where(total > 0, total, 1), 0)
        z = optax.apply_updates(state.z, steps)
        x = jax.tree.map(lambda a, b: (1 - share) * a + share * b, state.x, z)
        updates = jax.tree.map(lambda p, a, b: beta * a + (1 - beta) * b - p, params, x, z)
        return updates, AverageState(inner, z, x, largest, total)

    return optax.GradientTransformationExtraArgs(init, update)


def _sgd(rate: Array, hyper: Hyper) -> optax.GradientTransformationExtraArgs:
    step = optax.chain(kernel_decay(hyper["weight_decay"]), optax.scale_by_learning_rate(rate))
    return _schedule_free(step, rate, hyper["beta1"])


def _adamw(rate: Array, hyper: Hyper) -> optax.GradientTransformationExtraArgs:
    step = optax.chain(
        optax.scale_by_rms(
            hyper["beta2"], hyper["epsilon"], eps_in_sqrt=False, bias_correction=True
        ),
        kernel_decay(hyper["weight_decay"]),
        optax.scale_by_learning_rate(rate),
    )
    return _schedule_free(step, rate, hyper["beta1"])


def _average(params: PyTree, opt_state: AverageState) -> PyTree:
    return opt_state.x


def _rule(build: Build) -> Rule:
    return Rule(build, _average)


RULES = {"schedule_free_sgd": _rule(_sgd), "schedule_free_adamw": _rule(_adamw)}
