"""How far a trial and its twin have moved apart: the distance of their params over a run.

Sketches are float32 and see a one-bit difference only by luck; here all params are subtracted, in
float64, at steps fixed by the run's length alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

EACH = 32  # the first steps, all of which are looked at: each look costs a trial a third of a ms
LATER = 40  # looks after them, evenly in the logarithm of the step
EVENLY = 20  # and evenly in the step, to the end of the run


def steps(total: int) -> tuple[int, ...]:
    """Ascending steps at which twins of a run of this length are looked at, from 0 to the last.

    All of the first ones; then evenly in the logarithm and evenly in the step; and the powers of
    two, where sketches tell how far apart two seeds are.
    """
    early = range(min(EACH, total) + 1)
    if total <= EACH:
        return tuple(early)
    later = np.rint(np.geomspace(EACH, total, LATER + 1)).astype(int)
    evenly = np.rint(np.linspace(0, total, EVENLY + 1)).astype(int)
    powers = [1 << k for k in range(total.bit_length())]
    return tuple(sorted({*early, *map(int, later), *map(int, evenly), *powers}))


def distances(shards: Sequence[Any], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """float64[pairs]: Euclidean distance of each pair's params, all of them together.

    Args:
        shards: params of each shard, [width, ...], trial k at shard k mod shards (`Population`).
        pairs: places of two trials in the block.
    """
    squares = np.zeros(len(pairs))
    for leaves in zip(*(jax.tree.leaves(shard) for shard in shards)):
        host = [np.asarray(leaf) for leaf in leaves]
        for index, pair in enumerate(pairs):
            one, other = (
                host[place % len(host)][place // len(host)].ravel().astype(np.float64)
                for place in pair
            )
            # No product of vectors: BLAS would wake its threads for each, a hundred times as dear.
            squares[index] += np.square(one - other).sum()
    return np.asarray(np.sqrt(squares))


class TwinRecorder:
    """The distances of a block's pairs, looked at one step after another.

    Args:
        trials: how many trials the block has.
        pairs: places of each twin and of the trial whose twin it is.
        at: the steps to be looked at.
    """

    def __init__(self, trials: int, pairs: Sequence[tuple[int, int]], at: Sequence[int]) -> None:
        self._pairs = tuple(pairs)
        self._twins = [twin for twin, _ in self._pairs]
        self._at = tuple(at)
        self._table = np.full((trials, len(self._at)), np.nan)

    def add(self, step: int, params: Sequence[Any], ended: np.ndarray) -> None:
        """Notes the distances after a step, NaN where one of a pair has diverged.

        Args:
            params: of each shard, see `distances`.
            ended: bool[trials], which have diverged.
        """
        with np.errstate(invalid="ignore", over="ignore"):  # of diverged trials
            found = distances(params, self._pairs)
        gone = [bool(ended[list(pair)].any()) for pair in self._pairs]
        self._table[self._twins, self._at.index(step)] = np.where(gone, np.nan, found)

    def pack(self) -> dict[str, np.ndarray]:
        """The table as a checkpoint keeps it."""
        return {"twins/distance": self._table}

    def unpack(self, extra: dict[str, np.ndarray]) -> None:
        """Goes on from what `pack` gave; raises ValueError where it is of another form."""
        table = extra.get("twins/distance")
        if table is None or table.shape != self._table.shape or table.dtype != np.float64:
            raise ValueError("it does not hold the distances of twins that this study records")
        self._table = table.copy()

    def arrays(self) -> dict[str, np.ndarray]:
        """float64[trials, steps] by name: a twin's distance; NaN for trials that are none."""
        return {"distance": self._table}
