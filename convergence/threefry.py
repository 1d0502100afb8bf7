"""Threefry-2x32 on the host: many keys folded at once, with nothing to trace or compile.

The block cipher of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011), 20 rounds, as `jax.random` uses it: its results are the same bits.
"""

from __future__ import annotations

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)  # of the key schedule


def fold_in(key: np.ndarray, data: np.ndarray | np.uint32) -> np.ndarray:
    """The words of ``jax.random.fold_in`` for threefry keys.

    Args:
        key: uint32[..., 2] words of keys.
        data: uint32[...] what is folded in; broadcasts with the keys.

    Returns:
        uint32[..., 2].
    """
    key, data = np.asarray(key, np.uint32), np.asarray(data, np.uint32)
    shape = np.broadcast_shapes(key.shape[:-1], data.shape)
    schedule = [np.broadcast_to(key[..., k], shape) for k in (0, 1)]
    schedule.append(schedule[0] ^ schedule[1] ^ _PARITY)
    # Arrays of at least one dimension: NumPy warns where a scalar's sum wraps around.
    left = np.atleast_1d(schedule[0]).copy()
    right = np.atleast_1d(data + np.zeros(shape, np.uint32)) + schedule[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            left += right
            right = left ^ ((right << np.uint32(turn)) | (right >> np.uint32(32 - turn)))
        left += schedule[(group + 1) % 3]
        right += schedule[(group + 2) % 3] + np.atleast_1d(np.uint32(group + 1))
    return np.stack([left.reshape(shape), right.reshape(shape)], axis=-1)
