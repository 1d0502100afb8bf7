"""The main job: arms and claims of a controlled comparison for each of the five challenges.

Every arm differs from the default setting in one thing. Each challenge has one primary claim,
corrected with the other four; its further claims are corrected among themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from convergence import names
from convergence.analysis.claim import Claim, Kind
from convergence.data import Dataset
from convergence.models import MODELS
from convergence.spec import Arm, Setting, StudySpec

DEFAULT = "default"
PRIMARY = "primary"
TOPICS = {1: "weights", 2: "loss", 3: "learning rate", 4: "randomness", 5: "useful dissonance"}
INITS = ("he_normal", "glorot_uniform", "orthogonal")
LOSSES = {
    "classification": ("gce", "square", "cross_entropy"),
    "regression": ("mae", "huber", "mse"),
}
USUAL_LOSS = {"classification": "cross_entropy", "regression": "mse"}
RATE_FACTORS = (0.1, 0.3, 3.0, 10.0, 100.0)
SCHEDULES = ("cosine", "linear", "exponential", "drop", "time_based")
DECAYS = (1e-4, 1e-2)
SPOILED = {"classification": ("label_noise", 0.2), "regression": ("outliers", 0.1)}
NARROW, WIDE = 8, 4  # a width's divisor and factor

FACTORS = ("init", "loss", "rate", "schedule", "capacity", "decay")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A claim and how its numbers are taken from the trials.

    Attributes:
        claim: fixed before training.
        measure: ``metric`` compares the arms' scores on clean validation rows; ``distance`` asks
            how far paired trials' scores lie apart (treatment against control, or, where both are
            the same arm, one seed against the next); ``gap`` compares the arms' gaps between
            training and validation score.
    """

    claim: Claim
    measure: str = "metric"


@dataclasses.dataclass(frozen=True)
class Asked:
    """A claim that these data or this model cannot be asked, and why."""

    id: str
    statement: str
    challenge: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Design:
    """Arms of a study of the five challenges, and which of them are choices to recommend from.

    Attributes:
        arms: the default first.
        choices: factor → names of the arms that change it, on data as the user gave them.
        hidden: the default's widths; empty where the model has none to change.
    """

    arms: tuple[Arm, ...]
    choices: dict[str, tuple[str, ...]]
    hidden: tuple[int, ...]


def other_losses(setting: Setting, task: str) -> tuple[str, ...]:
    """Two losses to hold against the setting's own; the one that outliers move least first."""
    own = setting.train.loss if setting.train.loss != "auto" else USUAL_LOSS[task]
    return tuple(loss for loss in LOSSES[task] if loss != own)[:2]


def spoiling(setting: Setting, task: str) -> dict[str, Any]:
    """The changes that contaminate the targets: labels redrawn, or targets thrown far off."""
    field, dose = SPOILED[task]
    return {field: max(dose, min(1.0, 2 * setting.get(field)))}


def _number(value: float) -> str:
    return f"{value:.3g}"


def _weights() -> Iterator[tuple[str, Arm]]:
    for init in INITS:
        yield "init", Arm.of(f"init={init}", init=init)
    yield "", Arm.of("init=zeros", init="zeros")


def _scaled(setting: Setting) -> Iterator[tuple[str, Arm]]:
    for factor in (0.1, 10.0):
        name = f"init_scale={_number(factor * setting.model.init_scale)}"
        yield "", Arm.of(name, init_scale=factor * setting.model.init_scale)


def _losses(setting: Setting, task: str) -> Iterator[tuple[str, Arm]]:
    dose = spoiling(setting, task)
    yield "", Arm.of("spoiled", **dose)
    for loss in other_losses(setting, task):
        yield "loss", Arm.of(f"loss={loss}", loss=loss)
        yield "", Arm.of(f"loss={loss} spoiled", loss=loss, **dose)


def _rates(setting: Setting) -> Iterator[tuple[str, Arm]]:
    base = setting.train.learning_rate
    for factor in RATE_FACTORS:
        yield "rate", Arm.of(f"rate={_number(factor * base)}", learning_rate=factor * base)
    for schedule in ("constant", *SCHEDULES):
        if schedule != setting.train.schedule:
            yield "schedule", Arm.of(f"schedule={schedule}", schedule=schedule)


def sources(setting: Setting) -> tuple[str, ...]:
    """The sources of randomness that this setting has."""
    return ("init", "order", *(["dropout"] if setting.model.dropout else []), "split")


def _sources(setting: Setting) -> Iterator[tuple[str, Arm]]:
    for source in sources(setting):
        yield "", Arm.of(f"only {source} varies", vary=(source,))
    yield "", Arm.of("one-bit twin", twin=True)


