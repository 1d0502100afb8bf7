"""How far seeds' predictions differ row by row, and how much of a score's spread rows explain."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from convergence.analysis.statistics import Interval, few_warning, tail

JACKKNIFE = "jackknife t"
Array = NDArray[np.float64]


def disagreement(classes: ArrayLike, scored: ArrayLike | None = None) -> Array:
    """Share of rows on which each pair of seeds predicts another class: float64[seeds, seeds].

    Args:
        classes: int[seeds, rows] predicted classes.
        scored: bool[seeds, rows], which rows a seed predicted (default: all); a pair is held
            against each other on the rows that both did, NaN where there is none.
    """
    told = np.asarray(classes)
    there = np.ones(told.shape, bool) if scored is None else np.asarray(scored, bool)
    both = there.astype(np.float64) @ there.T.astype(np.float64)
    same = np.zeros_like(both)
    for label in np.unique(told[there]):
        mine = (there & (told == label)).astype(np.float64)
        same += mine @ mine.T
    with np.errstate(invalid="ignore"):
        return (both - same) / both


def squared_distance(values: ArrayLike, scored: ArrayLike | None = None) -> Array:
    """Mean squared difference of each pair of seeds' predictions: float64[seeds, seeds].

    Args:
        values: float[seeds, rows] predicted numbers.
        scored: as in `disagreement`.
    """
    told = np.asarray(values, np.float64)
    there = np.ones(told.shape, bool) if scored is None else np.asarray(scored, bool)
    # About the rows' means: squares of large numbers would drown their differences.
    counts = np.maximum(there.sum(axis=0), 1)
    centred = np.where(there, told - np.where(there, told, 0).sum(axis=0) / counts, 0.0)
    mask = there.astype(np.float64)
    both = mask @ mask.T
    square = centred**2 @ mask.T
    with np.errstate(invalid="ignore"):
        mean = (square + square.T - 2 * centred @ centred.T) / both
    return np.maximum(mean, 0.0)


def mean_of_pairs(pairs: ArrayLike, level: float = 0.95) -> Interval:
    """The mean over pairs of seeds, with an interval for other seeds.

    Pairs share seeds and are not independent: the interval is the jackknife's over seeds (Arvesen
    1969, U-statistics), with Student's t of seeds - 1 degrees of freedom.

    Args:
        pairs: float[seeds, seeds], symmetric; the diagonal is not read, NaN pairs are left out.
        level: two-sided.
    """
    table = np.array(pairs, np.float64)
    seeds = len(table)
    np.fill_diagonal(table, np.nan)
    there = np.isfinite(table)
    total, count = np.where(there, table, 0).sum(), there.sum()
    if not count:
        return Interval(math.nan, math.nan, math.nan, level, seeds, JACKKNIFE,
                        warning=few_warning(JACKKNIFE, min(seeds, 1)))  # fmt: skip
    own, number = np.where(there, table, 0).sum(axis=1), there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (total - 2 * own) / (count - 2 * number)
    return jackknife(total / count, without, level)


def jackknife(estimate: float, without: ArrayLike, level: float = 0.95) -> Interval:
    """The jackknife's interval of a statistic (Tukey 1958).

    Args:
        estimate: from all seeds.
        without: float[seeds] the same from all seeds but one; not finite where that leaves nothing.
        level: two-sided.
    """
    left = np.asarray(without, np.float64)
    n = len(left)
    if n < 3 or not np.isfinite(left).all() or not math.isfinite(estimate):
        warning = f"n = {n}: an interval over pairs of seeds needs at least 3"
        return Interval(estimate, -math.inf, math.inf, level, n, JACKKNIFE, warning=warning)
    pseudo = n * estimate - (n - 1) * left
    error = float(pseudo.std(ddof=1)) / math.sqrt(n)
    reach = -float(special.stdtrit(n - 1, tail(level))) * error
    return Interval(estimate, estimate - reach, estimate + reach, level, n, JACKKNIFE, df=n - 1.0)


def row_ratio(correct: ArrayLike, level: float = 0.95) -> Interval:
    """A score's standard deviation over seeds, as a multiple of what independent rows would give.

    If each row were right with its own probability p, independently of all others, the accuracy's
    variance would be Σp(1 − p) / n² (the test set's finite size alone; Jordan 2023, "Calibrated
    chaos"). A ratio above 1 says that rows fall together: seeds differ in how good they are.

    Σp(1 − p) is estimated without bias by the variances between seeds on each row. The interval is
    the jackknife's over seeds, of the logarithm of the variances' ratio.

    Args:
        correct: float[(settings,) seeds, rows], 1 where right, 0 where wrong, NaN where a seed was
            not scored; variances are averaged over settings.
        level: two-sided.
    """
    table = np.asarray(correct, np.float64)
    table = table.reshape(-1, *table.shape[-2:])
    n = table.shape[1]
    there = np.isfinite(table)
    value = np.where(there, table, 0.0)
    size = there.sum(axis=2)
    score = value.sum(axis=2) / size

    def logarithm(kept: NDArray[np.bool_]) -> float:
        mask, told = there[:, kept], value[:, kept]
        count = mask.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = ((told**2).sum(axis=1) - told.sum(axis=1) ** 2 / count) / (count - 1)
            rows = np.where(count > 1, rows, 0.0)
            expected = ((mask * rows[:, None]).sum(axis=2) / size[:, kept] ** 2).mean()
            return float(np.log(score[:, kept].var(axis=1, ddof=1).mean()) - np.log(expected))

    every = np.ones(n, bool)
    whole = logarithm(every) if n > 1 else math.nan
    others = (every & (np.arange(n) != seed) for seed in range(n))
    without = [logarithm(kept) if n > 2 else math.nan for kept in others]
    found = jackknife(whole, without, level)
    estimate, low, high = (math.exp(v / 2) for v in (found.estimate, found.low, found.high))
    return Interval(estimate, low, high, level, n, JACKKNIFE, warning=found.warning, df=found.df)


def ensemble_gain(
    alone: ArrayLike, together: float, without: ArrayLike, level: float = 0.95
) -> Interval:
    """What the ensemble scores above the mean of its seeds, with the jackknife's interval.

    Args:
        alone: float[seeds] each seed's score.
        together: the score of all seeds' ensemble.
        without: float[seeds] the score of the ensemble of all seeds but one.
        level: two-sided.
    """
    scores = np.asarray(alone, np.float64)
    n = len(scores)
    if n < 2:
        return jackknife(together - float(scores.mean()), np.full(n, np.nan), level)
    rest = (scores.sum() - scores) / (n - 1)
    return jackknife(together - float(scores.mean()), np.asarray(without) - rest, level)
