"""Rounding, repeated: random last bits at every step, as another order of sums would give them.

Three things move. The gradient is taken at params whose last bits are moved, which gives its
elements the errors that a forward and a backward pass make (large where terms cancel); the
gradient's own last bits move; and so do those of the new params, as seldom as an error in the last
bit of an update reaches them. Only the last is carried on as such.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from convergence.randomness import wrap
from convergence.training.state import Lane

PyTree = Any
AMPLITUDE = "jitter"  # its name among a lane's hyperparameters: units in the last place, rms
_TINY = 1e-30  # below it a number counts as zero: its last bits may be flushed away
SEEN, GRADIENT, UPDATE = range(3)  # what is moved


class Jitter(NamedTuple):
    """One step's rounding: a typed key, and the amplitude in units in the last place."""

    key: jax.Array
    amplitude: jax.Array


def of_step(lane: Lane, step: jax.Array) -> Jitter:
    """The rounding of a step, from the lane's ``rounding`` stream."""
    key = jax.random.fold_in(wrap(lane.keys["rounding"]), step.astype(jnp.uint32))
    return Jitter(key, lane.hyper[AMPLITUDE])


def _moved(key: jax.Array, value: jax.Array, amplitude: jax.Array) -> jax.Array:
    """float32 values, each moved by a random whole number of units in the last place.

    The number has mean 0 and, above 1, the standard deviation `amplitude` (below 1 it is mostly
    0: the unit is what rounding leaves). Zeros stay: nothing is rounded there.
    """
    bits = jax.random.bits(key, (2, *value.shape), jnp.uint16).astype(jnp.float32)
    low, high = bits[0] / 65536, bits[1] / 65536
    units = jnp.floor(amplitude * (low - 0.5) * np.float32(12**0.5) + high).astype(jnp.int32)
    raw = jax.lax.bitcast_convert_type(value, jnp.int32)  # the next number away from 0 is one more
    moved = jax.lax.bitcast_convert_type(raw + units, jnp.float32)
    moves = (jnp.abs(value) > _TINY) & jnp.isfinite(value) & jnp.isfinite(moved)
    return jnp.where(moves, moved, value)


def moved(jitter: Jitter, what: int, tree: PyTree, by: PyTree | None = None) -> PyTree:
    """The tree with the last bits of its float32 leaves moved.

    Args:
        what: SEEN, GRADIENT or UPDATE; each draws its own bits.
        by: a tree of the same form: each element moves by its share ``|by / element|`` of the
            amplitude (a sum's error where only one term of it is uncertain).
    """
    leaves, treedef = jax.tree.flatten(tree)
    shares = [None] * len(leaves) if by is None else jax.tree.leaves(by)
    out = []
    for index, (leaf, share) in enumerate(zip(leaves, shares)):
        if leaf.dtype != jnp.float32:
            out.append(leaf)
            continue
        amplitude = jitter.amplitude
        if share is not None:
            size = jnp.maximum(jnp.abs(leaf), np.float32(_TINY))
            amplitude = amplitude * jnp.minimum(jnp.abs(share) / size, 1)
        key = jax.random.fold_in(jitter.key, np.uint32(what + 3 * index))
        out.append(_moved(key, leaf, amplitude))
    return jax.tree.unflatten(treedef, out)


def rounded_update(jitter: Jitter, new: PyTree, old: PyTree) -> PyTree:
    """New params with the rounding of the update that led to them from the old."""
    return moved(jitter, UPDATE, new, jax.tree.map(jnp.subtract, new, old))
