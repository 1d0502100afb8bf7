"""Keys have names: one independent stream for each source of randomness.

This is the only file that creates a root key. A key is derived by the source's *name*, then the
replica's index, never by the order of splits: adding or freezing a source moves no other stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TypeVar

import jax
import numpy as np

from convergence import names, threefry

Key = jax.Array
HostKey = np.ndarray  # uint32[2], a key's words: folded on the host, with nothing to compile
AnyKey = TypeVar("AnyKey", Key, HostKey)
SHARED = 0xFFFFFFFF  # folded in place of the replica's index where a source is not varied


def name_code(name: str) -> int:
    """A stable 32-bit code of a name (CRC-32), the same in every process and version."""
    return zlib.crc32(name.encode())


def fold_name(key: AnyKey, name: str) -> AnyKey:
    """The sub-stream of a typed key, or of a key's words, that bears this name."""
    code = np.uint32(name_code(name))
    if isinstance(key, np.ndarray):
        return threefry.fold_in(key, code)
    return jax.random.fold_in(key, code)


def root_key(seed: int) -> Key:
    """The root of all keys of a study: threefry, seed 0 … 2**63-1 (0 is a seed like any other)."""
    low, high = seed & 0xFFFFFFFF, seed >> 32
    key = jax.random.key(np.uint32(low), impl="threefry2x32")
    return jax.random.fold_in(key, np.uint32(high))


def source_key(seed: int, source: str, replica: int | None) -> Key:
    """The typed key of one source; ``replica=None`` gives the stream all replicas share.

    That stream is the first of several: ``SHARED - k`` as the replica gives the one of draw k.
    """
    index = SHARED if replica is None else replica
    return jax.random.fold_in(fold_name(root_key(seed), source), np.uint32(index))


def key_tree(seed: int, replica: int, varied: Collection[str]) -> dict[str, Key]:
    """One typed key per source, by name then replica; unvaried sources share one stream.

    Args:
        seed: the study's root seed.
        replica: index of the replica, 0 … 2**31-1.
        varied: sources that differ between replicas.
    """
    return {
        source: source_key(seed, source, replica if source in varied else None)
        for source in names.SOURCES
    }


def key_data(keys: dict[str, Key]) -> dict[str, np.ndarray]:
    """The uint32[2] words of each key: what lanes carry; `wrap` undoes it inside the program."""
    return {name: np.asarray(jax.random.key_data(key)) for name, key in keys.items()}


def wrap(data: jax.Array) -> Key:
    """A typed threefry key from its uint32[..., 2] words."""
    return jax.random.wrap_key_data(data, impl="threefry2x32")


def host_key(seed: int, source: str, replica: int | None) -> HostKey:
    """The words of `source_key`, computed on the host."""
    index = SHARED if replica is None else replica
    return key_table(seed, np.array([index]), (source,), sources=(source,))[source][0]


def host_generator(key: Key | HostKey) -> np.random.Generator:
    """A NumPy generator keyed by a key or its words, for host-side draws (splits, corruption)."""
    words = key if isinstance(key, np.ndarray) else np.asarray(jax.random.key_data(key)).ravel()
    return np.random.Generator(np.random.Philox(key=words.astype(np.uint64)))


def key_table(
    seed: int,
    replicas: np.ndarray,
    varied: Collection[str],
    draws: Mapping[str, int] = MappingProxyType({}),
    sources: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """`key_data` of `key_tree` for many replicas at once, computed on the host.

    Args:
        seed: the study's root seed.
        replicas: [n] indices of replicas.
        varied: sources that differ between replicas.
        draws: for sources that do not, which of their shared streams is taken (default 0).
        sources: names of the streams (default: all sources).

    Returns:
        uint32[n, 2] by source.
    """
    key = np.array([0, seed & 0xFFFFFFFF], np.uint32)  # as `jax.random.key` has it
    root = threefry.fold_in(key, np.uint32(seed >> 32))
    table = {}
    for source in names.SOURCES if sources is None else sources:
        base = threefry.fold_in(root, np.uint32(name_code(source)))
        index = np.asarray(replicas, np.uint32)
        if source not in varied:
            index = np.full_like(index, SHARED - draws.get(source, 0))
        table[source] = threefry.fold_in(base, index)
    return table
