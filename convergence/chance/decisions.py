"""From trials to verdicts on spreads: a spread's pseudo-values are decided as any sample is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from convergence.analysis.churn import disagreement, squared_distance
from convergence.analysis.growth import growth
from convergence.analysis.pseudo import Array, Index, pooled_sd, pseudo_values, slope_of_sd, twin_sd
from convergence.analysis.verdict import Verdict, decide_family
from convergence.challenges import Asked
from convergence.chance.claims import Question
from convergence.chance.sources import AS_MUCH
from convergence.chance.tables import predicted
from convergence.chance.twins import AS_A_SEED
from convergence.history import History

LEAST = 1e-3  # of what a spread is held against: one below it counts as this
NO_MARGIN = 1e-12  # where a spread is held against its margin, none is left
FEWEST = 3  # seeds that a jackknife needs
Told = list[tuple[Question | Asked, Verdict | None]]


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a claim is decided by.

    Attributes:
        values: [seeds] whose mean is the effect as it is tested, positive supporting the claim.
        trials: seeds there were, finished or not.
        margin: of the effect as it is tested.
        back: from the effect as it is tested to the claim's unit; ascending.
    """

    values: Array
    trials: int
    margin: float
    back: Callable[[float], float]


def _same(value: float) -> float:
    return value


def _times(unit: float) -> Callable[[float], float]:
    """From the logarithm of a multiple of a unit."""

    def back(value: float) -> float:
        if math.isnan(value):
            return value
        if value <= math.log(LEAST):
            return 0.0
        return unit * math.exp(value) if value < 700 else math.inf

    return back


def _root_beside(unit: float) -> Callable[[float], float]:
    """From a square less that of a unit."""

    def back(value: float) -> float:
        return value if math.isnan(value) else math.sqrt(max(value + unit**2, 0.0))

    return back


def _log(value: float, unit: float) -> float:
    """The logarithm of a spread as a multiple of what it is held against."""
    return math.log(max(value / unit, LEAST)) if unit > 0 else math.nan


def _finished(history: History, arms: Sequence[str]) -> tuple[Array, int]:
    """The metric [arms, seeds that finished in all of them] on clean rows; seeds there were."""
    metric = history.study.run.metric
    table = np.stack([history.of_arm(arm, metric, "clean") for arm in arms])
    return table[:, np.isfinite(table).all(axis=0)], table.shape[1]


def _churn(history: History, question: Question) -> Sample:
    table, trials = _finished(history, question.arms)
    margin = question.claim.margin
    metric = history.study.run.metric
    finished = np.flatnonzero(np.isfinite(history.of_arm(question.arms[0], metric, "clean")))
    if len(finished) < FEWEST:
        return Sample(table[0], trials, NO_MARGIN, _times(margin))
    told = predicted(history, question.arms[0], finished)
    classes = told.outputs.ndim == 3
    pairs = (
        disagreement(told.classes, told.scored)
        if classes
        else squared_distance(told.outputs, told.scored)
    )
    np.fill_diagonal(pairs, np.nan)

    def statistic(index: Index) -> float:
        mean = float(np.nanmean(pairs[np.ix_(index, index)]))
        return _log(mean if classes else math.sqrt(mean), margin)

    return Sample(pseudo_values(statistic, len(finished)), trials, NO_MARGIN, _times(margin))


def _spread(history: History, question: Question) -> Sample:
    table, trials = _finished(history, question.arms)
    margin = question.claim.margin
    found = pseudo_values(lambda i: _log(pooled_sd(table[:, i]), margin), table.shape[1])
    return Sample(found, trials, NO_MARGIN, _times(margin))


def _bit(history: History, question: Question) -> Sample:
    table, trials = _finished(history, (*question.arms, *question.against))
    one, other = table
    margin = question.claim.margin
    unit = margin if question.measure == "bit" else AS_A_SEED

    def spread(index: Index) -> float:
        """By one bit, in units of what it is held against."""
        seeds = 1.0 if question.measure == "bit" else pooled_sd(table[:, index])
        return twin_sd(one[index], other[index]) / seeds if seeds > 0 else math.nan

    # Where some pairs do not differ at all, a single other one can make the whole spread, and the
    # logarithm of what is left without it has no bound. Squares are means of pairs: they have one.
    squares = bool(np.any(one == other))

    def statistic(index: Index) -> float:
        value = spread(index)
        return value**2 - unit**2 if squares else _log(value, unit)

    back = _root_beside(unit) if squares else _times(unit)
    return Sample(pseudo_values(statistic, table.shape[1]), trials, NO_MARGIN, back)


