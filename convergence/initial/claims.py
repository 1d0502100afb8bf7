"""The claims on initial weights: what each says, and how its numbers are taken from the trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from convergence import names
from convergence.analysis.claim import Claim, Kind
from convergence.analysis.reaching import (
    SPANS,
    Target,
    averaged_over,
    first_reached,
    risen,
    share_falling,
    share_improving,
    target,
)
from convergence.analysis.verdict import Verdict, decide_family
from convergence.appraisal import scores
from convergence.challenges import Asked
from convergence.history import History
from convergence.initial.design import (
    BIG,
    DEFAULT,
    NO_BIAS,
    PRIOR,
    SMALL,
    Design,
    cell,
    scaled,
)
from convergence.spec import StudySpec

Measure = Literal["metric", "time", "improving", "falling"]
CHALLENGE = 1
SOONER = 0.05  # of the run: the smallest saving of steps worth acting on
CHANCE = 0.5  # of steps that improve where nothing is learned
MOST_STEPS = 0.05  # by which more steps improve than half
STEADY, STEADY_MARGIN = 0.5, 0.25  # of the parts of a run that fall, held against half
Told = list[tuple["Question | Asked", Verdict | None]]


@dataclasses.dataclass(frozen=True)
class Question:
    """A claim, and what its numbers are.

    Attributes:
        claim: fixed before training.
        measure: ``metric``: scores on clean validation rows; ``time``: steps to the target as a
            share of the run, 1 where it is never reached; ``improving``: the share of steps whose
            loss lies below the step's before, against `CHANCE`; ``falling``: the share of the
            parts of the run that fall, against `STEADY`.
    """

    claim: Claim
    measure: Measure


class _Asks:
    def __init__(self, study: StudySpec, made: Design) -> None:
        self.run, self.there = study.run, {arm.name for arm in made.arms}
        self.direction = 1 if study.run.metric in names.HIGHER_IS_BETTER else -1

    def __call__(
        self,
        id: str,
        statement: str,
        treatment: str,
        control: str = DEFAULT,
        *,
        measure: Measure = "metric",
        margin: float = 0.0,
        kind: Kind = "superiority",
    ) -> Question | Asked:
        if not {treatment, control} <= self.there:
            return Asked(id, statement, CHALLENGE, "this model or these parts have no such arm")
        unit = {
            "metric": self.run.metric,
            "time": "share of the run",
            "improving": "share of steps",
            "falling": "share of the run's parts",
        }[measure]
        turned = {"metric": self.direction, "time": -1}.get(measure, 1)
        margin = margin or self.run.margin
        claim = Claim(
            id,
            statement,
            treatment,
            control,
            kind,
            turned,
            unit,
            margin,
            f"weights: {unit}",
            CHALLENGE,
        )
        return Question(claim, measure)


def questions(study: StudySpec, made: Design) -> list[Question | Asked]:
    """All claims of the study, with their margins."""
    ask = _Asks(study, made)
    told: list[Question | Asked] = []
    if "initialisers" in made.parts:
        told += [
            ask("1b", f"a start {BIG:g} times larger is worse", DEFAULT, scaled(BIG)),
            ask("1b", f"a start {1 / SMALL:g} times smaller is worse", DEFAULT, scaled(SMALL)),
            ask("1b", "all weights zero is worse", DEFAULT, "init=zeros"),
        ]
    if "bias" in made.parts:
        told += [
            ask("1b", "a model without biases is worse", DEFAULT, NO_BIAS),
            ask(
                "1b",
                "with the prior as output bias the target is reached sooner",
                PRIOR,
                measure="time",
                margin=SOONER,
            ),
        ]
    if made.grid:
        scales, rates = (sorted({key[k] for key in made.grid}) for k in range(2))
        told += [
            ask("1a", "the most ruthless rate is worse", DEFAULT, cell(1.0, rates[-1])),
            ask("1a", "the most timid rate is worse", DEFAULT, cell(1.0, rates[0])),
            ask(
                "1a",
                "a large start at the most ruthless rate is worse",
                DEFAULT,
                cell(scales[-1], rates[-1]),
            ),
        ]
    told += [
        ask("1c", "most steps improve the loss", DEFAULT, measure="improving", margin=MOST_STEPS),
        ask(
            "1c",
            "the loss falls from each part of the run to the next",
            DEFAULT,
            measure="falling",
            margin=STEADY_MARGIN,
        ),
    ]
    return told


@dataclasses.dataclass(frozen=True, eq=False)
class Descents:
    """The training losses of all trials, held against one target.

    Attributes:
        goal: from the default's own descent.
        first: float64[trials] steps to it, inf where it is never reached.
        rose: bool[trials], see `reaching.risen`.
        ends: float64[trials] averaged loss at the end; NaN where a trial diverged.
        improving, falling: float64[trials], see `Question`.
        total: int[trials] steps of each trial.
    """

    goal: Target
    first: np.ndarray
    rose: np.ndarray
    ends: np.ndarray
    improving: np.ndarray
    falling: np.ndarray
    total: np.ndarray


def descents(history: History, share: float) -> Descents:
    """How the trials of a study descend.

    Args:
        share: of the default's descent: the target.
    """
    steps, curves = history.loss_curve()
    at = steps.astype(np.float64)
    losses = curves["mean"]
    total = history.plan.total_steps
    span = averaged_over(max(total, 1))
    goal = target(at, losses[history.rows_of(DEFAULT)], share, span)
    first = first_reached(at, losses, goal) if len(at) else np.full(len(losses), np.inf)
    # What lies beyond a trial's own length is no divergence.
    rose = np.array(
        [
            risen(at[at <= trial.steps], one[None, at <= trial.steps], goal)[0]
            for trial, one in zip(history.trials, losses)
        ]
    )
    tail = at > total - span
    ends = losses[:, tail].mean(axis=1) if tail.any() else np.full(len(losses), np.nan)
    return Descents(
        goal,
        first,
        rose | history.diverged,
        np.where(history.diverged, np.nan, ends),
        share_improving(at, curves["improving"]),
        share_falling(at, losses),
        np.array([trial.steps for trial in history.trials]),
    )


def _samples(history: History, told: Descents, one: Question) -> tuple[Any, Any]:
    claim = one.claim
    treatment, control = (history.rows_of(arm) for arm in (claim.treatment, claim.control))
    if one.measure == "time":
        total = np.maximum(told.total, 1)
        times = np.minimum(told.first, total) / total
        return times[treatment], times[control]
    if one.measure == "metric":
        found = [scores(history, arm) for arm in (claim.treatment, claim.control)]
        if found[0].ndim != found[1].ndim:
            metric = history.study.run.metric
            found = [history.of_arm(a, metric, "clean") for a in (claim.treatment, claim.control)]
        return found[0], found[1]
    values = (told.improving if one.measure == "improving" else told.falling)[treatment]
    held = CHANCE if one.measure == "improving" else STEADY
    return values, np.where(np.isfinite(values), held, np.nan)


def _unasked(told: Descents, one: Question) -> str:
    """Why these trials cannot be asked a claim, or ""."""
    if one.measure == "falling" and told.total.max(initial=0) < SPANS:
        return f"a run is shorter than {SPANS} steps"
    return told.goal.reason if one.measure == "time" else ""


def decide(history: History, told: Descents, asked: Sequence[Question | Asked]) -> Told:
    """Every claim with its verdict, in the given order; None for one that could not be asked.

    Claims of one quantity are corrected together.
    """
    families: dict[str, list[Question]] = {}
    for one in asked:
        if isinstance(one, Question) and not _unasked(told, one):
            families.setdefault(one.claim.family, []).append(one)
    found: dict[int, Verdict] = {}
    for members in families.values():
        pairs = [_samples(history, told, one) for one in members]
        verdicts = decide_family(
            [one.claim for one in members], [p[0] for p in pairs], [p[1] for p in pairs]
        )
        found |= {id(one): verdict for one, verdict in zip(members, verdicts)}
    return [
        (
            Asked(one.claim.id, one.claim.statement, CHALLENGE, _unasked(told, one))
            if isinstance(one, Question) and id(one) not in found
            else one,
            found.get(id(one)),
        )
        for one in asked
    ]
