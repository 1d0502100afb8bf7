"""How soon a descent reaches a level, how steadily it falls, and what became of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convergence.analysis.statistics import Interval, proportion_exact, strict_number

Array = NDArray[np.float64]
DIVERGED, USEFUL, SLOW = "diverged", "useful", "too slow"
SPANS = 20  # parts of a run whose mean losses are compared, each with the one before
SMOOTHED = 50  # a loss is averaged over this part of the run (one in so many), looking back
FEWEST = 8  # steps that it is averaged over, at least


def trailing(steps: Array, losses: Array, span: float) -> Array:
    """[trials, points] mean loss over the `span` steps up to each point; NaN before there are any.

    Args:
        steps: [points] steps at which points end, ascending; a point tells of all steps since the
            one before.
        losses: [trials, points].
    """
    widths = np.diff(steps, prepend=0.0)
    summed = np.cumsum(losses * widths, axis=1)
    at = np.concatenate([[0.0], steps])
    before = np.stack([np.interp(steps - span, at, np.concatenate([[0.0], s])) for s in summed])
    told: Array = np.where(steps >= span, (summed - before) / span, np.nan)
    return told


def averaged_over(total: int) -> float:
    """The steps that a loss of a run of this length is averaged over."""
    return float(min(max(total / SMOOTHED, FEWEST), total))


@dataclasses.dataclass(frozen=True)
class Target:
    """A level of the training loss, from the default's own descent.

    Attributes:
        level: that lies below.
        start: the default's first loss, median over seeds.
        share: of the descent from there to the default's end.
        span: steps that a loss is averaged over.
        reason: why there is none; "" if there is.
    """

    level: float
    start: float
    share: float
    span: float
    reason: str = ""


def target(steps: Array, losses: Array, share: float, span: float) -> Target:
    """The level at which the median descent has this share behind it.

    Args:
        steps: as `trailing` takes them.
        losses: [trials, points] of the default; trials with a loss that is not finite are left out.
    """
    fine = losses[np.isfinite(losses).all(axis=1)]
    if not len(fine) or not len(steps):
        return Target(math.nan, math.nan, share, span, "no seed of the default finished")
    start = float(np.median(fine[:, 0]))
    end = float(np.median(trailing(steps, fine, span)[:, -1]))
    level = start - share * (start - end)
    reason = "" if end < start else "the default's loss does not fall"
    return Target(level, start, share, span, reason)


def first_reached(steps: Array, losses: Array, goal: Target) -> Array:
    """[trials] the first step by which the averaged loss is at the level; inf where it never is."""
    smooth = trailing(steps, losses, goal.span)
    with np.errstate(invalid="ignore"):
        there = smooth <= goal.level
    first = np.argmax(there, axis=1)
    return np.where(there.any(axis=1), steps[first], math.inf)


@dataclasses.dataclass(frozen=True)
class Reached:
    """Steps to a target over seeds.

    Attributes:
        median: steps, inf where fewer than half of the seeds reach it.
        low, high: 95 % interval of the median by order statistics; exact at any n, inf or 0 where
            the seeds set no bound.
        reached: share of seeds that reach it, with the exact interval.
        count, seeds: how many do, of how many.
    """

    median: float
    low: float
    high: float
    reached: Interval
    count: int
    seeds: int

    def to_json(self) -> dict[str, object]:
        """A dict for strict JSON."""
        plain = {f.name: strict_number(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return plain | {"reached": self.reached.to_json()}


def reached(first: Array, level: float = 0.95) -> Reached:
    """The summary of `first_reached` over an arm's seeds."""
    ordered, n = np.sort(first), len(first)
    count = int(np.isfinite(first).sum())
    # The k-th smallest and the k-th largest bound the median at one-sided level P(Bin(n, ½) < k).
    k = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    while k > 0 and stats.binom.cdf(k - 1, n, 0.5) > (1 - level) / 2:
        k -= 1
    low, high = (float(ordered[k - 1]), float(ordered[n - k])) if k else (0.0, math.inf)
    middle = float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else math.nan
    return Reached(middle, low, high, proportion_exact(count, n, level), count, n)


def risen(steps: Array, losses: Array, goal: Target) -> NDArray[np.bool_]:
    """bool[trials]: where the loss did not stay finite, or rose far above its own first value.

    Far: by that value again, and by the whole of the default's descent at least; averaged over the
    target's span, so that no single batch makes it.
    """
    if not len(steps):
        return np.zeros(len(losses), bool)
    descent = (goal.start - goal.level) / goal.share
    begin = losses[:, 0]
    far = begin + np.maximum(np.abs(begin), descent if math.isfinite(descent) else 0.0)
    with np.errstate(invalid="ignore"):
        above = (trailing(steps, losses, goal.span) > far[:, None]).any(axis=1)
    return np.logical_or(above, ~np.isfinite(losses).all(axis=1))


def outcome(first: Array, rose: NDArray[np.bool_]) -> str:
    """What became of a setting's seeds, by a rule fixed before training.

    useful: at least half reach the target; else diverged: more than half rise far above where they
    began, or are no longer finite; else too slow.

    Args:
        first: [seeds], as `first_reached` gives it.
        rose: bool[seeds], as `risen` gives it.
    """
    if 2 * np.isfinite(first).sum() >= len(first):
        return USEFUL
    return DIVERGED if 2 * np.sum(rose) > len(first) else SLOW


def share_improving(steps: Array, improving: Array) -> Array:
    """[trials] share of steps whose loss lies below the step's before.

    Args:
        improving: [trials, points] shares of the steps of each point; NaN where nothing is told.
    """
    widths = np.broadcast_to(np.diff(steps, prepend=0.0), improving.shape)
    there = np.isfinite(improving)
    weight = np.where(there, widths, 0.0)
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore"):
        told: Array = np.where(there, improving, 0.0) * weight
        return np.where(total > 0, told.sum(axis=1) / total, np.nan)


def share_falling(steps: Array, losses: Array) -> Array:
    """[trials] share of the parts of a run whose mean loss lies below that of the part before.

    The run is cut into `SPANS` equal parts; NaN where it is shorter or not finite.
    """
    if len(steps) == 0 or steps[-1] < SPANS:
        return np.full(len(losses), np.nan)
    edges = float(steps[-1]) / SPANS * np.arange(SPANS + 1)
    at = np.concatenate([[0.0], steps])
    summed = np.cumsum(losses * np.diff(at), axis=1)
    whole = np.stack([np.interp(edges, at, np.concatenate([[0.0], one])) for one in summed])
    parts = np.diff(whole, axis=1)
    falls = np.mean(np.diff(parts, axis=1) < 0, axis=1)
    return np.where(np.isfinite(parts).all(axis=1), falls, np.nan)
