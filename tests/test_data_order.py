"""The keyed order of an epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence import randomness
from convergence.data.order import epoch_order, stable_order

KEY = randomness.source_key(0, "order", 0)
_order = jax.jit(epoch_order, static_argnames="size")
_stable = jax.jit(stable_order, static_argnames="largest")
GOLDEN = [10, 5, 8, 2, 3, 1, 9, 7, 4, 6, 0, 11, 12, 13, 14, 15]


@settings(deadline=None, max_examples=40)
@given(count=st.integers(0, 64), size=st.sampled_from([64, 65, 200]), epoch=st.integers(0, 1000))
def test_order_is_a_permutation_and_ignores_padding(count: int, size: int, epoch: int) -> None:
    """The first ``count`` entries permute 0 … count-1, the rest is padding, whatever the size."""
    order = np.asarray(_order(KEY, epoch, count, size=size))
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order[:count]), np.arange(count))
    np.testing.assert_array_equal(np.sort(order[count:]), np.arange(count, size))
    np.testing.assert_array_equal(
        order[:count], np.asarray(_order(KEY, epoch, count, size=64))[:count]
    )


def test_order_golden() -> None:
    """The order's stream never changes."""
    assert np.asarray(_order(KEY, 0, 12, size=16)).tolist() == GOLDEN


@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([1, 2, 3, 64, 65, 300]),
    top=st.sampled_from([1, 3, 500, 2**20, 2**32]),
    largest=st.sampled_from([0, 2**20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_both_ways_of_sorting_are_the_stable_one(
    size: int, top: int, largest: int, seed: int
) -> None:
    """Ranks that share their leading bits, or all their bits, come as NumPy's stable sort has them.

    Low ranks differ in the bits that a word has no room for, so that only the passes over
    neighbours tell them apart.
    """
    rank = np.random.default_rng(seed).integers(0, top, size, dtype=np.uint64).astype(np.uint32)
    rank = rank + np.uint32(2**32 - top) if seed % 2 else rank
    found = np.asarray(_stable(jnp.asarray(rank), largest=largest))
    np.testing.assert_array_equal(found, np.argsort(rank, kind="stable"))


def test_epochs_and_keys_differ() -> None:
    """Each epoch and each replica has an order of its own."""
    other = randomness.source_key(0, "order", 1)
    orders = {tuple(np.asarray(_order(KEY, epoch, 30, size=30)).tolist()) for epoch in range(20)}
    assert len(orders) == 20
    assert tuple(np.asarray(_order(other, 0, 30, size=30)).tolist()) not in orders


def test_order_under_vmap_with_traced_counts() -> None:
    """Lanes with counts and epochs of their own get the order they would get alone."""
    counts, epochs = jnp.array([3, 17, 32]), jnp.array([5, 0, 2])
    together = jax.vmap(lambda c, e: epoch_order(KEY, e, c, 32))(counts, epochs)
    for lane in range(3):
        alone = _order(KEY, epochs[lane], counts[lane], size=32)
        np.testing.assert_array_equal(together[lane], alone)


def test_positions_are_uniform() -> None:
    """Over 4,000 epochs each row stands at each position equally often (chi-square)."""
    orders = np.asarray(jax.vmap(lambda e: epoch_order(KEY, e, 8, 11))(jnp.arange(4000)))[:, :8]
    counts = np.array([[np.sum(orders[:, p] == row) for row in range(8)] for p in range(8)])
    statistic = np.sum((counts - 500.0) ** 2 / 500.0)
    assert stats.chi2.sf(statistic, 49) > 1e-3
    assert stats.chi2.cdf(statistic, 49) > 1e-3
