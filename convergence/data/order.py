"""The order in which the rows of one epoch are visited: pure JAX, drawn once an epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from convergence.randomness import Key

LARGEST_WORDS = 2**17  # beyond it, too few of a word's bits are left to sort by


def epoch_order(key: Key, epoch: jax.Array | int, count: jax.Array | int, size: int) -> jax.Array:
    """A keyed order of 0 … count-1, followed by the padding count … size-1.

    Each position draws 32 random bits and the positions are sorted by them (stable). Under JAX's
    default ``jax_threefry_partitionable`` the bits of a position do not depend on how many are
    drawn, so the order of ``count`` rows is the same for every padded ``size``.

    Args:
        key: typed threefry key of the source ``order``; the epoch is folded in here.
        epoch: index of the epoch, may be traced.
        count: rows to visit, at most ``size``, may be traced.
        size: length of the result, static.

    Returns:
        [size] int32.
    """
    position = jax.lax.iota(jnp.int32, size)
    bits = jax.random.bits(jax.random.fold_in(key, epoch), (size,), jnp.uint32)
    # Padding takes the largest value; a row that drew it too stays before, the sort being stable.
    rank = jnp.where(position < count, bits, jnp.uint32(0xFFFFFFFF))
    return stable_order(rank)


def stable_order(rank: jax.Array, largest: int = LARGEST_WORDS) -> jax.Array:
    """The positions (int32[n]) in the order of their ranks (uint32[n]), ties by position.

    XLA sorts plain words several times faster than pairs (on CPU an order of 1,472 rows cost as
    much as a training step). So a word holds a rank's leading bits above the position, and what
    these bits left undecided, a few neighbours, is put right afterwards.
    """
    size = rank.shape[0]
    position = jax.lax.iota(jnp.uint32, size)
    if size > largest:
        return jax.lax.sort((rank, position.astype(jnp.int32)), num_keys=1, is_stable=True)[1]
    below = jnp.uint32((1 << (size - 1).bit_length()) - 1)
    words = jax.lax.sort((rank & ~below) | position, is_stable=False)
    order = (words & below).astype(jnp.int32)

    def unsorted(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(pair[0][:-1] > pair[0][1:])

    def pass_over(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return _neighbours_sorted(*_neighbours_sorted(*pair, 0), 1)

    return jax.lax.while_loop(unsorted, pass_over, (rank[order], order))[1]


def _neighbours_sorted(
    rank: jax.Array, order: jax.Array, first: int
) -> tuple[jax.Array, jax.Array]:
    """Ranks and order with the pairs (first, first + 1), (first + 2, …) each put in order."""
    length = max(rank.shape[0] - first, 0) // 2 * 2

    def pairs_of(values: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(values, first, length).reshape(-1, 2)

    swaps = (pairs_of(rank)[:, 0] > pairs_of(rank)[:, 1])[:, None]

    def swapped(values: jax.Array) -> jax.Array:
        pairs = pairs_of(values)
        told = jnp.where(swaps, pairs[:, ::-1], pairs).reshape(-1)
        return jax.lax.dynamic_update_slice_in_dim(values, told, first, 0)

    return swapped(rank), swapped(order)
