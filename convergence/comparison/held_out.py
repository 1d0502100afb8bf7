"""What both studies predicted, row by row, whatever rows each was scored on."""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence.analysis.rows import row_scores
from convergence.comparison.side import Predictions, Side

LEAST_ROWS = 20  # in common, from which on scores are taken on them


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Outputs of some trials of both studies, laid on the distinct rows of either.

    Attributes:
        outputs: for each side [trials, rows(, classes)]; 0 where not scored.
        scored: for each side bool[trials, rows].
        truth: [rows] clean targets; None where neither side tells them.
        digests: uint64[rows].
    """

    outputs: tuple[np.ndarray, np.ndarray]
    scored: tuple[np.ndarray, np.ndarray]
    truth: np.ndarray | None
    digests: np.ndarray

    @property
    def alike(self) -> bool:
        """Whether all trials of both were scored on the same rows (paired: pair by pair)."""
        a, b = self.scored
        if a.shape == b.shape and np.array_equal(a, b):
            return True
        return bool((a == a[:1]).all() and (b == a[:1]).all())

    @property
    def common(self) -> int:
        """How many distinct rows both sides were scored on."""
        return int((self.scored[0].any(axis=0) & self.scored[1].any(axis=0)).sum())


def shared(told: HeldOut, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each side bool[trials, rows]: the rows on which `rescored` scores its trials.

    Args:
        paired: pair by pair, those that both trials were scored on; otherwise those that all were.
    """
    a, b = told.scored
    if paired:
        return a & b, a & b
    every = a.all(axis=0) & b.all(axis=0)
    return np.broadcast_to(every, a.shape), np.broadcast_to(every, b.shape)


def lay(a: Side, b: Side, trials: tuple[np.ndarray, np.ndarray]) -> HeldOut | None:
    """The outputs of some trials of two studies; None where they are not of one split."""
    first, second = a.predictions, b.predictions
    if first is None or second is None or first.split != second.split:
        return None
    if first.outputs.shape[2:] != second.outputs.shape[2:]:
        return None
    told = (first, trials[0]), (second, trials[1])
    every = np.unique(np.concatenate([p.digests[t][p.scored[t]] for p, t in told]))
    laid = [_laid(one, mine, every) for one, mine in told]
    truth = _truth(told, every)
    return HeldOut((laid[0][0], laid[1][0]), (laid[0][1], laid[1][1]), truth, every)


def _laid(
    told: Predictions, trials: np.ndarray, every: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    outputs = np.zeros((len(trials), len(every), *told.outputs.shape[2:]))
    scored = np.zeros(outputs.shape[:2], bool)
    for line, trial in enumerate(trials):
        there = told.scored[trial]
        place = np.searchsorted(every, told.digests[trial][there])
        outputs[line, place] = told.outputs[trial][there]
        scored[line, place] = True
    return outputs, scored


def _truth(
    told: tuple[tuple[Predictions, np.ndarray], ...], every: np.ndarray
) -> np.ndarray | None:
    """Targets of all rows; a digest covers the target, so that both sides agree where both tell."""
    first = told[0][0].truth
    if first is None or told[1][0].truth is None:
        return None
    truth = np.zeros(len(every), first.dtype)
    for one, trials in told:
        assert one.truth is not None
        for trial in trials:
            there = one.scored[trial]
            truth[np.searchsorted(every, one.digests[trial][there])] = one.truth[trial][there]
    return truth


def rescored(told: HeldOut, metric: str, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """float64[trials] of each side: the metric on the rows that are `shared`.

    Raises:
        ValueError: neither side tells the targets.
    """
    truth = told.truth
    if truth is None:
        raise ValueError("there are no targets to score against")
    first, second = (
        np.array([_score(metric, o[mask], truth[mask]) for o, mask in zip(outputs, masks)])
        for outputs, masks in zip(told.outputs, shared(told, paired))
    )
    return first, second


def _score(metric: str, outputs: np.ndarray, truth: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return (
            float(row_scores(metric, outputs[None], truth[None]).mean()) if len(truth) else np.nan
        )
