"""What is told of every fitted curve: its limit, rate, remaining gain and regime."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.features import knee
from convergence.analysis.curves.fit import AHEAD, Fit, bins, interval
from convergence.analysis.curves.judgement import Judgement, Range
from convergence.analysis.curves.series import Series


def described(series: Series, found: Fit, base: Judgement, floor: float) -> Judgement:
    """The judgement with limit, rate, gain and regime."""
    end, start = float(found.at[-1]), float(series.steps[0])
    now = found.values(end)
    gain = now - found.values(AHEAD * end)
    ahead = np.geomspace(end, AHEAD * end, 60)
    gained = np.median(now - found.course(ahead), axis=1)
    middle = float(np.median(gain))
    half = float(ahead[np.argmax(gained >= middle / 2)]) if middle > 0 else math.nan
    slow = _slow_from(series)
    return dataclasses.replace(
        base,
        limit=Range(*interval(found.limits, float(np.median(now)), floor)),
        law=found.law,
        halving=_halving(found),
        gain=Range(*interval(gain, 0.0, 0.0)),
        half_gain_at=start + half,
        regime="slow" if slow else "plunge",
        slow_from=slow,
    )


def _halving(found: Fit) -> Range:
    """Steps in which the excess over the limit halves from the end on; NaN at rest."""
    end = float(found.at[-1])
    ahead = np.geomspace(end * (1 + 1e-6), 1e4 * end, 120)
    excess = found.course(ahead) - found.limits
    there = excess <= (found.values(end) - found.limits) / 2
    first = np.where(there.any(axis=0), ahead[np.argmax(there, axis=0)] - end, np.inf)
    falling = found.heights > 0
    if falling.mean() < 0.5 or not np.isfinite(np.median(first[falling])):
        return Range()
    middle, low, high = np.quantile(np.minimum(first[falling], 1e4 * end), [0.5, 0.025, 0.975])
    return Range(float(middle), float(low), float(high))


def _slow_from(series: Series) -> Range:
    """The step where the slow part begins, its interval from noise added to the smoothed curve."""
    at, means, sizes = bins(series)
    estimate = knee(at, means)
    if not math.isfinite(estimate):
        return Range()
    widened = (1 + series.correlation) / (1 - series.correlation)
    error = series.noise * np.sqrt(np.minimum(widened / sizes, 1.0))
    noise = np.random.default_rng(len(at)).standard_normal((100, len(at)))
    drawn = np.array([knee(at, means + error * one) for one in noise])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 50:
        return Range()
    start = float(series.steps[0])
    low, high = np.quantile(np.append(drawn, estimate), [0.025, 0.975])
    return Range(start + estimate, start + float(low), start + float(high))
