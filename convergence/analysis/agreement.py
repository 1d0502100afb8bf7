"""Predictions of two studies against each other, and against those of other seeds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergence.analysis.churn import (
    disagreement,
    jackknife,
    mean_of_pairs,
    squared_distance,
)
from convergence.analysis.shift import LEVEL, jackknife_of_two
from convergence.analysis.statistics import Interval

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far predictions differ.

    Attributes:
        between: the two studies' (paired: of the same seed); share of rows with another class, or
            the root mean square difference in the target's unit.
        within: the same between two seeds of the first study.
        ratio: between over within: 0 nothing changed, 1 as if the seed had been changed.
        largest: the largest difference of any output (a logit, or a value in the target's unit).
        rows: distinct rows that both predicted.
    """

    between: Interval
    within: Interval
    ratio: Interval
    largest: float
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        parts = {name: getattr(self, name).to_json() for name in ("between", "within", "ratio")}
        largest = self.largest if math.isfinite(self.largest) else None
        return parts | {"largest": largest, "rows": self.rows}


def agreement(
    before: ArrayLike,
    after: ArrayLike,
    scored_before: ArrayLike,
    scored_after: ArrayLike,
    paired: bool,
) -> Agreement:
    """Churn between two studies against churn between seeds, each with the jackknife's interval.

    Args:
        before, after: [seeds, rows, classes] logits or [seeds, rows] values, of the same rows;
            paired: of the same seeds in the same order.
        scored_before, scored_after: bool[seeds, rows], which rows a seed predicted.
        paired: whether seed k of both is compared alone, or all with all.
    """
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    seen = np.asarray(scored_before, bool), np.asarray(scored_after, bool)
    classes = a.ndim == 3
    count = len(a)
    both = np.concatenate([a, b])
    there = np.concatenate(seen)
    if classes:
        table = disagreement(both.argmax(axis=-1), there)
    else:
        table = squared_distance(both, there)
    own, cross = table[:count, :count], table[:count, count:]
    found = _paired(own, _same(a, b, seen)) if paired else _unpaired(own, cross)
    if not classes:
        found = _root(found[0]), _root(found[1]), _root(found[2])
    found = _above_zero(found[0]), _above_zero(found[1]), _above_zero(found[2])
    return Agreement(
        *found, _largest(a, b, seen, paired), int((seen[0].any(0) & seen[1].any(0)).sum())
    )


def _same(a: Array, b: Array, seen: tuple[Any, Any]) -> Array:
    """Each seed against itself; taken directly, as squares of large numbers would drown it."""
    if a.ndim == 3:
        apart = (a.argmax(axis=-1) != b.argmax(axis=-1)).astype(np.float64)
    else:
        apart = (a - b) ** 2
    shared = seen[0] & seen[1]
    with np.errstate(invalid="ignore"):
        found: Array = np.where(shared, apart, 0).sum(axis=1) / shared.sum(axis=1)
    return found


def _paired(own: Array, same: Array) -> tuple[Interval, Interval, Interval]:
    within = mean_of_pairs(own, LEVEL)
    whole, without_same = _left_out(same[:, None])
    between = jackknife(whole, without_same, LEVEL)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = without_same / _pairs_left_out(own)
    return between, within, jackknife(_over(whole, within.estimate), ratios, LEVEL)


def _unpaired(own: Array, cross: Array) -> tuple[Interval, Interval, Interval]:
    within = mean_of_pairs(own, LEVEL)
    whole, out_a = _left_out(cross)
    _, out_b = _left_out(cross.T)
    between = jackknife_of_two(whole, out_a, out_b)
    with np.errstate(invalid="ignore", divide="ignore"):
        own_a = _pairs_left_out(own)
        ratio = jackknife_of_two(
            _over(whole, within.estimate), out_a / own_a, out_b / within.estimate
        )
    return between, within, ratio


def _left_out(table: Array) -> tuple[float, Array]:
    """The mean of a table, and what it is without each of its rows; NaN entries are left out."""
    there = np.isfinite(table)
    value = np.where(there, table, 0.0)
    total, count = value.sum(), there.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (total - value.sum(axis=1)) / (count - there.sum(axis=1))
    return float(total / count) if count else math.nan, without


def _pairs_left_out(table: Array) -> Array:
    """The mean off the diagonal of a symmetric table without each of its seeds."""
    pairs = np.array(table)
    np.fill_diagonal(pairs, np.nan)
    there = np.isfinite(pairs)
    value = np.where(there, pairs, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = (value.sum() - 2 * value.sum(axis=1)) / (there.sum() - 2 * there.sum(axis=1))
    return mean


def _over(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _above_zero(interval: Interval) -> Interval:
    """No share and no distance lies below 0."""
    return dataclasses.replace(interval, low=max(interval.low, 0.0))


def _root(interval: Interval) -> Interval:
    low, middle, high = (
        math.sqrt(max(v, 0.0)) for v in (interval.low, interval.estimate, interval.high)
    )
    return dataclasses.replace(interval, estimate=middle, low=low, high=high)


def _largest(a: Array, b: Array, seen: tuple[Any, Any], paired: bool) -> float:
    if not paired:
        return math.nan
    shared = seen[0] & seen[1]
    apart = np.abs(a - b)[shared]
    return float(np.nanmax(apart)) if apart.size and np.isfinite(apart).any() else math.nan
