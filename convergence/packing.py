"""Params laid end to end, so that an optimiser's elementwise update is a few long loops.

A pass over each leaf costs more than its arithmetic where leaves are small: on CPU, Adam and the
gradient's norm over the six leaves of a small MLP take twice as long as over two vectors. All that
looks at single layers sees the tree (`Packing.unpack`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PyTree = Any
# Beyond this, vectors leave the cache, and the copies cost more than the loops save.
LARGEST = 2**17


class Packed(NamedTuple):
    """A pytree's leaves end to end, by dtype: those with two axes or more, and the others."""

    kernels: dict[str, Any]
    rest: dict[str, Any]


class Packing(NamedTuple):
    """How one pytree is laid out; hashable, as a program's static parts must be.

    Attributes:
        treedef: of the tree.
        leaves: shape and dtype of each of its leaves.
        packs: False: trees are left as they are (too large to gain by it).
    """

    treedef: Any
    leaves: tuple[tuple[tuple[int, ...], str], ...]
    packs: bool

    @classmethod
    def of(cls, template: PyTree) -> Packing:
        """The layout of trees of this form (arrays or their shapes and dtypes)."""
        leaves, treedef = jax.tree.flatten(template)
        told = tuple((tuple(leaf.shape), str(leaf.dtype)) for leaf in leaves)
        size = sum(leaf.size for leaf in leaves)
        return cls(treedef, told, 0 < size <= LARGEST)

    def _places(self) -> dict[tuple[str, str], list[int]]:
        """Leaves' indices by field of `Packed` and dtype, in the order in which they are laid."""
        places: dict[tuple[str, str], list[int]] = {}
        for index, (shape, dtype) in enumerate(self.leaves):
            field = "kernels" if len(shape) >= 2 else "rest"
            places.setdefault((field, dtype), []).append(index)
        return places

    def pack(self, tree: PyTree) -> PyTree:
        """The tree's leaves as a `Packed`."""
        if not self.packs:
            return tree
        leaves = jax.tree.leaves(tree)
        packed = Packed({}, {})
        for (field, dtype), indices in self._places().items():
            flat = jnp.concatenate([leaves[index].ravel() for index in indices])
            getattr(packed, field)[dtype] = flat
        return packed

    def unpack(self, packed: PyTree) -> PyTree:
        """The tree again."""
        if not self.packs:
            return packed
        leaves: list[Any] = [None] * len(self.leaves)
        for (field, dtype), indices in self._places().items():
            flat, start = getattr(packed, field)[dtype], 0
            for index in indices:
                shape = self.leaves[index][0]
                size = 1
                for length in shape:
                    size *= length
                leaves[index] = flat[start : start + size].reshape(shape)
                start += size
        return jax.tree.unflatten(self.treedef, leaves)


def is_kernel(params: PyTree) -> PyTree:
    """Which leaves are kernels (two axes or more), of a tree or of a `Packed`."""
    if isinstance(params, Packed):
        return Packed(dict.fromkeys(params.kernels, True), dict.fromkeys(params.rest, False))
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) >= 2, params)
