"""Integer digests of a trial's whole state, and sketches that survive a change of machine.

A fingerprint is two uint32 words. Each element's bits are mixed non-linearly with its place in
the whole tree and the word, then summed modulo 2**32: the sum makes it independent of the order in
which a device reduces, the non-linear mixing keeps edits from cancelling (with linear mixing,
paired sign flips and swaps cancel). No two places are the same, whatever the leaves are called, and
all change with any leaf's path, shape or dtype. The finaliser is MurmurHash3's fmix32 (Appleby,
public domain).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convergence.randomness import name_code
from convergence.training.state import SKETCH_SIZE

_UNSIGNED = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def mix(value: jax.Array) -> jax.Array:
    """MurmurHash3's 32-bit finaliser, elementwise on uint32: every input bit moves every output."""
    value = value ^ (value >> np.uint32(16))
    value = value * np.uint32(0x85EBCA6B)
    value = value ^ (value >> np.uint32(13))
    value = value * np.uint32(0xC2B2AE35)
    return value ^ (value >> np.uint32(16))


def bits(array: jax.Array) -> jax.Array:
    """The raw bits of an array's elements as uint32, flattened; 64-bit elements give two words."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    size = array.dtype.itemsize
    target = _UNSIGNED.get(size, jnp.uint32)  # 8 bytes: bitcast adds an axis of two words
    return jax.lax.bitcast_convert_type(array, target).astype(jnp.uint32).ravel()


def structure_code(tree: Any) -> int:
    """A code of where all leaves stand and what they are: paths, shapes and dtypes."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    told = [f"{jax.tree_util.keystr(path)}{leaf.shape}{leaf.dtype}" for path, leaf in leaves]
    return name_code("\n".join(told))


def fingerprint(tree: Any) -> jax.Array:
    """uint32[2] digest of every bit of every leaf of a pytree of arrays, and of where it stands."""
    tree = jax.tree.map(jnp.asarray, tree)
    raws = [bits(leaf) for leaf in jax.tree.leaves(tree)]
    if not raws:
        return jnp.zeros((2,), jnp.uint32)
    # Joined before they are mixed: one loop compiles in a fraction of the time of one a leaf.
    raw = jnp.concatenate(raws)
    place = mix(jnp.arange(raw.size, dtype=jnp.uint32) ^ np.uint32(structure_code(tree)))
    first = mix(raw ^ place)
    # The second word sees other mixtures of both, so that one word's collision is not its.
    second = mix((raw + np.uint32(0x9E3779B9)) ^ mix(place + np.uint32(0x7F4A7C15)))
    return jnp.stack([jnp.sum(first, dtype=jnp.uint32), jnp.sum(second, dtype=jnp.uint32)])


def join(words: np.ndarray) -> np.ndarray:
    """uint64 values from uint32[..., 2] words; done on the host, where uint64 exists."""
    words = np.asarray(words).astype(np.uint64)
    return (words[..., 0] << np.uint64(32)) | words[..., 1]


def sketch(params: Any) -> jax.Array:
    """float32[SKETCH_SIZE] keyed random projection of all params.

    Element i of the concatenated params goes to coordinate i mod SKETCH_SIZE with a hashed sign (a
    feature-hashing sketch, Weinberger et al. 2009), so that E|sketch(a) - sketch(b)|² = |a - b|²:
    two runs' distance can be estimated without either's params.
    """
    flats, places = [], []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        flat = leaf.astype(jnp.float32).ravel()
        # The sign may not depend on the dtype or shape: other versions must agree on it.
        code = np.uint32(name_code(jax.tree_util.keystr(path)))
        flats.append(flat)
        places.append(jnp.arange(flat.size, dtype=jnp.uint32) ^ code)
    flat, place = jnp.concatenate(flats), jnp.concatenate(places)
    signed = flat * (1.0 - 2.0 * (mix(place) >> np.uint32(31)).astype(jnp.float32))
    padded = jnp.pad(signed, (0, -signed.size % SKETCH_SIZE))
    return padded.reshape(-1, SKETCH_SIZE).sum(axis=0)
