"""Two runs' states compared bit for bit, array by array, under names that a reader knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from convergence.models.base import leaf_path
from convergence.packing import Packed, Packing
from convergence.training.state import TrialState

GROUPS = ("params", "opt_state", "model_state", "plateau", "order")


@dataclasses.dataclass(frozen=True)
class ArrayDifference:
    """How an array differs between two runs.

    Attributes:
        path: ``params/Dense_0/kernel[3, 17]``: the array and the first place that differs.
        a, b: the values there, as told to a reader.
        count, size: how many of the array's values differ, of how many.
    """

    path: str
    a: str
    b: str
    count: int
    size: int


def bits(array: Any) -> np.ndarray:
    """The raw bits of an array's values, one unsigned integer each."""
    array = np.asarray(array)
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(f"u{array.dtype.itemsize}").reshape(array.shape)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two pytrees of arrays agree in form and in every bit."""
    one, other = jax.tree.flatten(a), jax.tree.flatten(b)
    return bool(one[1] == other[1]) and all(  # type: ignore[operator]
        x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(map(np.asarray, one[0]), map(np.asarray, other[0]))
    )


def core(state: TrialState) -> Any:
    """All that decides a trial's further steps."""
    return state.train, state.order, state.plateau, state.first_bad


def opened(tree: Any, packing: Packing) -> Any:
    """A pytree with its packed parts as the trees that they are of."""
    return jax.tree.map(
        lambda node: packing.unpack(node) if isinstance(node, Packed) else node,
        tree,
        is_leaf=lambda node: isinstance(node, Packed),
    )


def named(state: TrialState, packing: Packing) -> dict[str, np.ndarray]:
    """The arrays of a state [1, ...] by path, without the axis of trials.

    Numbers that stand for an optimiser's parts are left out of paths where these stay apart.
    """
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], state)
    whole = dict(one.train._asdict()) | {"plateau": one.plateau, "order": one.order}
    found: dict[str, np.ndarray] = {}
    for group in GROUPS:
        leaves = jax.tree_util.tree_leaves_with_path(opened(whole[group], packing))
        paths = [(group, *leaf_path(path)) for path, _ in leaves]
        short = ["/".join(part for part in path if not part.isdigit()) for path in paths]
        for path, name, (_, leaf) in zip(paths, short, leaves):
            found[name if short.count(name) == 1 else "/".join(path)] = np.asarray(leaf)
    return found


def group_of(path: str) -> str:
    """Which of `GROUPS` an array is in."""
    return path.split("/")[0].split("[")[0]


def shown(value: Any) -> str:
    """A value as a reader wants it: enough digits to tell it from its neighbours."""
    value = np.asarray(value)
    if value.dtype.kind == "f" and value.dtype.itemsize == 4:
        return f"{float(value):.9g}"
    return f"{float(value):.17g}" if value.dtype.kind == "f" else str(value)


def compared(a: np.ndarray, b: np.ndarray, path: str) -> ArrayDifference | None:
    """How two arrays differ; None where they agree in form and in every bit."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        forms = [f"{one.dtype}[{', '.join(map(str, one.shape))}]" for one in (a, b)]
        size = max(a.size, b.size)
        return ArrayDifference(path, forms[0], forms[1], size, size)
    apart = bits(a) != bits(b)
    if not apart.any():
        return None
    at = tuple(int(k) for k in np.argwhere(apart)[0])
    place = f"{path}[{', '.join(map(str, at))}]" if at else path
    return ArrayDifference(place, shown(a[at]), shown(b[at]), int(apart.sum()), a.size)


def differences(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> list[ArrayDifference]:
    """All arrays that differ between two sets of named ones, in the first one's order."""
    found = []
    for path in [*a, *(name for name in b if name not in a)]:
        if path not in a or path not in b:
            there = "is there" if path in a else "is not"
            found.append(ArrayDifference(path, there, "is not" if path in a else "is there", 1, 1))
        elif (one := compared(a[path], b[path], path)) is not None:
            found.append(one)
    return found
