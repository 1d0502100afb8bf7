"""Fingerprints: no edit of a state goes unseen, and nothing but an edit is seen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.edits import ALL, Tree, same_bits, state
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.randomness import name_code
from convergence.training import curve
from convergence.training.fingerprint import bits, fingerprint, join, mix, sketch, structure_code
from convergence.training.state import SKETCH_SIZE

BATCH = 500  # edited states that are digested at once
EDITS = 10_000

digest_one = jax.jit(fingerprint)
digest_many = jax.jit(jax.vmap(fingerprint))


@pytest.fixture(scope="module")
def edited() -> tuple[np.ndarray, np.ndarray]:
    """uint32[edits, 2] digests of states before and after one random edit each."""
    rng = np.random.default_rng(20)
    before, after = [], []
    for _ in range(EDITS // BATCH):
        olds, news = [], []
        for _ in range(BATCH):
            olds.append(state(rng))
            news.append(jax.tree.map(np.copy, olds[-1]))
            kind = ALL[rng.integers(len(ALL))]
            while same_bits(olds[-1], news[-1]):  # a swap of two equal values edits nothing
                kind(news[-1], rng)
        for states, digests in ((olds, before), (news, after)):
            stacked = jax.tree.map(lambda *parts: np.stack(parts), *states)
            digests.append(np.asarray(digest_many(stacked)))
    return np.concatenate(before), np.concatenate(after)


def test_no_edit_is_missed(edited: tuple[np.ndarray, np.ndarray]) -> None:
    """Protects comparisons of runs: of 10,000 random edits of a state none keeps its digest."""
    before, after = edited
    assert len(before) == EDITS
    assert not np.any(join(before) == join(after))


def test_each_word_sees_on_its_own(edited: tuple[np.ndarray, np.ndarray]) -> None:
    """Protects the 64 bits: each word alone misses none of 10,000, and neither follows the other.

    A word of 32 good bits would miss one in 4,295 million; all 20,000 states' words differ but
    for a birthday or two.
    """
    before, after = edited
    assert not np.any(before == after)
    words = np.concatenate([before, after])
    for word in words.T:
        assert len(np.unique(word)) >= len(word) - 3
    assert np.mean(words[:, 0] == words[:, 1]) == 0
    moved = before ^ after  # how often each output bit moves with an edit: half the time
    share = np.unpackbits(moved.view(np.uint8).reshape(EDITS, 8), axis=1).mean(axis=0)
    assert np.all(np.abs(share - 0.5) < 0.1)


def test_words_are_independent() -> None:
    """Protects against two words that collide together: states with one equal word are told apart.

    Single words of 65,536 values each: a few collide in one of the words' halves, and hardly any
    in the same half of both.
    """
    values = jnp.arange(65_536, dtype=jnp.uint32)[:, None]
    found = np.asarray(jax.jit(jax.vmap(fingerprint))(values))
    low = (found & 0xFFFF).astype(np.int64)
    pairs = len(np.unique(low[:, 0] * 65_536 + low[:, 1]))
    assert len(np.unique(low[:, 0])) < 45_000
    assert pairs > 65_536 - 10


def test_names_with_close_codes() -> None:
    """Protects against places made of a name's code and an index: they may meet across leaves.

    Two names are sought whose codes agree in the upper bits; elements whose places would be the
    same change places.
    """
    size, codes, pair = 1000, dict[int, int](), (0, 0)
    for number in range(200_000):
        code = name_code(f"['k{number}']({size},)float32")
        if code >> 10 in codes:
            pair = codes[code >> 10], number
            break
        codes[code >> 10] = number
    names = [f"k{number}" for number in pair]
    apart = [name_code(f"['{name}']({size},)float32") for name in names]
    tree = {name: np.arange(size, dtype=np.float32) - size * k for k, name in enumerate(names)}
    start = np.asarray(digest_one(tree))
    tried = 0
    for i in range(0, size, 7):
        j = i ^ apart[0] ^ apart[1]
        if j >= size:
            continue
        other = {name: leaf.copy() for name, leaf in tree.items()}
        other[names[0]][i], other[names[1]][j] = tree[names[1]][j], tree[names[0]][i]
        assert np.all(np.asarray(digest_one(other)) != start)
        tried += 1
    assert tried > 50


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.ones((2, 3), np.float32), "c": np.zeros(2, np.int32)},  # renamed
        {"a": np.ones((3, 2), np.float32), "b": np.zeros(2, np.int32)},  # reshaped
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.uint32)},  # dtype, equal bits
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float32)},
        {"a": np.ones((2, 3), np.float32).view(np.int32), "b": np.zeros(2, np.int32)},
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(1, np.int32), "c": np.zeros(1, np.int32)},
        {"a": np.ones((2, 3), np.float32), "b": {"b": np.zeros(2, np.int32)}},  # deeper
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.int32), "c": np.zeros(0, np.int32)},
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(3, np.int32)},
        {"a": np.ones((2, 3), np.float32)},
    ],
)
def test_form_is_part_of_it(other: Tree) -> None:
    """Protects against the same bits under another name, shape or type."""
    base = {"a": np.ones((2, 3), np.float32), "b": np.zeros(2, np.int32)}
    assert not np.array_equal(fingerprint(base), fingerprint(other))


def test_every_type_is_read_whole() -> None:
    """Protects small and large types: one bit of any element of any type moves both words."""
    tree = {
        "bool": np.array([True, False]),
        "int8": np.array([1, -2], np.int8),
        "bfloat16": np.asarray(jnp.asarray([1.5, -2.5], jnp.bfloat16)),
        "float32": np.array([np.nan, -0.0], np.float32),
        "uint32": np.array([0, 2**32 - 1], np.uint32),
        "scalar": np.float32(3.0),
    }
    start = np.asarray(fingerprint(tree))
    for name, leaf in tree.items():
        for byte in range(leaf.nbytes):
            raw = bytearray(leaf.tobytes())
            raw[byte] ^= 1
            new = np.frombuffer(bytes(raw), leaf.dtype).reshape(leaf.shape)
            assert np.all(np.asarray(fingerprint(tree | {name: new})) != start), (name, byte)
    key = jax.random.key(3)
    assert np.array_equal(bits(key), jax.random.key_data(key))
    assert np.array_equal(fingerprint({}), np.zeros(2))


def test_reduction_order_does_not_matter() -> None:
    """Protects the digest from the device: it is a sum modulo 2**32, in whatever order."""
    tree = state(np.random.default_rng(4))
    expected = np.asarray(digest_one(tree))
    assert np.array_equal(fingerprint(tree), expected)  # op by op, not fused
    many = jax.tree.map(lambda leaf: np.stack([leaf] * 3), tree)
    assert np.array_equal(digest_many(many), np.stack([expected] * 3))
    # The definition, in NumPy, summed from the back.
    words = np.concatenate([leaf.reshape(-1).view(np.uint32) for leaf in jax.tree.leaves(tree)])
    place = curve.mix(np.arange(words.size, dtype=np.uint32) ^ np.uint32(structure_code(tree)))
    first = curve.mix(words ^ place)
    second = curve.mix((words + np.uint32(0x9E3779B9)) ^ curve.mix(place + np.uint32(0x7F4A7C15)))
    assert np.array_equal([np.sum(w[::-1], dtype=np.uint32) for w in (first, second)], expected)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=16, max_size=16))
def test_host_and_device_mix_alike(values: list[int]) -> None:
    """Protects the chain, mixed on the host, from drifting from the digests of the device."""
    array = np.array([*values, 0, 1, 2**31, 2**32 - 1], np.uint32)
    assert np.array_equal(curve.mix(array), mix(jnp.asarray(array)))


def test_mix_is_fmix32() -> None:
    """Protects old fingerprints: MurmurHash3's finaliser, by its published constants."""
    assert curve.mix(np.array([0, 1], np.uint32)).tolist() == [0, 0x514E28B7]
    values = np.arange(100_000, dtype=np.uint32) * np.uint32(2654435761)
    assert len(np.unique(curve.mix(values))) == len(values)  # one to one


