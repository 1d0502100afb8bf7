"""The losses of many short runs at constant learning rates, and what they were on average."""

from __future__ import annotations

import dataclasses

import numpy as np

Array = np.ndarray
LAST = 0.1  # of a run: its end, whose mean loss is called final
HIGHER = 0.05  # of the best descent: a run that ends so far above its start has diverged
NOISE = 3.0  # standard errors that it must be above its start, too


@dataclasses.dataclass(frozen=True)
class Runs:
    """Training losses of seeds × rates.

    Attributes:
        rates: [rates], ascending.
        steps: [points] steps at which a point of the curves ends; a point is the mean loss since
            the one before.
        loss: [seeds, rates, points] losses; seeds share their initial weights and batches over
            rates. Not finite where a run had ended.
        bad: [seeds, rates] first step that was not finite (its loss or its gradient), or -1.
    """

    rates: Array
    steps: Array
    loss: Array
    bad: Array

    def __post_init__(self) -> None:
        seeds, rates, points = self.loss.shape
        if self.rates.shape != (rates,) or self.steps.shape != (points,):
            raise ValueError("rates and steps must fit the losses")
        if self.bad.shape != (seeds, rates) or points < 2 or not (np.diff(self.rates) > 0).all():
            raise ValueError("first bad steps, two points and ascending rates are needed")

    @property
    def length(self) -> int:
        """Steps of a run."""
        return int(self.steps[-1])

    def between(self, first: float, last: float) -> Array:
        """[seeds, rates] mean loss of the steps after `first` up to `last`; inf where not finite.

        At least one point is taken, the first that ends after `first`.
        """
        inside = (self.steps > first) & (self.steps <= last)
        inside |= np.arange(len(self.steps)) == np.searchsorted(self.steps, first, "right")
        width = np.diff(self.steps, prepend=0)[inside].astype(np.float64)
        with np.errstate(all="ignore"):
            found = (self.loss[..., inside] * width).sum(-1) / width.sum()
        ended = (self.bad >= 0) & (self.bad < last)
        return np.where(ended | ~np.isfinite(found), np.inf, found)

    def mean(self, steps: int = 0) -> Array:
        """[seeds, rates] mean loss of the first steps (0: of all)."""
        return self.between(0, steps or self.length)

    def final(self, steps: int = 0, share: float = LAST) -> Array:
        """[seeds, rates] mean loss of the last share of the first steps (0: of all)."""
        last = steps or self.length
        return self.between(last * (1 - share), last)

    @property
    def starts(self) -> Array:
        """[seeds] loss before anything was learned: of the first batch, at the lowest rate."""
        return self.loss[:, 0, 0].astype(np.float64)

    def diverged(self, steps: int = 0) -> Array:
        """bool[seeds, rates]: not finite within the first steps, or higher at their end.

        Higher than at the start by a twentieth of the best descent, and by more than batches make
        a loss vary.
        """
        final, start = self.final(steps), self.levels()
        best = final.min(axis=1)
        descent = np.where(np.isfinite(best), np.maximum(start - best, 0.0), 0.0)
        beyond = np.maximum(HIGHER * descent, NOISE * self.noise()) + 1e-6 * np.abs(start)
        return ~(final <= (start + beyond)[:, None])

    def levels(self) -> Array:
        """[seeds] level at the start, free of one batch's luck: at the rate that moves least."""
        early = self.loss[:, 0, : max(1, len(self.steps) // 10)].astype(np.float64)
        return np.maximum(early.mean(-1), self.starts)

    def noise(self) -> Array:
        """[seeds] standard error of the difference of two tenths of a run, at the lowest rate.

        From the differences of neighbouring losses: a trend does not count.
        """
        first = self.loss[:, 0].astype(np.float64)
        with np.errstate(invalid="ignore"):
            spread = np.diff(first, axis=-1).std(axis=-1) / np.sqrt(2)
        tenth = max(1, len(self.steps) // 10)
        return np.where(np.isfinite(spread), spread * np.sqrt(2 / tenth), 0.0)

    def taken(self, rates: Array, seeds: slice | Array = slice(None)) -> Runs:
        """The runs of some rates (places) and seeds."""
        return Runs(
            self.rates[rates],
            self.steps,
            self.loss[seeds][:, rates],
            self.bad[seeds][:, rates],
        )

    def cut(self, steps: int) -> Runs:
        """The first steps of every run."""
        inside = self.steps <= steps
        return Runs(self.rates, self.steps[inside], self.loss[..., inside], self.bad)
