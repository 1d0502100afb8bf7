"""A small training state, and random edits of it that a digest must not miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Tree = dict[str, Any]


def state(rng: np.random.Generator) -> Tree:
    """What a trial carries: kernels, moments, statistics, a counter and an order."""

    def weights() -> Tree:
        first, second = rng.normal(size=(5, 7)), rng.normal(size=(7, 3)) / 10
        return {
            "dense": {"kernel": np.float32(first), "bias": np.zeros(7, np.float32)},
            "output": {"kernel": np.float32(second), "bias": np.float32(rng.normal(size=3))},
        }

    return {
        "params": weights(),
        "mu": weights(),
        "nu": jax.tree.map(np.square, weights()),
        "count": np.array([rng.integers(1, 1000)], np.int32),
        "order": rng.permutation(40).astype(np.int32),
    }


def words_of(tree: Tree, *path: str) -> np.ndarray:
    """A leaf's bits as a flat view: writing to them edits the tree."""
    for name in path:
        tree = tree[name]
    leaf: Any = tree
    return leaf.reshape(-1).view(np.uint32)


def any_words(tree: Tree, rng: np.random.Generator) -> np.ndarray:
    """The bits of one leaf of at least two elements that are no constants."""
    places = [("order",), *((part, "output", "kernel") for part in ("params", "mu", "nu"))]
    return words_of(tree, *places[rng.integers(len(places))])


Edit = Callable[[Tree, np.random.Generator], None]


def one_bit(tree: Tree, rng: np.random.Generator) -> None:
    words = [leaf.reshape(-1).view(np.uint32) for leaf in jax.tree.leaves(tree)]
    chosen = words[rng.integers(len(words))]
    chosen[rng.integers(chosen.size)] ^= np.uint32(1 << rng.integers(32))


def paired_bits(tree: Tree, rng: np.random.Generator) -> None:
    """The same bit of two elements: in a sum of bits it cancels where they differ in it."""
    words = any_words(tree, rng)
    words[rng.choice(words.size, 2, replace=False)] ^= np.uint32(1 << rng.integers(32))


def paired_signs(tree: Tree, rng: np.random.Generator) -> None:
    for part in ("params", "mu"):
        words = words_of(tree, part, "dense", "kernel")
        words[rng.integers(words.size)] ^= np.uint32(1 << 31)


def swap_within(tree: Tree, rng: np.random.Generator) -> None:
    words = any_words(tree, rng)
    a, b = rng.choice(words.size, 2, replace=False)
    words[[a, b]] = words[[b, a]]


def swap_across(tree: Tree, rng: np.random.Generator) -> None:
    left, right = (words_of(tree, part, "dense", "kernel") for part in ("params", "mu"))
    i, j = rng.integers(left.size), rng.integers(right.size)
    left[i], right[j] = right[j], left[i]


def move_leaves(tree: Tree, rng: np.random.Generator) -> None:
    a, b = rng.choice(["params", "mu", "nu"], 2, replace=False)
    tree[a]["output"], tree[b]["output"] = tree[b]["output"], tree[a]["output"]


def equal_and_opposite(tree: Tree, rng: np.random.Generator) -> None:
    """One word up and another down by as much: a plain sum of words does not move."""
    words = any_words(tree, rng)
    a, b = rng.choice(words.size, 2, replace=False)
    by = int(rng.integers(1, 2**24))
    words[[a, b]] += np.array([by, 2**32 - by], np.uint32)


def rotate(tree: Tree, rng: np.random.Generator) -> None:
    words = any_words(tree, rng)
    words[:] = np.roll(words, rng.integers(1, words.size))


def minus_zero(tree: Tree, rng: np.random.Generator) -> None:
    words = words_of(tree, "params", "dense", "bias")
    words[rng.integers(words.size)] = 1 << 31


ALL: tuple[Edit, ...] = (
    one_bit,
    paired_bits,
    paired_signs,
    swap_within,
    swap_across,
    move_leaves,
    equal_and_opposite,
    rotate,
    minus_zero,
)


def same_bits(a: Tree, b: Tree) -> bool:
    return all(x.tobytes() == y.tobytes() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))
