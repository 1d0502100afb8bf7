"""Whether a curve at rest is stuck: what one curve shows of a descent that should have gone on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.features import Levels, abruptness
from convergence.analysis.curves.fit import BINS, FEWEST, bins, fit
from convergence.analysis.curves.resting import left, rested_from
from convergence.analysis.curves.series import Series
from convergence.analysis.curves.words import number

ERRORS = 3.0  # standard errors that are noise
LEFT = 0.5  # of the start level left where a curve is stuck
EARLY = 0.3  # of the run by which a stuck curve has come to rest
FOLLOWS = 3.0  # times the noise: a descent that scatters more about its law promises nothing
PROMISED = 0.75  # the quantile of the redraws that counts as promised
LATEST = 0.6  # of the run: a descent that ended later is not called broken off
BROKEN_OFF = 0.06  # of the descent that the law of the earlier part promised beyond the end
ABRUPT_END = 0.7  # of `abruptness`: below, the descent was broken off
SURELY_BROKEN = 0.5  # of `abruptness`: no smooth fall ends so suddenly, however it begins
SLOW_BEGIN = 0.95  # of `abruptness`: above, the descent begins as slowly as it ends


def why_stuck(series: Series, level: Levels, rng: np.random.Generator, floor: float) -> str:
    """What of a curve speaks most plainly for its being stuck; '' where nothing does by itself."""
    reached = rested_from(series, level)
    since = float(series.steps[0] + reached * (series.steps[-1] - series.steps[0]))
    remains = left(level, floor)
    if remains > LEFT and reached < EARLY:
        return (
            f"At rest from step {number(since)} on with {100 * remains:.0f} % of its start level"
            " left."
        )
    fine, finely, _ = bins(series, 2 * BINS)
    unsure = max(level.error, series.noise / 2) / level.descent
    end, begin = abruptness(fine, (finely - level.end) / level.descent, unsure)
    if end < SURELY_BROKEN or (end < ABRUPT_END and begin < SLOW_BEGIN):
        return (
            f"At rest from step {number(since)} on: its fall ended there as suddenly as no law's"
            " does, so something broke it off."
        )
    promised = _promised(series, since, rng, floor) if reached < LATEST else math.nan
    lower = level.end - promised
    if level.descent > lower > max(BROKEN_OFF * level.descent, ERRORS * level.error):
        return (
            f"At rest from step {number(since)} on; as it fell before, it would have come to"
            f" {number(promised)} instead of {number(level.end)}."
        )
    return ""


def _promised(series: Series, since: float, rng: np.random.Generator, floor: float) -> float:
    """The level, at most, that the descent before a step promised for the curve's end."""
    before = int(np.searchsorted(series.steps, since))
    if before < 2 * FEWEST:
        return math.nan
    early = dataclasses.replace(
        series,
        steps=series.steps[:before],
        values=series.values[:before],
        calm=series.calm[:before],
    )
    found = fit(early, rng, floor)
    if found is None or found.scatter > FOLLOWS:
        return math.nan
    last = float(found.at[-1])
    ahead = last * float(series.steps[-1] - series.steps[0]) / max(since - series.steps[0], 1e-300)
    return float(np.quantile(found.values(ahead), PROMISED))
