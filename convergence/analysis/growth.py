"""How fast a small difference between two runs grows, and whether it heals.

The rate is that of a largest Lyapunov exponent: the slope of the logarithm of the distance against
the step, before it saturates (Wolf, Swift, Swinney & Vastano 1985; fitted by least squares over the
linear range, as Rosenstein, Collins & De Luca 1993 do, but for each pair by itself, so that pairs
give an interval).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.analysis.statistics import Interval, paired_t, proportion_exact, strict_number

SETTLE = 8  # steps in which one weight's difference spreads to all others
SATURATED = 0.1  # of its largest value: from there on a distance no longer grows freely
TAKEN_OFF = 1e3  # times what it was: a distance that rose by less has nowhere saturated
FEWEST = 4  # points of a slope
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Growth:
    """What became of a small difference, over pairs of runs.

    Attributes:
        rate: mean over pairs of the slope of log distance, per step; above 0 it grows. Pairs
            without a slope (healed before there were points enough, or diverged) are left out.
        slopes: [pairs] these slopes, NaN where there is none.
        windows: [pairs] first and last step of each fit; (-1, -1) where there is none.
        healed: share of pairs whose distance is exactly 0 at the end.
        passing: share of pairs whose distance was 0 after some step, but not at the end.
        pairs: pairs that differed at the start and of which both trials finished, of ``trials``.
        healed_pairs: bool[pairs], those whose distance is 0 at the end.
    """

    rate: Interval
    slopes: Array
    windows: tuple[tuple[int, int], ...]
    healed: Interval
    passing: Interval
    pairs: int
    trials: int
    healed_pairs: NDArray[np.bool_]

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        return {
            "rate": self.rate.to_json(),
            "slopes": [strict_number(float(slope)) for slope in self.slopes],
            "windows": [list(window) for window in self.windows],
            "healed": self.healed.to_json(),
            "passing": self.passing.to_json(),
            "pairs": self.pairs,
            "trials": self.trials,
        }


def window(steps: ArrayLike, distance: ArrayLike) -> tuple[int, int] | None:
    """First and last index, both included, of the points that a pair's slope is fitted to.

    A distance that rises `TAKEN_OFF`-fold after `SETTLE` steps is fitted from there up to the last
    point before it first reaches a tenth (`SATURATED`) of its largest value. One that takes off
    sooner is fitted from the start to where it reaches it. Any other has not saturated – it falls,
    or what rounding adds at each step adds up – and is fitted from `SETTLE` steps on to its end.
    None where fewer than `FEWEST` points above 0 are left.

    Args:
        steps: [points] ascending.
        distance: [points] not below 0, finite.
    """
    at, gap = np.asarray(steps), np.asarray(distance, np.float64)
    there = np.flatnonzero(gap > 0)
    if len(there) < FEWEST:
        return None
    late = there[at[there] >= SETTLE]
    settled = int(late[0]) if len(late) else int(there[0])
    top = gap.max()
    reached = int(np.flatnonzero(gap >= SATURATED * top)[0])
    first, last = settled, int(there[-1])
    if top >= TAKEN_OFF * gap[settled] and reached - settled >= FEWEST:
        last = reached - 1
    elif top >= TAKEN_OFF * gap[there[0]]:
        first, last = int(there[0]), reached
    return (first, last) if (gap[first : last + 1] > 0).sum() >= FEWEST else None


def _slope(steps: Array, distance: Array) -> float:
    """Least-squares slope of the log distance by step, over the points above 0."""
    there = distance > 0
    x, y = steps[there], np.log(distance[there])
    x = x - x.mean()
    return float((x @ (y - y.mean())) / (x @ x))


def growth(steps: ArrayLike, distance: ArrayLike, level: float = 0.95) -> Growth:
    """The growth of small differences, with intervals for other seeds.

    The rate's interval is Student's over pairs, those of proportions are exact.

    Args:
        steps: [points] ascending, 0 first.
        distance: [pairs, points]; not finite where a trial of a pair diverged. Pairs that do not
            differ at the start are no pairs.
        level: two-sided.
    """
    at = np.asarray(steps, np.float64)
    table = np.asarray(distance, np.float64)
    slopes, windows = np.full(len(table), np.nan), [(-1, -1)] * len(table)
    good = np.isfinite(table).all(axis=1) & (table[:, 0] > 0)
    for pair in np.flatnonzero(good):
        found = window(at, table[pair])
        if found:
            span = slice(found[0], found[1] + 1)
            slopes[pair] = _slope(at[span], table[pair, span])
            windows[pair] = (int(at[found[0]]), int(at[found[1]]))
    fine = table[good]
    healed = fine[:, -1] == 0
    passing = (fine == 0).any(axis=1) & ~healed
    return Growth(
        rate=paired_t(slopes[np.isfinite(slopes)], level),
        slopes=slopes,
        windows=tuple(windows),
        healed=proportion_exact(int(healed.sum()), len(fine), level),
        passing=proportion_exact(int(passing.sum()), len(fine), level),
        pairs=len(fine),
        trials=len(table),
        healed_pairs=good & (table[:, -1] == 0),
    )
