"""Where on a grid of learning rates something sets in, with an interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from convergence.analysis.statistics import Interval, strict_number, student_mean, tail

RESAMPLES = 2_000
Array = NDArray[np.float64]
Index = NDArray[np.intp]
BOOTSTRAP = "percentile bootstrap"


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The rate from which on a quantity lies above a level.

    Attributes:
        rate: 0 where it does so on the whole grid, inf where it nowhere does.
        interval: for other seeds; its bounds are 0 and inf where resamples leave the grid.
        grids: the same in each of several groups of seeds (replicate grids); empty for one.
        over_grids: from these alone: the geometric mean, with Student's interval of the
            logarithms; None where there are fewer than two, or where some leave the grid.
    """

    rate: float
    interval: Interval
    grids: tuple[float, ...] = ()
    over_grids: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        return {
            "rate": strict_number(self.rate),
            "interval": self.interval.to_json(),
            "grids": [strict_number(rate) for rate in self.grids],
            "over_grids": self.over_grids.to_json() if self.over_grids else None,
        }


def isotonic(values: ArrayLike) -> Array:
    """The nearest non-decreasing sequence: pool adjacent violators (Ayer et al. 1955)."""
    pools: list[list[float]] = []
    for value in np.asarray(values, np.float64):
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    return np.repeat([value for value, _ in pools], [int(count) for _, count in pools])


def crossing(rates: ArrayLike, values: ArrayLike, level: float) -> float:
    """The rate at which the values, made non-decreasing, reach a level.

    Between rates of the grid by interpolation that is linear in the logarithm of the rate (the
    isotonic estimate of a dose with linear interpolation, Stylianou & Flournoy 2002).

    Args:
        rates: [n] ascending, above 0.
        values: [n]; NaN where a rate tells nothing (it is left out).
        level: what is reached.

    Returns:
        A rate; 0 where the first is at the level already, inf where none is (NaN of no rate).
    """
    at, told = np.asarray(rates, np.float64), np.asarray(values, np.float64)
    there = np.isfinite(told)
    if not there.any():
        return math.nan
    x, y = np.log(at[there]), isotonic(told[there])
    above = np.flatnonzero(y >= level)
    if not len(above):
        return math.inf
    k = int(above[0])
    if k == 0:
        return 0.0
    return float(np.exp(x[k - 1] + (x[k] - x[k - 1]) * (level - y[k - 1]) / (y[k] - y[k - 1])))


def resampled(
    statistic: Callable[[Index], float],
    seeds: int,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """A statistic of seeds with its percentile bootstrap interval over them (Efron 1979).

    Bounds may be infinite; resamples of which the statistic is NaN are left out, and said.

    Args:
        statistic: of the indices of seeds, which may repeat.
        seeds: how many there are.
        rng: consumed.
    """
    whole = statistic(np.arange(seeds))
    drawn = np.array([statistic(rng.integers(seeds, size=seeds)) for _ in range(resamples)])
    fine = drawn[~np.isnan(drawn)]
    warning = "one seed says nothing about spread" if seeds < 2 else ""
    if seeds < 2 or not len(fine):
        return Interval(whole, 0.0, math.inf, level, seeds, BOOTSTRAP, warning=warning)
    if len(fine) < len(drawn):
        warning = f"{len(drawn) - len(fine)} of {len(drawn)} resamples tell nothing"
    alpha = tail(level)
    # Order statistics: an average of a bound on the grid and one beyond it would be neither.
    low, high = np.quantile(fine, [alpha, 1 - alpha], method="inverted_cdf")
    return Interval(whole, float(low), float(high), level, seeds, BOOTSTRAP, warning=warning)


def threshold(
    rates: ArrayLike,
    values: Callable[[Index], Array],
    seeds: int,
    level: float,
    rng: np.random.Generator,
    grids: int = 1,
) -> Threshold:
    """Where a quantity reaches a level: of all seeds, and in each of several groups of them.

    Args:
        rates: [n] ascending.
        values: of the indices of seeds: [n], see `crossing`.
        seeds: how many there are; consecutive ones are a group.
        level: what is reached.
        rng: consumed.
        grids: groups of seeds.
    """

    def at(index: Index) -> float:
        return crossing(rates, values(index), level)

    whole = resampled(at, seeds, rng)
    apart: tuple[float, ...] = ()
    if grids > 1:
        apart = tuple(at(index) for index in np.array_split(np.arange(seeds), grids))
    return Threshold(whole.estimate, whole, apart, geometric(apart))


def geometric(rates: tuple[float, ...], level: float = 0.95) -> Interval | None:
    """The geometric mean of rates with Student's interval; None where it cannot be had."""
    if len(rates) < 2 or not all(0 < rate < math.inf for rate in rates):
        return None
    mean = student_mean(np.log(rates))
    reach = -float(special.stdtrit(mean.df, tail(level))) * mean.error
    low, middle, high = (math.exp(mean.estimate + k * reach) for k in (-1, 0, 1))
    return Interval(middle, low, high, level, mean.n, "Student t of logarithms", df=mean.df)
