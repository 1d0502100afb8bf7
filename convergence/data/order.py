"""The order in which the rows of one epoch are visited: pure JAX, drawn once an epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from convergence.randomness import Key


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
    return jax.lax.sort((rank, position), num_keys=1, is_stable=True)[1]
