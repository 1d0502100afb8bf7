"""The claims on randomness: what each says, and how its numbers are taken from the trials."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Literal

from convergence.analysis.claim import Claim
from convergence.challenges import Asked
from convergence.chance.design import FIRST, Design
from convergence.chance.sources import AS_MUCH
from convergence.chance.twins import AS_A_SEED
from convergence.spec import StudySpec

Measure = Literal["churn", "spread", "bit", "as a seed", "growth", "rise", "first"]
CHALLENGE = 4
GROWN = 10.0  # times over the whole run: a difference that grows by less hardly grows
ABSENT = {
    "dropout": "this model drops nothing (--dropout)",
    "corrupt": "no target is spoiled (--label_noise, --outliers)",
}


@dataclasses.dataclass(frozen=True)
class Question:
    """A claim about a spread, and the trials that it is read from.

    Attributes:
        claim: fixed before training.
        measure: ``churn``: how far two trials' predictions lie apart, against the margin;
            ``spread``: the standard deviation over seeds, averaged over arms, against the margin;
            ``bit``: the one between a trial and its twin, against the margin; ``as a seed``: that
            one as a multiple of the one over seeds, against `AS_A_SEED`; ``growth``: the slope of
            the logarithm of twins' distance; ``rise``: of the standard deviation, from the least
            dose to the largest; ``first``: by how much less the order of the first epoch spreads
            the result than that of all epochs, as a share.
        arms: that are read.
        against: the arms that they are held against (``first``), or the twins.
        doses: of the arms (``rise``).
    """

    claim: Claim
    measure: Measure
    arms: tuple[str, ...]
    against: tuple[str, ...] = ()
    doses: tuple[float, ...] = ()


def _claim(id: str, statement: str, arm: str, family: str, metric: str, margin: float) -> Claim:
    return Claim(
        id, statement, arm, arm, "superiority", 1, metric, margin, family, challenge=CHALLENGE
    )


def _sources(
    study: StudySpec, made: Design, steps: int, per_epoch: int
) -> Iterator[Question | Asked]:
    metric, margin = study.run.metric, study.run.margin
    assert made.together is not None
    for source in ("order", "init", "split", "dropout", "corrupt"):
        statement = f"{source} alone spreads the result by more than δ"
        if source not in made.alone:
            yield Asked("4a", statement, CHALLENGE, ABSENT[source])
            continue
        arms = tuple(arm.name for arm in made.alone[source])
        told = _claim("4a", statement, arms[0], "sources", f"{metric} spread", margin)
        yield Question(told, "spread", arms)
    whole = made.together.name
    statement = "two runs of the same data, hardware and method differ by more than δ"
    yield Question(
        _claim("0a", statement, whole, "again", f"{metric} churn", margin), "churn", (whole,)
    )
    statement = "a run re-orients itself: the first epoch's order leaves less spread than all"
    if steps <= per_epoch:
        why = "a run is no longer than its first epoch"
        yield Asked("4g", statement, CHALLENGE, why)
        return
    arms, against = (tuple(arm.name for arm in made.alone[source]) for source in (FIRST, "order"))
    share = "share of the spread by order"
    told = _claim("4g", statement, arms[0], "first epoch", share, 1 - AS_MUCH)
    yield Question(told, "first", arms, against)


def _twins(study: StudySpec, made: Design, steps: int) -> Iterator[Question | Asked]:
    metric, margin = study.run.metric, study.run.margin
    own = made.rates[study.setting.train.learning_rate]
    arm, twin = (one.name for one in own)
    spread = f"{metric} spread"
    for statement, measure, unit, least in (
        ("one flipped bit spreads the result by more than δ", "bit", spread, margin),
        (
            f"one flipped bit moves the result at least {AS_A_SEED:g} times as far as a seed",
            "as a seed",
            "share of the spread over seeds",
            AS_A_SEED,
        ),
        ("a one-bit difference grows", "growth", "log distance a step", growth_margin(steps)),
    ):
        told = _claim("4b", statement, twin, "twins", unit, least)
        yield Question(told, measure, (arm,), (twin,))  # type: ignore[arg-type]


def _consistency(study: StudySpec, made: Design) -> Iterator[Question | Asked]:
    metric, margin = study.run.metric, study.run.margin
    arms = tuple(arm.name for arm in made.doses.values())
    spread = f"{metric} spread"
    statement = f"seeds spread further the more targets are spoiled ({made.field})"
    told = _claim("4c", statement, arms[-1], "consistency", spread, margin)
    yield Question(told, "rise", arms, doses=tuple(made.doses))
    statement = "on clean targets seeds still spread the result by more than δ"
    if 0 not in made.doses:
        yield Asked("4e", statement, CHALLENGE, "no dose of 0 was asked for (--doses)")
        return
    told = _claim("4e", statement, made.doses[0].name, "consistency", spread, margin)
    yield Question(told, "spread", (made.doses[0].name,))


def growth_margin(steps: int) -> float:
    """The slope of a log distance that grows `GROWN`-fold in so many steps."""
    return math.log(GROWN) / max(steps, 1)


def questions(study: StudySpec, made: Design, steps: int, per_epoch: int) -> list[Question | Asked]:
    """All claims of the study.

    Args:
        study: resolved.
        steps: of a trial.
        per_epoch: steps of an epoch.
    """
    told: list[Question | Asked] = []
    if made.alone:
        told += _sources(study, made, steps, per_epoch)
    if made.rates:
        told += _twins(study, made, steps)
    if made.doses:
        told += _consistency(study, made)
    return told
