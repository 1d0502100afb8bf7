"""Layer-sequential unit variance: orthonormal kernels scaled by what they do to a batch.

Mishkin & Matas, 2016, "All you need is a good init", algorithm 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from convergence.models.base import Layer, Model, PyTree, Watched, leaf_path

Array = jax.Array
LSUV = "lsuv"
ROWS = 256  # of the batch by which layers are scaled


def unit_variance(model: Model, params: PyTree, state: PyTree, x: Array) -> PyTree:
    """The params with each layer's kernels divided by its output's standard deviation on a batch.

    Layers are taken in the order in which they are called, each after those before it were scaled.
    The paper repeats a layer until its variance is within a tenth of 1; a layer that is linear in
    its kernels and starts without a bias – all of the zoo's – is there after one division. Of a
    recurrent layer the products with the input are scaled, and its recurrent kernels stay
    orthonormal. A layer whose output does not vary is left as it is.

    Args:
        params: orthonormal kernels, biases of 0.
        x: float32[rows, *shape], prepared.

    Raises:
        ValueError: the model's layers cannot be watched (`Model.watch` is None).
    """
    if model.watch is None:
        raise ValueError("this model's layers cannot be watched")
    order = model.watch(params, state, x).layers
    for place, layer in enumerate(order):
        told: Watched = model.watch(params, state, x)
        variance = jnp.var(told.layers[place].product)
        fits = jnp.isfinite(variance) & (variance > 0)
        factor = jax.lax.rsqrt(jnp.where(fits, variance, jnp.ones_like(variance)))
        params = _scaled(params, layer, factor)
    return params


def _scaled(params: PyTree, layer: Layer, factor: Array) -> PyTree:
    def leaf(path: tuple[Any, ...], value: Array) -> Array:
        return value * factor.astype(value.dtype) if leaf_path(path) in layer.kernels else value

    return jax.tree_util.tree_map_with_path(leaf, params)
