"""What is measured of a curve before it is judged.

Each measure is a plain number, in units of the curve's descent, start and length, so that neither
scale matters. `weighing` says how they speak for each verdict.
"""

from __future__ import annotations

import numpy as np

from convergence.analysis.curves import swinging
from convergence.analysis.curves.features import Levels, abruptness, trend
from convergence.analysis.curves.fit import AHEAD, BINS, Fit, bins
from convergence.analysis.curves.judgement import Kind
from convergence.analysis.curves.numbers import UNMEASURED, bounded, log10
from convergence.analysis.curves.resting import MATTERS, left, promised, rested_from
from convergence.analysis.curves.series import Series

# The parts of a run whose mean levels are its profile: ever longer, then as long as the last.
PARTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0)
LATER = 0.4  # of the run: from there on it is seen how it falls with the logarithm of the step
SMALL = 1e-3  # of the start: a smaller descent is no unit
ROUGH = ((0.0, 0.25), (0.75, 1.0))  # parts of the points whose roughness is measured


def measures(
    series: Series,
    level: Levels,
    found: Fit | None,
    floor: float,
    kind: Kind,
    rng: np.random.Generator,
) -> dict[str, float]:
    """All measures by name; finite.

    Args:
        series: the curve, not constant.
        level: its levels.
        found: the laws that it may follow; None where it has too few points.
        floor: the lowest possible level; minus infinity where unknown.
        kind: of the curve.
        rng: for the redraws of what the fall before it came to rest had promised.
    """
    tiny = max(float(np.abs(series.values).max()), 1e-290)
    start = max(abs(level.start), 1e-12 * tiny)
    unit = max(level.descent, SMALL * start)
    with np.errstate(over="ignore"):  # what is too large is bounded afterwards
        return (
            {"held out": float(kind != "loss"), "score": float(kind == "score")}
            | _levels(series, level, start, unit)
            | swinging.measures(series, unit)
            | _profile(series, level, unit)
            | _ends(series, level, floor, unit, rng)
            | _ahead(found, unit)
        )


def _levels(series: Series, level: Levels, start: float, unit: float) -> dict[str, float]:
    values = series.values
    return {
        "descent": log10(level.descent / start),
        "descent, errors": log10(level.descent / max(level.error, 1e-6 * unit)),
        "rise": bounded(level.rise / unit, -1, 5),
        "rise, errors": bounded(level.rise / max(level.rise_error, 1e-6 * unit), -20, 50),
        "jump": bounded(level.jump, 0, 1),
        "best at": level.best_at / len(values),
        "above the start": bounded((level.end - level.start) / start, -2, 5),
        "highest": log10(float(values.max()) / level.start) if level.start > 0 else UNMEASURED,
        "trend": bounded(trend(series), -30, 30),
        "noise, of the start": log10(series.noise / start),
        "noise": log10(series.noise / unit),
        "correlation": series.correlation,
        "spikes": log10(series.spikes + 1.0),
        "points": log10(float(len(values))),
        "different": log10(len(np.unique(values)) / len(values), 1e-3),
    }


def _profile(series: Series, level: Levels, unit: float) -> dict[str, float]:
    """Mean levels above the end in parts of the run, and how it falls with the step's logarithm."""
    x = (series.steps - series.steps[0]) / (series.steps[-1] - series.steps[0])
    edges = np.searchsorted(x, PARTS[:-1])
    sums = np.concatenate([[0.0], np.cumsum(series.calm - level.end)])
    first = np.minimum(edges, len(x) - 1)
    last = np.maximum(np.append(edges[1:], len(x)), first + 1)
    means = (sums[last] - sums[first]) / (last - first)
    told = {f"level {k}": bounded(float(mean) / unit, -3, 3) for k, mean in enumerate(means)}
    late = x > LATER
    slope = UNMEASURED
    if late.sum() > 5:
        at = np.log(x[late]) - np.log(x[late]).mean()
        spread = max(float(at @ at), 1e-300)
        slope = bounded(-float(at @ (series.calm[late] - level.end)) / spread / unit, -2, 2)
    bends = np.abs(np.diff(series.values, 2))
    rough = [bends[int(a * len(bends)) : int(b * len(bends))] for a, b in ROUGH]
    sizes = [log10(float(np.median(b)) / unit, 1e-7) if len(b) > 2 else UNMEASURED for b in rough]
    return told | {"falls late": slope, "rough early": sizes[0], "rough late": sizes[1]}


def _ends(
    series: Series, level: Levels, floor: float, unit: float, rng: np.random.Generator
) -> dict[str, float]:
    """How the fall ends: when, how suddenly, how high, and whether it had promised more."""
    since = rested_from(series, level)
    fine, means, _ = bins(series, 2 * BINS)
    unsure = max(level.error, series.noise / 2) / unit
    ends, begins = abruptness(fine, (means - level.end) / unit, unsure)
    return {
        "rest": since,
        "ends": bounded(ends, 0, 5),
        "begins": bounded(begins, 0, 5),
        "left": bounded(left(level, floor), -2, 3),
        "promised": bounded((level.end - promised(series, since, rng, floor)) / unit, -2, 2),
    }


def _ahead(found: Fit | None, unit: float) -> dict[str, float]:
    """What ten times the length would gain."""
    if found is None:
        return dict.fromkeys(("gain", "gains", "gains twice"), UNMEASURED)
    end = float(found.at[-1])
    gains = (found.values(end) - found.values(AHEAD * end)) / unit
    return {
        "gain": log10(float(np.median(gains)), 1e-3),
        "gains": float((gains > MATTERS).mean()),
        "gains twice": float((gains > 2 * MATTERS).mean()),
    }
