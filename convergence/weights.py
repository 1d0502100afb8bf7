"""The weights that a run starts from: named initialisers, the output bias, the one-bit twin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers as jax_init

from convergence import names, randomness
from convergence.errors import UserError, unknown_name
from convergence.models.base import Path, PyTree, leaf_path

Array = jax.Array
Initialiser = Callable[..., Array]  # (key, shape, dtype) -> array

_TINY = 1e-30  # below it a weight counts as zero: its last bit may be flushed away


def _normal(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.normal(key, shape, dtype)


def _uniform(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


# Fans by the receptive-field rule: a kernel [*window, in, out] has fan-in window * in and fan-out
# window * out. The normals of lecun, glorot and he are cut at two standard deviations and
# rescaled to the variance they name, as in Flax and Keras.
INITIALISERS: dict[str, Initialiser | None] = {
    "default": None,  # the model's own draw
    "zeros": jax_init.zeros,
    "constant": jax_init.ones,
    "normal": _normal,  # standard deviation 1
    "uniform": _uniform,  # on [-1, 1]
    "lecun_normal": jax_init.lecun_normal(),  # variance 1 / fan-in (LeCun et al., 1998)
    "lecun_uniform": jax_init.lecun_uniform(),
    "glorot_normal": jax_init.glorot_normal(),  # 2 / (fan-in + fan-out) (Glorot & Bengio, 2010)
    "glorot_uniform": jax_init.glorot_uniform(),
    "he_normal": jax_init.he_normal(),  # 2 / fan-in (He et al., 2015)
    "he_uniform": jax_init.he_uniform(),
    "orthogonal": jax_init.orthogonal(),  # Saxe et al., 2014
}


def _natural(path: Path) -> list[Any]:
    """Sorts Dense_2 before Dense_10."""
    pieces = re.split(r"(\d+)", "/".join(path))
    return [(int(p), "") if p.isdigit() else (-1, p) for p in pieces]


def initialise(
    params: PyTree,
    key: Array,
    name: str,
    scale: Array,
    *,
    bias: str,
    output_bias: Path | None,
    prior: Array | None,
) -> PyTree:
    """The initial params: every kernel redrawn by a named initialiser and scaled.

    Kernels are leaves with two axes or more; other leaves (biases, normalisation) keep the
    model's values. Each kernel's key is the given one with the kernel's path folded in, so that
    adding a layer moves no other layer's draw.

    Args:
        params: the model's own draw, also the template of shapes and types.
        key: typed key of the ``init`` source.
        name: one of `names.INITIALISERS`; "default" keeps the model's own kernels.
        scale: scalar, may be traced; multiplies every kernel, also with "default".
        bias: "zero" leaves the output bias to the model (the zoo's is 0); "prior" writes
            ``prior`` into it, so that the first predictions are the targets' mean behaviour.
        output_bias: path of the output bias in params, None if unknown.
        prior: ``[outputs]``: log class frequencies, or 0 for standardised targets.

    Raises:
        UserError: unknown name, or ``bias="prior"`` where the output bias is unknown.
    """
    if name not in INITIALISERS:
        raise unknown_name(name, names.INITIALISERS, "init", "initialiser")
    draw = INITIALISERS[name]
    if bias == "prior" and output_bias is None:
        raise UserError(
            "prior needs a model with one recognisable output bias; this one has none.", "bias"
        )

    def leaf(path: tuple[Any, ...], value: Array) -> Array:
        where = leaf_path(path)
        if value.ndim >= 2:
            if draw is not None:
                value = draw(randomness.fold_name(key, "/".join(where)), value.shape, value.dtype)
            return value * scale.astype(value.dtype)
        if bias == "prior" and where == output_bias:
            if prior is None or prior.shape != value.shape:
                raise ValueError(f"prior must have the output bias' shape {value.shape}")
            return prior.astype(value.dtype)
        return value

    return jax.tree_util.tree_map_with_path(leaf, params)


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
