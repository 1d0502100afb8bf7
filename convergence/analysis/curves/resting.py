"""What is weighed where a curve neither diverges nor swings: is it at rest, stuck, or falling on?

Each measure is a plain number of the curve's later part, in units of its descent and its length, so
that neither scale matters. `weighing` adds them up.
"""

from __future__ import annotations

import math

import numpy as np

from convergence.analysis.curves.features import Levels, abruptness
from convergence.analysis.curves.fit import AHEAD, BINS, Fit, bins
from convergence.analysis.curves.series import Series

REST = 0.05  # of the descent: so near its end a curve is at rest
ERRORS = 2.0  # standard errors that are noise
MATTERS = 0.05  # of the descent: a remaining gain above this is worth going on for
USUAL_LEFT = 0.25  # of the start level, where it is not known what the lowest level could be
HIGH = 0.4  # of the start level left: hardly a curve's true limit
QUIET = 1e-4  # of the descent: below, a held-out curve is so smooth that its params hardly move
ABRUPT = 0.8  # of `abruptness`: an exponential has 1
LEAST = 1e-3  # of the descent: below, a gain or a slope is none
SMALLEST = 1e-6  # of the descent: below, noise is none


def rested_from(series: Series, level: Levels) -> float:
    """The share of the run after which the curve stays near its end; 1 where it never does."""
    at, means, _ = bins(series)
    above = np.flatnonzero(means > level.end + REST * level.descent + ERRORS * level.error)
    if not len(above):
        return float(at[0] / at[-1])
    return float(at[above[-1] + 1] / at[-1]) if above[-1] + 1 < len(at) else 1.0


def left(level: Levels, floor: float) -> float:
    """The share of the start level that is left above the lowest possible; NaN where unknown."""
    if not math.isfinite(floor) or level.start <= floor:
        return math.nan
    return (level.end - floor) / (level.start - floor)


def _log(value: float, least: float) -> float:
    return math.log10(max(value, least)) if math.isfinite(value) else math.log10(least)


def _slope(series: Series, descent: float, first: float, last: float) -> tuple[float, float]:
    """Descents a run length that a part of the curve falls by; and the same in standard errors."""
    x = (series.steps - series.steps[0]) / (series.steps[-1] - series.steps[0])
    inside = (x >= first) & (x <= last)
    if inside.sum() < 3:
        return 0.0, 0.0
    at, values = x[inside] - x[inside].mean(), series.calm[inside]
    spread = float(at @ at)
    widened = math.sqrt((1 + series.correlation) / (1 - series.correlation))
    slope = -float(at @ values) / spread
    error = max(series.noise * widened / math.sqrt(spread), 1e-9 * descent)
    return slope / descent, slope / error


def _at_most(slope: float, sure: float) -> float:
    """A slope and its standard error: flat is only what noise lets be seen to be flat."""
    return max(slope, 0.0) + (abs(slope / sure) if sure else 0.0)


def _fades(before: tuple[float, float], late: tuple[float, float]) -> float:
    """How many powers of ten the slope falls by from one part to the next, beyond its noise."""
    least = [
        max(slope, 2 * abs(slope / sure) if sure else LEAST, 1e-9) for slope, sure in (before, late)
    ]
    return min(max(math.log10(least[0] / least[1]), -1.0), 3.0)


def _roughness(series: Series, first: float, last: float) -> float:
    x = (series.steps - series.steps[0]) / (series.steps[-1] - series.steps[0])
    part = series.calm[(x >= first) & (x <= last)]
    return float(np.median(np.abs(np.diff(part, 2)))) if len(part) > 5 else 0.0


def measures(
    series: Series, level: Levels, found: Fit, floor: float, held_out: bool
) -> dict[str, float]:
    """What is weighed, by name; all are finite.

    Args:
        series: the curve.
        level: its levels; the descent is positive.
        found: the laws that it may follow.
        floor: the lowest possible level; minus infinity where unknown.
        held_out: whether it is of held-out data (evaluated on all of them: hardly any noise).
    """
    descent, end = level.descent, float(found.at[-1])
    gains = (found.values(end) - found.values(AHEAD * end)) / descent
    remains = left(level, floor)
    known = math.isfinite(remains)
    remains = remains if known else USUAL_LEFT
    since = rested_from(series, level)
    from_ = min(max(since, 0.02), 0.8) if since < 1 else 0.5
    middle = (from_ + 1) / 2
    before, before_errors = _slope(series, descent, from_, middle)
    late, late_errors = _slope(series, descent, middle, 1.0)
    fades = _fades((before, before_errors), (late, late_errors))
    fine, means, _ = bins(series, 2 * BINS)
    unsure = max(level.error, series.noise / 2) / descent
    ends, begins = abruptness(fine, (means - level.end) / descent, unsure)
    rough = (_roughness(series, from_, middle), _roughness(series, middle, 1.0))
    calmer = _log(rough[1] / descent, 1e-7) - _log(rough[0] / descent, 1e-7)
    noise = _log(series.noise / descent, SMALLEST)
    quiet = max(math.log10(QUIET) - noise, 0.0)
    held = float(held_out)
    return {
        "gains": float((gains > MATTERS).mean()),
        "gains twice": float((gains > 2 * MATTERS).mean()),
        "gain": _log(float(np.median(gains)), LEAST),
        "left high": max(remains - HIGH, 0.0),
        "floor unknown": float(not known),
        "rest": _log(since, 1e-2),
        "slope": _log(_at_most(before, before_errors), LEAST),
        "slope sure": min(max(before_errors, -2.0), 10.0),
        "late slope": _log(_at_most(late, late_errors), LEAST),
        "slope fades": fades,
        "noise": noise,
        "quiet": quiet,
        "quiet, slope fades": quiet * fades,
        "calmer": min(max(calmer, -2.0), 1.0),
        "ends abruptly": max(ABRUPT - ends, 0.0) if math.isfinite(ends) else 0.0,
        "begins slowly": max(begins - ABRUPT, 0.0) if math.isfinite(begins) else 0.0,
        "held out": held,
        "held out, late slope": held * _log(_at_most(late, late_errors), LEAST),
        "held out, noise": held * noise,
        "held out, quiet": held * quiet,
        "held out, slope fades": held * fades,
        "held out, calmer": held * min(max(calmer, -2.0), 1.0),
    }
