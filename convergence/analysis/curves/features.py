"""What can be measured of a curve: its levels, its trend, and where its plunge ends."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.series import Series, running

HEAD = 3  # points whose median is where a curve starts
SURELY = 4.0  # standard deviations of a point
DEEP = (0.04, 0.02, 0.01, 0.005)  # of a descent: levels near its end
FAR = 5.0  # times
TAIL = 0.1  # of the points: where it ends


@dataclasses.dataclass(frozen=True)
class Levels:
    """Levels of a curve (lower is better), with the standard errors of what compares them.

    Attributes:
        start: where it begins.
        end: where it ends, on average.
        best: the lowest smoothed level.
        best_at: index of the point where that is reached.
        error: standard error of a level, autocorrelation counted.
        rise: how far the end lies above the best.
        rise_error: of the rise; the best was sought among many and so looks too good.
        jump: the largest share of the rise that happened within a twentieth of the points.
    """

    start: float
    end: float
    best: float
    best_at: int
    error: float
    rise: float
    rise_error: float
    jump: float

    @property
    def descent(self) -> float:
        """From the start to the best level."""
        return max(self.start - self.best, 0.0)


def levels(series: Series) -> Levels:
    """The levels of a series of at least three points."""
    calm, n = series.calm, len(series.calm)
    width = max(1, min(int(TAIL * n), n // 3))
    start, end = float(np.median(calm[:HEAD])), float(calm[-width:].mean())
    if abs(calm[0] - start) > SURELY * series.noise or 0 < calm[0] < start / FAR:
        start = float(calm[0])  # so fast a plunge, or blow-up, that the next points are far off
    sums = np.concatenate([[0.0], np.cumsum(calm)])
    means = (sums[width:] - sums[:-width]) / width
    at = int(np.argmin(means))
    widened = (1 + series.correlation) / (1 - series.correlation)
    error = series.noise * math.sqrt(min(1.0, widened / width))
    # The least of some m independent means lies sqrt(2 log m) standard errors low.
    sought = math.sqrt(2 * math.log(max(n / width, 1.0)))
    rise = end - float(means[at])
    best_at = at + int(np.argmin(calm[at : at + width]))
    step = max(n // 20, 1)
    later = running(calm, min(step // 2, 10))[best_at:]
    jumps = later[step:] - later[:-step] if len(later) > step else later[-1:] - later[:1]
    jump = float(jumps.max(initial=0.0)) / rise if rise > 0 else 0.0
    return Levels(
        start,
        end,
        float(means[at]),
        best_at,
        error,
        rise,
        error * (math.sqrt(2.0) + 0.5 * sought),
        jump,
    )


def trend(series: Series) -> float:
    """Spearman's correlation of values and steps in standard errors, autocorrelation counted."""
    n = len(series.calm)
    if n < 5 or np.ptp(series.calm) <= 0:
        return 0.0
    ranks = np.argsort(np.argsort(series.calm)) - (n - 1) / 2
    at = np.arange(n) - (n - 1) / 2
    fewer = (1 - series.correlation) / (1 + series.correlation)
    return float(ranks @ at / (at @ at) * math.sqrt(max(n * fewer - 1, 0.0)))


def abruptness(at: np.ndarray, excess: np.ndarray, deepest: float) -> tuple[float, float]:
    """How suddenly a descent ends, and how slowly it begins, from when it crosses some levels.

    The first: the time from a fifth of the descent to a deep level, over that from a half to the
    fifth, as a multiple of what it is of an exponential; least over the deep levels. Power laws
    have more than 1, descents that were broken off less. The second: the time from .8 to .5 over
    that from .5 to .2: .51 of an exponential, 1 of a logistic curve, which ends as suddenly as it
    begins.

    Args:
        at: [bins] steps from the start, ascending.
        excess: [bins] levels above the end, as a share of the descent.
        deepest: the lowest level that noise lets be told, of this share.

    Returns:
        NaN where a level is not crossed.
    """

    def crossed(level: float) -> float:
        above = np.flatnonzero(excess > level)
        if not len(above) or above[-1] + 1 >= len(at):
            return math.nan
        k = int(above[-1])
        part = (excess[k] - level) / (excess[k] - excess[k + 1])
        return math.exp(math.log(at[k]) + part * math.log(at[k + 1] / at[k]))

    early, half, fifth = crossed(0.8), crossed(0.5), crossed(0.2)
    if not fifth > half:
        return math.nan, math.nan
    ends = [
        (crossed(deep) - fifth) / (fifth - half) * math.log(2.5) / math.log(0.2 / deep)
        for deep in DEEP
        if deep >= deepest
    ]
    known = [end for end in ends if math.isfinite(end)]
    return min(known, default=math.nan), (half - early) / (fifth - half)


def knee(steps: np.ndarray, values: np.ndarray) -> float:
    """The step where a fall turns from a plunge into a slow descent; NaN where it does not.

    The point farthest below the straight line from the first to the last (Satopää et al. 2011,
    "Finding a 'kneedle' in a haystack"), if it lies a fifth of the fall below it.

    Args:
        steps: [n] ascending.
        values: [n] smoothed, lower is better.
    """
    if len(steps) < 4:
        return math.nan
    fall, length = float(values[0] - values[-1]), float(steps[-1] - steps[0])
    if fall <= 0 or length <= 0:
        return math.nan
    below = (1 - (steps - steps[0]) / length) - (values - values[-1]) / fall
    at = int(np.argmax(below))
    return float(steps[at]) if below[at] > 0.2 else math.nan