def test_join() -> None:
    """Protects the first word from being lost without 64-bit integers on the device."""
    words = np.array([[1, 2], [2**32 - 1, 2**32 - 1]], np.uint32)
    assert join(words).dtype == np.uint64
    assert join(words).tolist() == [2**32 + 2, 2**64 - 1]


def test_sketches_keep_distances() -> None:
    """Protects comparison across machines: |sketch a - sketch b|² is |a - b|² on average."""
    rng = np.random.default_rng(1)
    project = jax.jit(sketch)
    one = {"k": np.float32(rng.normal(size=(40, 30))), "b": np.float32(rng.normal(size=77))}
    ratios = []
    for _ in range(200):
        step = jax.tree.map(lambda a: np.float32(rng.normal(size=a.shape)), one)
        two = jax.tree.map(np.add, one, step)
        told = np.asarray(project(two)) - np.asarray(project(one))
        assert told.shape == (SKETCH_SIZE,)
        size = sum(float(np.square(leaf).sum()) for leaf in jax.tree.leaves(step))
        ratios.append(float(np.square(told).sum()) / size)
    assert abs(np.mean(ratios) - 1) < 0.05
    assert np.std(ratios) < 0.3
    aligned = jax.tree.map(np.ones_like, one)  # hashed signs: equal values do not pile up
    assert np.square(np.asarray(project(aligned))).sum() < 4 * (1200 + 77)
    # Another shape or dtype of the same numbers has the same sketch: versions may differ in it.
    other = {"k": one["k"].reshape(30, 40), "b": one["b"].astype(np.float16)}
    assert np.allclose(project(other), project(one), atol=1e-2)
