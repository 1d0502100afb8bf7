"""What can be measured of a curve: its levels, how it swings, and where its plunge ends."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.series import Series, running

HEAD = 3  # points whose median is where a curve starts
TAIL = 0.1  # of the points: where it ends
CYCLES = 2.5  # fewest of a swing in the part looked at
KNEE_POINTS = 200


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


@dataclasses.dataclass(frozen=True)
class Swing:
    """How the later part of a curve swings about its trend.

    Attributes:
        amplitude: of the strongest swing, in the curve's unit.
        share: of the variance about the trend that this swing explains.
        period: steps of one swing.
    """

    amplitude: float
    share: float
    period: float


def swing(series: Series) -> Swing:
    """The strongest regular swing of the last half, from the periodogram of its residuals."""
    calm = series.calm
    late = calm[len(calm) // 2 :]
    steps = series.steps[len(calm) // 2 :]
    n = len(late)
    if n < 12 or np.ptp(late) <= 0:
        return Swing(0.0, 0.0, math.nan)
    even = np.linspace(steps[0], steps[-1], n)
    at = np.linspace(-1, 1, n)
    level = np.interp(even, steps, late)
    rest = level - np.polyval(np.polyfit(at, level, 3), at)
    power = np.abs(np.fft.rfft(rest * np.hanning(n))) ** 2
    power[: max(int(CYCLES), 1)] = 0.0
    total = float(power.sum())
    if total <= 0:
        return Swing(0.0, 0.0, math.nan)
    near = np.convolve(power, np.ones(5), "same")
    peak = int(np.argmax(near))
    share = float(near[peak]) / total
    amplitude = math.sqrt(2 * share) * float(rest.std())
    return Swing(amplitude, share, float((even[-1] - even[0]) / max(peak, 1)))


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
