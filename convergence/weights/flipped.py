"""The one-bit twin of initial weights."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp

from convergence.errors import UserError
from convergence.models.base import Path, PyTree, leaf_path

Array = jax.Array
_TINY = 1e-30  # below it a weight counts as zero: its last bit may be flushed away


def _natural(path: Path) -> list[Any]:
    """Sorts Dense_2 before Dense_10."""
    pieces = re.split(r"(\d+)", "/".join(path))
    return [(int(p), "") if p.isdigit() else (-1, p) for p in pieces]


def first_kernel(params: PyTree, features: int) -> Path:
    """Path of the kernel that the input meets first.

    Params do not tell the order of layers; taken is the first kernel, in natural order of names,
    with a row for each input feature, or else (convolutions, recurrent layers) the first of all.

    Raises:
        UserError: the params hold no kernel.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = {leaf_path(path): leaf.shape for path, leaf in leaves if leaf.ndim >= 2}
    if not kernels:
        raise UserError("the model has no kernel whose last bit could be flipped.", "twin")
    ordered = sorted(kernels, key=_natural)
    fed = [path for path in ordered if len(kernels[path]) == 2 and kernels[path][0] == features]
    return (fed or ordered)[0]


def twin(params: PyTree, key: Array, active_inputs: Array) -> PyTree:
    """The same params with the last mantissa bit of one initial weight flipped: one rounding error.

    The weight is drawn among the non-zero ones of the first kernel whose input is not constant.
    If it has none the params come back as they are: with all-zero kernels there is nothing to
    round.

    Args:
        params: float32 params; may be traced.
        key: typed key of the ``rounding`` source.
        active_inputs: ``[features]`` bool, features that are not constant; read where the first
            kernel has one row a feature.

    Raises:
        UserError: the params hold no kernel.
    """
    path = first_kernel(params, active_inputs.shape[0])

    def leaf(where: tuple[Any, ...], value: Array) -> Array:
        if leaf_path(where) != path:
            return value
        eligible = jnp.abs(value) > _TINY
        if value.ndim == 2 and value.shape[0] == active_inputs.shape[0]:
            eligible &= active_inputs[:, None]
        # The largest of independent uniforms among the eligible is a uniform choice.
        lots = jnp.where(eligible, jax.random.uniform(key, value.shape), -1.0).ravel()
        chosen = (jnp.arange(lots.size) == jnp.argmax(lots)) & eligible.ravel()
        flip = chosen.reshape(value.shape).astype(jnp.uint32)
        bits = jax.lax.bitcast_convert_type(value, jnp.uint32)
        return jax.lax.bitcast_convert_type(bits ^ flip, value.dtype)

    return jax.tree_util.tree_map_with_path(leaf, params)
