"""Muon: momentum orthogonalised layer by layer (Jordan et al., 2024)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers

from convergence.optimizers.rule import Array, Hyper, PyTree, Rule


def _matrices(params: PyTree) -> PyTree:
    """How each kernel is a matrix: all axes but the last are what it sums over."""

    def axes(leaf: Array) -> MuonDimensionNumbers | None:
        count = jnp.ndim(leaf)
        return MuonDimensionNumbers(tuple(range(count - 1)), count - 1) if count >= 2 else None

    return jax.tree.map(axes, params)


def _muon(rate: Array, hyper: Hyper) -> optax.GradientTransformationExtraArgs:
    """optax's muon: five Newton-Schulz steps on the Nesterov momentum of each kernel.

    A convolution's kernel [..., inputs, outputs] is taken as [all the others, outputs]. An update
    has singular values near ``rate * sqrt(max(1, outputs / inputs))``, whatever the gradient's
    size. Other leaves are adam's with Nesterov momentum, at the same rate; so is no kernel, not
    even the first or last (which Jordan et al. leave to adam in language models). ``momentum`` is
    published as .95.
    """
    return optax.with_extra_args_support(
        optax.contrib.muon(
            rate,
            beta=hyper["momentum"],
            eps=hyper["epsilon"],
            weight_decay=hyper["weight_decay"],  # of what is orthogonalised: kernels alone
            adam_b1=hyper["beta1"],
            adam_b2=hyper["beta2"],
            muon_weight_dimension_numbers=_matrices,
        )
    )


RULES = {"muon": Rule(_muon, whole=True)}
