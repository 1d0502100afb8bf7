"""A crossed table of one source's draws by draws of all others: whose variance is it?"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.analysis.statistics import Interval, tail
from convergence.analysis.two_way import mean_squares_of
from convergence.analysis.variance import METHOD, difference_bounds, sum_bounds

SHARE_METHOD = "generalised pivotal"
PIVOTS = 20_000


@dataclasses.dataclass(frozen=True)
class Crossed:
    """The parts of a metric's variance, in its squared unit, and a source's shares of it.

    Attributes:
        alone: of the source by itself: variance of the mean over all others (first order). It is
            unclipped: below 0 where draws differ less than chance would make them.
        others: of all others by themselves, likewise.
        together: what only the combination of both explains.
        total: all three.
        effect: of the source in any way, alone or with others (total order): how far the metric
            spreads, on average, where only this source varies.
        share, total_share: ``alone`` and ``effect`` as parts of ``total``; NaN where it is 0.
    """

    alone: Interval
    others: Interval
    together: Interval
    total: Interval
    effect: Interval
    share: Interval
    total_share: Interval


def crossed(table: ArrayLike, rng: np.random.Generator, level: float = 0.95) -> Crossed:
    """Variance components of a crossed table without replication, with intervals.

    Model: y[j, i] = mean + others[j] + source[i] + both[j, i], all random. With J settings of the
    others and n draws of the source, E MS_source = both + J alone, E MS_others = both + n others
    and E MS_rest = both (Cornfield & Tukey 1956), so that the estimators are differences and sums
    of mean squares. First- and total-order parts are those of Sobol 1993 and Homma & Saltelli 1996.
    Intervals: differences by Ting et al. 1990, sums by Graybill & Wang 1980; shares by generalised
    pivotal quantities (Hamada & Weerahandi 2000). All assume normal effects.

    Args:
        table: [settings of the others, draws of the source] finite numbers, both at least 2.
        rng: draws the pivotal quantities.
        level: two-sided confidence level.

    Raises:
        ValueError: the table has another shape, is not finite, or the level is not in (0, 1).
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"a table must be [settings >= 2, draws >= 2], got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a table must be finite: count diverged trials apart")
    settings, draws = values.shape
    squares = mean_squares_of(values[None])[0]
    floor = (4 * np.finfo(np.float64).eps * float(np.abs(values).max())) ** 2 * values.size
    squares[squares <= floor] = 0.0  # rounding of equal numbers is no variance
    counts = {"alone": draws, "others": settings, "effect": draws}
    found = {
        name: _interval(told, level, counts.get(name, min(settings, draws)), METHOD)
        for name, told in components(squares, settings, draws, tail(level)).items()
    }
    part = {
        name: _interval(told, level, draws, SHARE_METHOD)
        for name, told in shares(squares, settings, draws, tail(level), rng).items()
    }
    return Crossed(**found, share=part["alone"], total_share=part["effect"])


Bound = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _degrees(settings: int, draws: int) -> tuple[int, int, int]:
    return settings - 1, draws - 1, (settings - 1) * (draws - 1)


def _weights(settings: int, draws: int) -> dict[str, NDArray[np.float64]]:
    """How each part is made of the mean squares of others, source and rest."""
    return {
        "alone": np.array([0, 1 / settings, -1 / settings]),
        "others": np.array([1 / draws, 0, -1 / draws]),
        "together": np.array([0.0, 0.0, 1.0]),
        "total": np.array([1 / draws, 1 / settings, 1 - 1 / settings - 1 / draws]),
        "effect": np.array([0, 1 / settings, 1 - 1 / settings]),
    }


def components(
    squares: NDArray[np.float64], settings: int, draws: int, alpha: float
) -> dict[str, Bound]:
    """Estimate, low and high of each part of `Crossed`, [...] each.

    Args:
        squares: [..., 3] mean squares of others, source and rest.
        settings, draws: the table's shape.
        alpha: one-sided tail probability.
    """
    df, found = _degrees(settings, draws), {}
    for name, weights in _weights(settings, draws).items():
        if name in ("alone", "others"):
            place, size = (1, settings) if name == "alone" else (0, draws)
            bounds = difference_bounds(
                squares[..., place], squares[..., 2], (df[place], df[2]), alpha
            )
            low, high = (bound / size for bound in bounds)
        else:
            low, high = sum_bounds(squares, weights.tolist(), df, alpha)
        found[name] = (squares @ weights, low, high)
    return found


def shares(
    squares: NDArray[np.float64],
    settings: int,
    draws: int,
    alpha: float,
    rng: np.random.Generator,
    pivots: int = PIVOTS,
) -> dict[str, Bound]:
    """Estimate, low and high of ``alone`` and ``effect`` as parts of the total, [...] each.

    Args:
        squares, settings, draws, alpha: as `components`.
        rng: draws the pivotal quantities.
        pivots: how many.
    """
    df, weights = np.array(_degrees(settings, draws)), _weights(settings, draws)
    drawn = squares[..., None, :] * df / rng.chisquare(df, (pivots, 3))
    found = {}
    with np.errstate(invalid="ignore"):
        for name in ("alone", "effect"):
            part = np.clip((drawn @ weights[name]) / (drawn @ weights["total"]), 0, 1)
            low, high = np.quantile(part, [alpha, 1 - alpha], axis=-1)
            estimate = (squares @ weights[name]) / (squares @ weights["total"])
            found[name] = (estimate, low, high)
    return found


def _interval(told: Bound, level: float, n: int, method: str) -> Interval:
    estimate, low, high = map(float, told)
    return Interval(estimate, low, high, level, n, method)
