"""Optimisers that find the size of their steps: the rate is a factor, documented as 1 in most.

All are `optax.contrib`'s with traced numbers, but for what is said at each. A schedule and a
warm-up still shape the factor; it is not free of harm: at three times the documented one dog and
dowg blow up on MNIST-1D, and dadapt_adamw ends worse.

Reported of prodigy and dadapt_adamw: they may never leave their first guess of the distance
(1e-6), grow it too far, diverge at a rate of 1, or be misled by clipped gradients; nothing here
hides that. momo takes its step from the loss and the gradient together, so a clipped gradient
makes it too short. momo and momo_adam are told nothing of the least loss and take 0: a negative
loss stops them. dog and dowg are published with an average of the iterates, which is left out here
as in optax.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from convergence.optimizers.plain import scale_by_adam
from convergence.optimizers.rule import Array, Build, Hyper, PyTree, Rule, kernel_decay
from convergence.packing import is_kernel

Extra: TypeAlias = optax.GradientTransformationExtraArgs


def _decayed(updates: PyTree, params: PyTree, share: Array) -> PyTree:
    """The updates less this share of each kernel."""
    return jax.tree.map(
        lambda u, p, kernel: u - share * p if kernel else u, updates, params, is_kernel(params)
    )


def _adapted(inner: Extra, rate: Array, hyper: Hyper) -> Extra:
    """prodigy or dadapt_adamw with what optax's lack: decay of kernels alone, and a still start.

    Where no gradient has ever been other than 0 (dead units), their estimate is 0 / 0; it and the
    params then stay as they are instead of turning into NaN.
    """

    def update(grads: PyTree, state: Any, params: PyTree, **_: Any) -> tuple[PyTree, Any]:
        updates, new = inner.update(grads, state, params)
        nothing = jnp.stack([jnp.all(leaf == 0) for leaf in jax.tree.leaves(new.grad_sum)]).all()
        updates = jax.tree.map(lambda u: jnp.where(nothing, jnp.zeros_like(u), u), updates)
        new = new._replace(estim_lr=jnp.where(nothing, state.estim_lr, new.estim_lr))
        count = new.count.astype(jnp.float32)
        correction = jnp.sqrt(1 - hyper["beta2"] ** count) / (1 - hyper["beta1"] ** count)
        found = state.estim_lr * rate * correction
        return _decayed(updates, params, hyper["weight_decay"] * found), new

    return Extra(inner.init, update)


def _prodigy(rate: Array, hyper: Hyper) -> Extra:
    betas = (hyper["beta1"], hyper["beta2"])
    return _adapted(optax.contrib.prodigy(rate, betas, eps=hyper["epsilon"]), rate, hyper)


def _dadapt_adamw(rate: Array, hyper: Hyper) -> Extra:
    betas = (hyper["beta1"], hyper["beta2"])
    return _adapted(optax.contrib.dadapt_adamw(rate, betas, hyper["epsilon"]), rate, hyper)


def _dog(rate: Array, hyper: Hyper) -> Extra:
    # Its own epsilon stays: it is added to a sum of squares of the whole model's gradients.
    return optax.with_extra_args_support(
        optax.contrib.dog(rate, weight_decay=hyper["weight_decay"], mask=is_kernel)
    )


def _dowg(rate: Array, hyper: Hyper) -> Extra:
    # Its epsilon is also the first guess of the squared distance, and stays for that.
    return optax.with_extra_args_support(
        optax.contrib.dowg(rate, weight_decay=hyper["weight_decay"], mask=is_kernel)
    )


def _cocob(rate: Array, hyper: Hyper) -> Extra:
    # The rate scales the gradients that are bet on, as in optax: a constant one does next to
    # nothing, a schedule weighs early gradients against late ones.
    return optax.with_extra_args_support(
        optax.contrib.cocob(rate, weight_decay=hyper["weight_decay"], mask=is_kernel)
    )


def _mechanized(base: optax.GradientTransformation, hyper: Hyper) -> Extra:
    # The decay inside `mechanize` (.01, its default) steadies the tuner and decays nothing.
    return optax.with_extra_args_support(
        optax.chain(kernel_decay(hyper["weight_decay"]), optax.contrib.mechanize(base))
    )


def _mechanize_sgd(rate: Array, hyper: Hyper) -> Extra:
    return _mechanized(optax.scale_by_learning_rate(rate), hyper)


def _mechanize_adam(rate: Array, hyper: Hyper) -> Extra:
    base = optax.chain(scale_by_adam(hyper), optax.scale_by_learning_rate(rate))
    return _mechanized(base, hyper)


def _proximal(inner: Extra, rate: Array, hyper: Hyper) -> Extra:
    """momo with the decay of kernels alone; the model of the loss inside does not see it."""

    def update(grads: PyTree, state: Any, params: PyTree, **told: Any) -> tuple[PyTree, Any]:
        updates, new = inner.update(grads, state, params, **told)
        decay = rate * hyper["weight_decay"]
        return _decayed(updates, params, decay / (1 + decay)), new

    return Extra(inner.init, update)


def _momo(rate: Array, hyper: Hyper) -> Extra:
    return _proximal(optax.contrib.momo(rate, hyper["momentum"]), rate, hyper)


def _momo_adam(rate: Array, hyper: Hyper) -> Extra:
    inner = optax.contrib.momo_adam(rate, hyper["beta1"], hyper["beta2"], hyper["epsilon"])
    return _proximal(inner, rate, hyper)


BUILDS: dict[str, Build] = {
    "prodigy": _prodigy,  # Mishchenko & Defazio, 2023
    "dadapt_adamw": _dadapt_adamw,  # Defazio & Mishchenko, 2023
    "dog": _dog,  # Ivgi et al., 2023
    "dowg": _dowg,  # Khaled et al., 2023
    "cocob": _cocob,  # Orabona & Tommasi, 2017
    "mechanize_sgd": _mechanize_sgd,  # Cutkosky et al., 2023
    "mechanize_adam": _mechanize_adam,
    "momo": _momo,  # Schaipp et al., 2023
    "momo_adam": _momo_adam,
}
RULES = {name: Rule(build) for name, build in BUILDS.items()}
