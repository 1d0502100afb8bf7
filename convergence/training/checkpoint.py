"""A block's state as named NumPy arrays and back, with a digest that no damage survives.

Plain arrays rather than Orbax: a block is a few megabytes, the digest proves that it is whole (an
Orbax folder carries none), and saving one costs milliseconds. Files are the caller's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_DIGEST = "sha256"


class DamagedCheckpoint(ValueError):
    """The arrays are not what was saved, or not of this program."""


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of arrays with their names, types and shapes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        total.update(f"{name}{array.dtype.str}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _names(tree: Any) -> list[str]:
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return [f"state{jax.tree_util.keystr(path)}" for path, _ in paths]


def plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type under which arrays are kept: NumPy's files lose bfloat16 and its like."""
    return np.dtype(f"u{dtype.itemsize}") if dtype.kind == "V" else dtype


def pack(state: Any, extra: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named arrays of a state's leaves and of `extra` (its names may not start with "state")."""
    leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(state)]
    arrays = {name: leaf.view(plain(leaf.dtype)) for name, leaf in zip(_names(state), leaves)}
    arrays |= {name: np.asarray(value) for name, value in extra.items()}
    arrays[_DIGEST] = np.frombuffer(digest(arrays).encode(), np.uint8)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray], template: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The state and the extra arrays that `pack` was given.

    Args:
        arrays: as read back.
        template: a state of the same structure (shapes and dtypes are enough).

    Raises:
        DamagedCheckpoint: the digest does not match, or names, shapes or dtypes are others.
    """
    arrays = dict(arrays)
    stored = arrays.pop(_DIGEST, np.zeros(0, np.uint8)).tobytes().decode("ascii", "replace")
    if stored != digest(arrays):
        raise DamagedCheckpoint("its digest does not match its content")
    leaves, structure = jax.tree_util.tree_flatten(template)
    found = []
    for name, leaf in zip(_names(template), leaves):
        array = arrays.pop(name, None)
        if array is None or array.shape != leaf.shape or array.dtype != plain(leaf.dtype):
            raise DamagedCheckpoint(f"it does not hold {name} as this program needs it")
        found.append(array.view(leaf.dtype))
    if any(name.startswith("state") for name in arrays):
        raise DamagedCheckpoint("it holds more state than this program has")
    return jax.tree_util.tree_unflatten(structure, found), arrays
