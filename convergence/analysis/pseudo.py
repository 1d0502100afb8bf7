"""Claims about a spread, put so that they can be decided like claims about a mean.

A spread is no mean of its seeds, but the jackknife's pseudo-values of a statistic behave like
independent observations whose mean it is (Tukey 1958; for variances and their ratios Miller 1968):
with them a spread is paired, tested and corrected as any other effect.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.analysis.churn import jackknife
from convergence.analysis.statistics import Interval

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def pseudo_values(statistic: Callable[[Index], float], seeds: int) -> Array:
    """float64[seeds]: the jackknife's pseudo-values of a statistic of seeds.

    Args:
        statistic: of indices of seeds, at least two of them.
        seeds: how many there are; NaN comes back for fewer than three.
    """
    every = np.arange(seeds)
    if seeds < 3:
        return np.full(seeds, np.nan)
    without = np.array([statistic(np.delete(every, seed)) for seed in every])
    return seeds * statistic(every) - (seeds - 1) * without


def jackknifed(statistic: Callable[[Index], float], seeds: int, level: float = 0.95) -> Interval:
    """A statistic that is never negative, of all seeds, with the jackknife's interval.

    It is the interval of the logarithm where that can be had: simulated at 95 %, of the standard
    deviation of 8 to 32 seeds it covers 91 to 95 % where the one without logarithms covers 84 to 93
    (normal, t with 5 degrees of freedom, gamma of skewness 1; Miller 1968 found the same).

    Args: as `pseudo_values`.
    """
    every = np.arange(seeds)
    few = seeds < 3
    whole = statistic(every) if seeds > 1 else math.nan
    left = [math.nan if few else statistic(np.delete(every, seed)) for seed in every]
    if whole > 0 and all(value > 0 for value in left):
        told = jackknife(math.log(whole), np.log(left), level)
        low, high = (math.exp(bound) for bound in (told.low, told.high))
        return dataclasses.replace(told, estimate=whole, low=low, high=high)
    found = jackknife(whole, left, level)
    return dataclasses.replace(found, low=max(found.low, 0.0))


def pooled_sd(table: ArrayLike) -> float:
    """The root of the mean variance over the last axis of [..., n] numbers, n - 1 in it."""
    return math.sqrt(float((_sd(table) ** 2).mean()))


def _sd(table: ArrayLike) -> Array:
    """Standard deviations over the last axis; exactly 0 of equal numbers."""
    values = np.asarray(table, np.float64)
    return np.asarray((values - values[..., :1]).std(axis=-1, ddof=1))


def twin_sd(first: ArrayLike, second: ArrayLike) -> float:
    """The standard deviation between a trial and its twin, [pairs] each: √(mean squared gap / 2).

    It has the expectation of the standard deviation over many twins of one trial, averaged over
    trials, so that it can be held against the one over seeds.
    """
    gap = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return math.sqrt(float((gap**2).mean() / 2))


def slope_of_sd(doses: ArrayLike, table: ArrayLike) -> float:
    """Least-squares slope of the standard deviation over seeds by dose, [doses, seeds]."""
    x = np.asarray(doses, np.float64)
    x = x - x.mean()
    return float(x @ _sd(table) / (x @ x))
