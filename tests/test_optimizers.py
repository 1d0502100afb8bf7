"""Optimisers: they descend, they are optax's, and weight decay goes where it is said to go."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from convergence import names, spec
from convergence.errors import UserError
from convergence.optimizers import build_optimizer
from convergence.packing import Packing

RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adam": 0.05,
    "adamw": 0.05,
    "rmsprop": 0.01,
    "lion": 0.01,
    "muon": 0.01,
    "schedule_free_sgd": 0.2,
    "schedule_free_adamw": 0.05,
    **names.RATE_FREE,
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
        return optimizer.eval_params(*jax.lax.fori_loop(0, steps, body, start))

    return run()


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_each_converges_on_a_quadratic(name: str) -> None:
    """Protects each optimiser's sign and scale: a bowl must be descended to its bottom."""
    params = descend(name, 1500, RATES[name])
    assert float(value(params)) < 1e-3
    np.testing.assert_allclose(params["kernel"], TARGET, atol=0.02)


MASK = {"kernel": True, "bias": False}
# Theirs decay biases as well; what ours do instead is tested by itself.
UNDECAYED = ("prodigy", "dadapt_adamw", "momo", "momo_adam")


def contributed(name: str, rate: float) -> optax.GradientTransformation:
    """The same optimiser as optax.contrib's own with Python constants, where it is in there."""
    contrib, decay = optax.contrib, optax.add_decayed_weights(0.1, mask=MASK)
    adam = {"b1": 0.8, "b2": 0.9, "eps": 1e-3}
    scale = optax.scale_by_rms(0.9, 1e-3, eps_in_sqrt=False, bias_correction=True)
    adamw = optax.chain(scale, decay, optax.scale_by_learning_rate(rate))
    makers = {
        "muon": lambda: contrib.muon(
            rate, beta=0.7, adam_b1=0.8, adam_b2=0.9, eps=1e-3, weight_decay=0.1
        ),
        "schedule_free_sgd": lambda: contrib.schedule_free(
            optax.chain(decay, optax.sgd(rate)), rate, 0.8
        ),
        "schedule_free_adamw": lambda: contrib.schedule_free(adamw, rate, 0.8),
        "prodigy": lambda: contrib.prodigy(rate, (0.8, 0.9), eps=1e-3),
        "dadapt_adamw": lambda: contrib.dadapt_adamw(rate, (0.8, 0.9), 1e-3),
        "dog": lambda: contrib.dog(rate, weight_decay=0.1, mask=MASK),
        "dowg": lambda: contrib.dowg(rate, weight_decay=0.1, mask=MASK),
        "cocob": lambda: contrib.cocob(rate, weight_decay=0.1, mask=MASK),
        "mechanize_sgd": lambda: optax.chain(decay, contrib.mechanize(optax.sgd(rate))),
        "mechanize_adam": lambda: optax.chain(decay, contrib.mechanize(optax.adam(rate, **adam))),
        "momo": lambda: contrib.momo(rate, 0.7),
        "momo_adam": lambda: contrib.momo_adam(rate, **adam),
    }
    return makers[name]()