def _capacity(setting: Setting, task: str, hidden: tuple[int, ...]) -> Iterator[tuple[str, Arm]]:
    if hidden:
        narrow = tuple(max(1, width // NARROW) for width in hidden)
        yield "capacity", Arm.of("narrow", hidden=narrow)
        yield "capacity", Arm.of("wide", hidden=tuple(WIDE * width for width in hidden))
    for decay in DECAYS:
        yield "decay", Arm.of(f"decay={_number(decay)}", weight_decay=decay)
    strongest = f"decay={_number(DECAYS[-1])} spoiled"
    yield "", Arm.of(strongest, weight_decay=DECAYS[-1], **spoiling(setting, task))


def design(setting: Setting, dataset: Dataset) -> Design:
    """The arms of the five comparisons around a setting, on a dataset."""
    task = dataset.task
    user_model = setting.model.model not in names.MODELS
    hidden = () if user_model else setting.model.hidden
    if not hidden and not user_model:
        hidden = MODELS[setting.model.model][len(dataset.shape)].default_hidden
    tagged = [
        *(_weights() if setting.model.init == "default" else ()),
        *_scaled(setting),
        *_losses(setting, task),
        *_rates(setting),
        *_sources(setting),
        *_capacity(setting, task, hidden),
    ]
    choices = {
        factor: tuple(arm.name for tag, arm in tagged if tag == factor) for factor in FACTORS
    }
    return Design((Arm(DEFAULT), *(arm for _, arm in tagged)), choices, hidden)


def comparisons(study: StudySpec, made: Design, task: str) -> list[Comparison | Asked]:
    """All claims of the study, the primary one of each challenge first within it."""
    run = study.run
    direction = 1 if run.metric in names.HIGHER_IS_BETTER else -1
    setting = study.setting
    there = {arm.name for arm in made.arms}

    def claim(
        challenge: int,
        id: str,
        statement: str,
        treatment: str,
        control: str = DEFAULT,
        *,
        kind: Kind = "superiority",
        primary: bool = False,
        measure: str = "metric",
    ) -> Comparison | Asked:
        if not {treatment, control} <= there:
            return Asked(id, statement, challenge, "the setting leaves nothing to compare")
        family = PRIMARY if primary else TOPICS[challenge]
        turned = direction if measure == "metric" else 1
        metric = run.metric if measure == "metric" else f"{run.metric} {measure}"
        made_claim = Claim(
            id, statement, treatment, control, kind, turned, metric, run.margin, family, challenge
        )
        return Comparison(made_claim, measure)

    big = f"init_scale={_number(10 * setting.model.init_scale)}"
    small = f"init_scale={_number(0.1 * setting.model.init_scale)}"
    robust, other = other_losses(setting, task)
    strongest = f"decay={_number(DECAYS[-1])} spoiled"
    falling = "cosine" if setting.train.schedule != "cosine" else "linear"
    found = [
        claim(1, "1b", "a start 10x larger is worse", DEFAULT, big, primary=True),
        claim(1, "1a", "a start 10x smaller is worse", DEFAULT, small),
        claim(1, "1b", "all weights zero is worse", DEFAULT, "init=zeros"),
        *(claim(1, "1b", f"{i} serves as well", f"init={i}", kind="equivalence") for i in INITS),
        claim(2, "2c", f"{robust} beats the default loss on spoiled targets",
              f"loss={robust} spoiled", "spoiled", primary=True),
        claim(2, "2c", f"{other} beats the default loss on spoiled targets",
              f"loss={other} spoiled", "spoiled"),
        claim(2, "2d", "spoiled targets make the default worse", DEFAULT, "spoiled"),
        *(claim(2, "2b", f"{one} serves as well", f"loss={one}", kind="equivalence")
          for one in (robust, other)),
        claim(3, "3b", f"a rate that comes down ({falling}) is better",
              f"schedule={falling}", primary=True),
        *(claim(3, "3e", f"{s} is no worse", f"schedule={s}", kind="non-inferiority")
          for s in SCHEDULES if s not in (falling, setting.train.schedule)),
        claim(4, "4b", "one flipped bit moves the result", "one-bit twin",
              primary=True, measure="distance"),
        *(claim(4, "4a", f"{s} alone moves the result", f"only {s} varies", f"only {s} varies",
                measure="distance") for s in sources(setting)),
        claim(5, "5d", "weight decay helps on spoiled targets", strongest, "spoiled", primary=True),
        claim(5, "5e", f"a {NARROW}x narrower model is worse", DEFAULT, "narrow"),
        claim(5, "5d", "a wider model has the larger gap", "wide", "narrow", measure="gap"),
    ]  # fmt: skip
    return found
