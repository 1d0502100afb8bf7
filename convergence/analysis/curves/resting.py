"""Where a curve comes to rest, how high, and what its fall had promised before."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.features import Levels
from convergence.analysis.curves.fit import FEWEST, bins, fit
from convergence.analysis.curves.series import Series

REST = 0.05  # of the descent: so near its end a curve is at rest
ERRORS = 2.0  # standard errors that are noise
MATTERS = 0.05  # of the descent: a remaining gain above this is worth going on for
FOLLOWS = 3.0  # times the noise: a descent that scatters more about its law promises nothing
PROMISED = 0.75  # the quantile of the redraws that counts as promised
LATEST = 0.6  # of the run: a descent that ended later is not called broken off
DRAWS = 40  # of what was promised


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


def promised(series: Series, since: float, rng: np.random.Generator, floor: float) -> float:
    """The level, at most, that the descent before it came to rest promised for the curve's end.

    Args:
        series: the curve.
        since: the share of the run after which it rests, of `rested_from`.
        rng: for the redraws.
        floor: the lowest possible level.

    Returns:
        NaN where the descent is too short, ended too late, or follows no law.
    """
    length = float(series.steps[-1] - series.steps[0])
    before = int(np.searchsorted(series.steps, series.steps[0] + since * length))
    if since >= LATEST or before < 2 * FEWEST:
        return math.nan
    early = dataclasses.replace(
        series,
        steps=series.steps[:before],
        values=series.values[:before],
        calm=series.calm[:before],
    )
    found = fit(early, rng, floor, DRAWS)
    if found is None or found.scatter > FOLLOWS:
        return math.nan
    ahead = float(found.at[-1]) / max(since, 1e-9)
    return float(np.quantile(found.values(ahead), PROMISED))
