"""Optimisers: they descend, they are optax's, and weight decay goes where it is said to go."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from convergence import names, spec
from convergence.errors import UserError
from convergence.optimizers import build_optimizer

RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adam": 0.05,
    "adamw": 0.05,
    "rmsprop": 0.01,
    "lion": 0.01,
}
TARGET = jnp.asarray([[1.0, -2.0], [0.5, 3.0]])
CURVATURE = jnp.asarray([[1.0, 4.0], [0.5, 2.0]])


def hyper(**changes: float) -> dict[str, jax.Array]:
    numbers = spec.hyperparameters(spec.Setting()) | changes
    return {name: jnp.float32(value) for name, value in numbers.items()}


def value(params: Any) -> jax.Array:
    kernel = 0.5 * jnp.sum(CURVATURE * jnp.square(params["kernel"] - TARGET))
    return kernel + 0.5 * jnp.sum(jnp.square(params["bias"] - 1.0))


START = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}


def descend(name: str, steps: int, rate: float, **changes: float) -> Any:
    optimizer, numbers = build_optimizer(name), hyper(**changes)

    @jax.jit
    def run() -> Any:
        def body(_: Any, carry: Any) -> Any:
            params, state = carry
            loss, grads = jax.value_and_grad(value)(params)
            return optimizer.update(grads, state, params, jnp.float32(rate), loss, numbers)

        start = (START, optimizer.init(START))
        return jax.lax.fori_loop(0, steps, body, start)[0]

    return run()


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_each_converges_on_a_quadratic(name: str) -> None:
    """Protects each optimiser's sign and scale: a bowl must be descended to its bottom."""
    params = descend(name, 1500, RATES[name])
    assert float(value(params)) < 1e-3
    np.testing.assert_allclose(params["kernel"], TARGET, atol=0.02)


def reference(name: str, rate: float) -> optax.GradientTransformation:
    """The same optimiser as optax's own alias with Python constants."""
    mask = {"kernel": True, "bias": False}
    decay = optax.add_decayed_weights(0.1, mask=mask)
    if name == "adamw":
        return optax.adamw(rate, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.1, mask=mask)
    if name == "lion":
        return optax.lion(rate, b1=0.8, b2=0.9, weight_decay=0.1, mask=mask)
    alias = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=0.7),
        "nesterov": lambda: optax.sgd(rate, momentum=0.7, nesterov=True),
        "adam": lambda: optax.adam(rate, b1=0.8, b2=0.9, eps=1e-3),
        "rmsprop": lambda: optax.rmsprop(rate, decay=0.7, eps=1e-3, eps_in_sqrt=False),
    }
    return optax.chain(decay, alias[name]())


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_each_is_optax_with_traced_numbers(name: str) -> None:
    """Protects against a hyperparameter that is wired to the wrong place, and decay likewise."""
    changes = {"momentum": 0.7, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}
    ours = descend(name, 7, 0.03, **changes)
    theirs = reference(name, 0.03)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = theirs.update(jax.grad(value)(params), state, params)
            return optax.apply_updates(params, updates), state

    params, state = START, theirs.init(START)
    for _ in range(7):
        params, state = step(params, state)
    for mine, its in zip(jax.tree.leaves(ours), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_decay_spares_biases(name: str) -> None:
    """Protects the rule that only kernels decay: with no gradient a bias stays where it is."""
    optimizer = build_optimizer(name)
    params = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
    grads = jax.tree.map(jnp.zeros_like, params)
    rate = jnp.float32(0.1)
    new, _ = optimizer.update(
        grads, optimizer.init(params), params, rate, rate, hyper(weight_decay=0.3)
    )
    assert np.all(new["kernel"] < 2.0)
    assert np.array_equal(new["bias"], params["bias"])
    if name in ("adamw", "lion"):  # decoupled: rate * decay * kernel, untouched by the scaling
        np.testing.assert_allclose(new["kernel"], 2.0 * (1 - 0.1 * 0.3), rtol=1e-6)


def test_unknown_name_is_told() -> None:
    """Protects users from a traceback: the nearest name is offered."""
    with pytest.raises(UserError, match="--optimizer: unknown optimizer 'adm'; did you mean 'adam"):
        build_optimizer("adm")