def reference(name: str, rate: float) -> optax.GradientTransformation:
    """The same optimiser as optax's own alias with Python constants."""
    decay = optax.add_decayed_weights(0.1, mask=MASK)
    if name == "adamw":
        return optax.adamw(rate, b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.1, mask=MASK)
    if name == "lion":
        return optax.lion(rate, b1=0.8, b2=0.9, weight_decay=0.1, mask=MASK)
    alias = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=0.7),
        "nesterov": lambda: optax.sgd(rate, momentum=0.7, nesterov=True),
        "adam": lambda: optax.adam(rate, b1=0.8, b2=0.9, eps=1e-3),
        "rmsprop": lambda: optax.rmsprop(rate, decay=0.7, eps=1e-3, eps_in_sqrt=False),
    }
    return optax.chain(decay, alias[name]()) if name in alias else contributed(name, rate)


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_each_is_optax_with_traced_numbers(name: str) -> None:
    """Protects against a hyperparameter that is wired to the wrong place, and decay likewise."""
    changes = {"momentum": 0.7, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}
    rate = names.RATE_FREE.get(name, 0.03)
    ours = descend(name, 7, rate, **changes, weight_decay=0.0 if name in UNDECAYED else 0.1)
    theirs = optax.with_extra_args_support(reference(name, rate))

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            loss, grads = jax.value_and_grad(value)(params)
            updates, state = theirs.update(grads, state, params, value=loss)
            return optax.apply_updates(params, updates), state

    params, state = START, theirs.init(START)
    for _ in range(7):
        params, state = step(params, state)
    if name.startswith("schedule_free"):
        params = optax.contrib.schedule_free_eval_params(state, params)
    for mine, its in zip(jax.tree.leaves(ours), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adamw"])
def test_decay_at_the_rate_found_is_optax(name: str) -> None:
    """Protects the decoupled decay of the two that estimate their rate: of one kernel, theirs."""
    make = {"prodigy": optax.contrib.prodigy, "dadapt_adamw": optax.contrib.dadapt_adamw}[name]
    ours, theirs = build_optimizer(name), make(1.0, weight_decay=0.5)
    mine = its = {"kernel": 0.5 * jnp.ones((2, 2))}
    states = [ours.init(mine), theirs.init(its)]
    numbers = hyper(weight_decay=0.5)

    def bowl(params: Any) -> jax.Array:
        return 0.5 * jnp.sum(CURVATURE * jnp.square(params["kernel"] - TARGET))

    @jax.jit
    def both(mine: Any, its: Any, states: Any) -> Any:
        one = jnp.float32(1.0)
        mine, first = ours.update(jax.grad(bowl)(mine), states[0], mine, one, one, numbers)
        with jax.numpy_dtype_promotion("standard"):
            updates, second = theirs.update(jax.grad(bowl)(its), states[1], its)
        return mine, optax.apply_updates(its, updates), [first, second]

    for _ in range(20):
        mine, its, states = both(mine, its, states)
    assert np.abs(mine["kernel"] - 0.5).max() > 1e-3  # it has grown its rate a thousandfold
    np.testing.assert_allclose(mine["kernel"], its["kernel"], rtol=1e-5)


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_decay_spares_biases(name: str) -> None:
    """Protects the rule that only kernels decay: with no gradient a bias stays where it is."""
    optimizer, free = build_optimizer(name), name in names.RATE_FREE
    params = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
    grads = jax.tree.map(jnp.zeros_like, params)
    # A first guess of the rate is so small that usual decay is lost in the kernel's last bit.
    decay, rate = (1e4, jnp.float32(names.RATE_FREE[name])) if free else (0.3, jnp.float32(0.1))
    new, _ = optimizer.update(
        grads, optimizer.init(params), params, rate, rate, hyper(weight_decay=decay)
    )
    assert np.all(new["kernel"] < 2.0)
    assert np.array_equal(new["bias"], params["bias"])
    # Decoupled: rate * decay * kernel, untouched by the scaling.
    if name in ("adamw", "lion", "muon", "schedule_free_adamw"):
        np.testing.assert_allclose(new["kernel"], 2.0 * (1 - 0.1 * 0.3), rtol=1e-6)


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_no_gradient_is_no_step(name: str) -> None:
    """Protects models whose units are all dead at first: nothing divides 0 by 0."""
    optimizer = build_optimizer(name)
    grads = jax.tree.map(jnp.zeros_like, START)
    params, state = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}, None
    state = optimizer.init(params)
    for _ in range(3):
        new, state = optimizer.update(
            grads, state, params, jnp.float32(1.0), jnp.float32(1.0), hyper()
        )
        for leaf in new:
            np.testing.assert_allclose(new[leaf], 2.0, rtol=1e-6)


def test_averages_take_no_beta_for_granted() -> None:
    """Protects beta1 = 0, at which the average cannot be had from the params: z is trained."""
    params = descend("schedule_free_sgd", 400, 0.2, beta1=0.0)
    assert float(value(params)) < 1e-2


def test_a_layer_of_a_convolution_is_a_matrix() -> None:
    """Protects muon's reading of kernels: [width, in, out] moves as [width * in, out]."""
    draws = np.random.default_rng(1)
    grad = jnp.asarray(draws.standard_normal((3, 2, 4)), jnp.float32)
    rest = (jnp.float32(1.0), jnp.float32(0.0), hyper())
    optimizer = build_optimizer("muon")
    moved = {}
    for name, shape in {"conv": (3, 2, 4), "dense": (6, 4)}.items():
        start = {"kernel": jnp.zeros(shape)}
        grads = {"kernel": grad.reshape(shape)}
        moved[name], _ = optimizer.update(grads, optimizer.init(start), start, *rest)
    conv = np.asarray(moved["conv"]["kernel"]).reshape(6, 4)
    assert np.array_equal(conv, moved["dense"]["kernel"])
    assert np.all(np.abs(np.linalg.svd(conv, compute_uv=False) - 1) < 0.4)


def test_layers_cannot_be_told_from_packed_params() -> None:
    """Protects from silence: muon without the layout of what it is given would be adam."""
    packed = Packing.of(START).pack(START)
    with pytest.raises(ValueError, match="single layers"):
        build_optimizer("muon").init(packed)


def test_unknown_name_is_told() -> None:
    """Protects users from a traceback: the nearest name is offered."""
    with pytest.raises(UserError, match="--optimizer: unknown optimizer 'adm'; did you mean 'adam"):
        build_optimizer("adm")
