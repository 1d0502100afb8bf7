"""Components of variance: how much of a spread is between groups, how much within."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from convergence.analysis.statistics import Interval, tail

METHOD = "modified large sample"


@dataclasses.dataclass(frozen=True)
class OneWay:
    """Variance components of a balanced one-way table, in squared units of the metric.

    ``between`` is unclipped: an estimate below 0 says that the groups differ less than chance
    would make them, and clipping it would bias every average of such estimates.
    """

    between: Interval
    within: Interval


def one_way(table: ArrayLike, level: float = 0.95) -> OneWay:
    """Variance between and within groups, by the ANOVA estimator with intervals.

    between = (MS_between - MS_within) / n with the modified-large-sample interval of a difference
    of mean squares (Ting, Burdick, Graybill, Jeyaratnam & Lu 1990; Burdick & Graybill 1992, section
    3.3); within = MS_within with the chi-square interval. Both assume normal effects: heavy tails
    make them too short, whatever n.

    Args:
        table: [groups, n] finite numbers, both at least 2.
        level: two-sided confidence level.

    Raises:
        ValueError: the table has another shape, is not finite, or the level is not in (0, 1).
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"a table must be [groups >= 2, n >= 2], got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a table must be finite: count diverged trials apart")
    groups, n = values.shape
    df = (groups - 1, groups * (n - 1))
    means = values.mean(1)
    large = float(n * means.var(ddof=1))
    small = float(((values - means[:, None]) ** 2).sum() / df[1])
    low, high = difference_bounds(np.array(large), np.array(small), df, tail(level))
    between = Interval(
        (large - small) / n, float(low) / n, float(high) / n, level, groups, METHOD, df=df[0]
    )
    within = Interval(
        small,
        df[1] * small / float(special.chdtri(df[1], tail(level))),
        df[1] * small / float(special.chdtri(df[1], 1 - tail(level))),
        level,
        groups * n,
        "chi-square",
        df=df[1],
    )
    return OneWay(between, within)


def sum_bounds(
    squares: NDArray[np.float64],
    coefficients: Sequence[float],
    df: Sequence[int],
    alpha: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Modified-large-sample bounds of a sum of expected mean squares.

    Args:
        squares: [..., k] independent mean squares with the degrees of freedom ``df``.
        coefficients: k of them, none below 0.
        alpha: one-sided tail probability.

    Returns:
        low [...] and high [...], by Graybill & Wang 1980.
    """
    parts = squares * np.asarray(coefficients)
    g = np.array([1 - d / special.chdtri(d, alpha) for d in df])
    h = np.array([d / special.chdtri(d, 1 - alpha) - 1 for d in df])
    middle = parts.sum(-1)
    low = middle - np.sqrt(((g * parts) ** 2).sum(-1))
    return low, middle + np.sqrt(((h * parts) ** 2).sum(-1))


def difference_bounds(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    df: tuple[int, int],
    alpha: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Modified-large-sample bounds of E(first) - E(second) for independent mean squares.

    Args:
        first, second: [...] mean squares with the degrees of freedom ``df``.
        alpha: one-sided tail probability.

    Returns:
        low [...] and high [...], by Ting et al. 1990, equations for a difference.
    """
    # Upper and lower alpha points of F with these and with infinite degrees of freedom.
    f_up = special.fdtri(df[0], df[1], 1 - alpha)
    f_low = special.fdtri(df[0], df[1], alpha)
    up = [special.chdtri(d, alpha) / d for d in df]
    low = [special.chdtri(d, 1 - alpha) / d for d in df]
    g = [1 - 1 / u for u in up]
    h = [1 / x - 1 for x in low]
    g12 = ((f_up - 1) ** 2 - (g[0] * f_up) ** 2 - h[1] ** 2) / f_up
    h12 = ((1 - f_low) ** 2 - (h[0] * f_low) ** 2 - g[1] ** 2) / f_low
    v_low = (g[0] * first) ** 2 + (h[1] * second) ** 2 + g12 * first * second
    v_high = (h[0] * first) ** 2 + (g[1] * second) ** 2 + h12 * first * second
    middle = first - second
    return middle - np.sqrt(np.maximum(v_low, 0)), middle + np.sqrt(np.maximum(v_high, 0))
