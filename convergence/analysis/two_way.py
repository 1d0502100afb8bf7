"""Inference over seeds and test rows at once: would the difference stand on other rows, too?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.analysis.statistics import Interval, StudentMean, student_interval

METHOD = "two-way t"


@dataclasses.dataclass(frozen=True)
class TwoWay:
    """Mean squares of a crossed table of differences, seeds by rows, one number a cell.

    Attributes:
        estimate: the grand mean.
        seeds, rows: the table's shape.
        ms_seed, ms_row, ms_inter: mean squares with seeds - 1, rows - 1 and their product degrees
            of freedom.
    """

    estimate: float
    seeds: int
    rows: int
    ms_seed: float
    ms_row: float
    ms_inter: float

    def mean(self) -> StudentMean:
        """The grand mean with the standard error and degrees of freedom of both factors."""
        return self.with_seeds(self.seeds)

    def with_seeds(self, seeds: int) -> StudentMean:
        """What ``mean`` would be with another number of seeds and the same rows and components.

        See ``two_way`` for the formulas. With more seeds only the part that is due to seeds
        shrinks: an effect can be out of reach of any number of them.
        """
        if min(self.seeds, self.rows) < 2:
            return StudentMean(self.estimate, math.inf, 0.0, min(self.seeds, self.rows))
        inter = min(self.ms_inter, self.ms_seed, self.ms_row)
        # ms_row grows with the seeds: E ms_row = inter + seeds * (variance of rows).
        ms_row = inter + (self.ms_row - inter) * seeds / self.seeds
        size = self.ms_seed + ms_row - inter
        df = float(min(seeds, self.rows) - 1)
        if size > 0:
            spent = self.ms_seed**2 / (seeds - 1) + ms_row**2 / (self.rows - 1)
            spent += inter**2 / ((seeds - 1) * (self.rows - 1))
            df = max(df, size**2 / spent)
        error = math.sqrt(size / (seeds * self.rows))
        return StudentMean(self.estimate, error, df, min(seeds, self.rows))


def two_way(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean difference for other seeds *and* other rows.

    Model: d[s, r] = mean + seed[s] + row[r] + rest[s, r], all random and crossed. The variance of
    the grand mean is estimated by

        (MS_seed + MS_row - MS_inter) / (S R),

    where MS_inter is floored so that no component of variance is negative, which makes the sum at
    least max(MS_seed, MS_row); the degrees of freedom are Satterthwaite's,

        (MS_seed + MS_row - MS_inter)^2
        / (MS_seed^2 / (S-1) + MS_row^2 / (R-1) + MS_inter^2 / ((S-1)(R-1))),

    floored at min(S, R) - 1. Sources: Cornfield & Tukey 1956 (expected mean squares of a crossed
    table), Satterthwaite 1946, Gaylor & Hopper 1969 (mean squares that are subtracted); the same
    variance is used for readers and cases by Dorfman, Berbaum & Metz 1992.

    Args:
        differences: [seeds, rows] treatment minus control; finite.
        level: two-sided confidence level.

    Raises:
        ValueError: the table is not two-dimensional, not finite, or the level is not in (0, 1).
    """
    mean = mean_squares(differences).mean()
    return student_interval(mean, level, METHOD, "seeds and rows")


def mean_squares(differences: ArrayLike) -> TwoWay:
    """The mean squares of a table [seeds, rows].

    Raises:
        ValueError: the table is not two-dimensional or not finite.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"a table must have the shape [seeds, rows], got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("a table must be finite: leave out the seeds that diverged")
    seeds, rows = table.shape
    if table.size == 0:
        return TwoWay(math.nan, seeds, rows, math.nan, math.nan, math.nan)
    estimate = float(table.mean())
    if min(seeds, rows) < 2:
        return TwoWay(estimate, seeds, rows, math.nan, math.nan, math.nan)
    squares = mean_squares_of(table[None])[0]
    # Rounding of equal numbers is not spread.
    floor = (4 * np.finfo(np.float64).eps * float(np.abs(table).max())) ** 2 * table.size
    ms_seed, ms_row, ms_inter = (0.0 if x <= floor else float(x) for x in squares)
    return TwoWay(estimate, seeds, rows, ms_seed, ms_row, ms_inter)


def mean_squares_of(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """MS_seed, MS_row and MS_inter of tables [..., seeds, rows] as [..., 3]; seeds, rows >= 2."""
    seeds, rows = tables.shape[-2:]
    centred = tables - tables.mean((-2, -1), keepdims=True)
    by_seed = centred.mean(-1, keepdims=True)
    by_row = centred.mean(-2, keepdims=True)
    rest = centred - by_seed - by_row
    return np.stack(
        [
            rows * (by_seed**2).sum((-2, -1)) / (seeds - 1),
            seeds * (by_row**2).sum((-2, -1)) / (rows - 1),
            (rest**2).sum((-2, -1)) / ((seeds - 1) * (rows - 1)),
        ],
        axis=-1,
    )
