"""A pytree of small arrays as one vector of words: one thing to hand to a device instead of forty.

Handing an array over costs the host tens of microseconds whatever its size, and a trial's inputs
are some forty arrays, most of them single numbers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any


class Words(NamedTuple):
    """How the leaves of one kind of pytree lie in a vector of uint32.

    Attributes:
        treedef: of the tree.
        leaves: shape and dtype (NumPy's ``str``) of each leaf: 4 bytes wide, or bool.
    """

    treedef: Any
    leaves: tuple[tuple[tuple[int, ...], str], ...]

    @classmethod
    def of(cls, tree: PyTree) -> Words:
        """The layout of trees of this form.

        Raises:
            TypeError: a leaf's values do not fill words.
        """
        leaves, treedef = jax.tree.flatten(tree)
        for dtype in (leaf.dtype for leaf in leaves):
            if dtype.kind != "b" and dtype.itemsize != 4:
                raise TypeError(f"{dtype} values do not fill words of 4 bytes")
        return cls(treedef, tuple((leaf.shape, leaf.dtype.str) for leaf in leaves))

    def pack(self, tree: PyTree) -> np.ndarray:
        """The tree's leaves (NumPy arrays or scalars) end to end, bit for bit: uint32[n].

        Raises:
            ValueError: the tree is not of this form.
        """
        if Words.of(tree) != self:
            raise ValueError("these arrays are of another form than those before them")
        flat = [np.ravel(leaf) for leaf in jax.tree.leaves(tree)]
        plain = [leaf.astype(np.uint32) if leaf.dtype == bool else leaf for leaf in flat]
        return np.concatenate([leaf.view(np.uint32) for leaf in plain])

    def unpack(self, words: jax.Array) -> PyTree:
        """The tree again, inside a program."""
        leaves, start = [], 0
        for shape, dtype in self.leaves:
            size = math.prod(shape)
            flat = words[start : start + size]
            kind = np.dtype(dtype)
            value = flat != 0 if kind.kind == "b" else jax.lax.bitcast_convert_type(flat, kind)
            leaves.append(jnp.reshape(value, shape))
            start += size
        return jax.tree.unflatten(self.treedef, leaves)