def _growth(history: History, question: Question) -> Sample:
    found = growth(*history.twin_distances(question.against[0]))
    slopes = found.slopes[np.isfinite(found.slopes)]
    return Sample(slopes, found.trials, question.claim.margin, _same)


def _rise(history: History, question: Question) -> Sample:
    table, trials = _finished(history, question.arms)
    doses = np.array(question.doses)
    reach = float(doses.max() - doses.min())

    def statistic(index: Index) -> float:
        return reach * slope_of_sd(doses, table[:, index])

    return Sample(pseudo_values(statistic, table.shape[1]), trials, question.claim.margin, _same)


def _first(history: History, question: Question) -> Sample:
    table, trials = _finished(history, (*question.arms, *question.against))
    count = len(question.arms)

    def statistic(index: Index) -> float:
        first, every = pooled_sd(table[:count, index]), pooled_sd(table[count:, index])
        return -_log(first, every)

    def back(value: float) -> float:
        return -math.inf if value < -700 else 1 - math.exp(-value)

    found = pseudo_values(statistic, table.shape[1])
    return Sample(found, trials, -math.log(AS_MUCH), back)


MEASURES: dict[str, Callable[[History, Question], Sample]] = {
    "churn": _churn,
    "spread": _spread,
    "bit": _bit,
    "as a seed": _bit,
    "growth": _growth,
    "rise": _rise,
    "first": _first,
}


def _reason(question: Question, sample: Sample) -> str:
    """Why nothing can be decided by these values; "" where something can."""
    if not len(sample.values):
        return "no pair has a slope" if question.measure == "growth" else "every trial diverged"
    if len(sample.values) < FEWEST:
        return f"fewer than {FEWEST} seeds say nothing certain about a spread"
    return "" if np.isfinite(sample.values).all() else "there is no spread to hold it against"


def _as_asked(question: Question, sample: Sample, verdict: Verdict, reason: str) -> Verdict:
    """The verdict in the claim's unit and words."""
    against = sample.margin == NO_MARGIN
    told = verdict.reason
    if against and told == "reversed":
        told = "negligible" if question.measure != "as a seed" else "less than a seed does"
    if question.measure == "first" and told in ("negligible", "reversed"):
        told = "the first epoch's order spreads it as much"
    warnings = verdict.warnings
    if (lost := sample.trials - len(sample.values)) > 0:
        warnings = (*warnings, f"{lost} of {sample.trials} seeds diverged or tell nothing here")
    decision = verdict.decision
    if reason:
        decision, told = ("undecided" if len(sample.values) else "not applicable"), reason
    return dataclasses.replace(
        verdict,
        claim=question.claim,
        decision=decision,
        reason=told,
        effect=sample.back(verdict.effect),
        low=sample.back(verdict.low),
        high=sample.back(verdict.high),
        smallest_detectable=sample.back(verdict.smallest_detectable),
        seeds=sample.trials,
        method=verdict.method if question.measure == "growth" else "jackknife t",
        warnings=warnings,
    )


def decide(history: History, asked: Sequence[Question | Asked]) -> Told:
    """Every claim with its verdict, in the given order; None for one that could not be asked.

    Claims are corrected within their family. A spread enters by its jackknife's pseudo-values; one
    that is held against something by its logarithm, of which Student's interval is closer; one
    bit's by its square where some pairs do not differ.
    """
    families: dict[str, list[Question]] = {}
    for one in asked:
        if isinstance(one, Question):
            families.setdefault(one.claim.family, []).append(one)
    found: dict[int, Verdict] = {}
    for members in families.values():
        samples = [MEASURES[one.measure](history, one) for one in members]
        reasons = [_reason(one, sample) for one, sample in zip(members, samples)]
        values = [s.values[:0] if why else s.values for s, why in zip(samples, reasons)]
        verdicts = decide_family(
            [dataclasses.replace(m.claim, margin=s.margin) for m, s in zip(members, samples)],
            values,
            [np.zeros(len(one)) for one in values],
        )
        for one, sample, verdict, why in zip(members, samples, verdicts, reasons):
            found[id(one)] = _as_asked(one, sample, verdict, why)
    return [(one, found.get(id(one))) for one in asked]
