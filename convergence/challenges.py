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
from convergence.analysis.telling import Unit
from convergence.data import Dataset
from convergence.models import MODELS
from convergence.sources import sources
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
STRONG_DECAY = 1e-2
SPOILED = {"classification": ("label_noise", 0.2), "regression": ("outliers", 0.1)}
NARROW, WIDE = 8, 4  # a width's divisor and factor

FACTORS = ("init", "loss", "rate", "schedule", "capacity", "decay")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A claim and how its numbers are taken from the trials.

    Attributes:
        claim: fixed before training.
        measure: ``metric`` compares the arms' scores on clean validation rows; ``harm`` how much
            better they score there than `clean` arms do; ``distance`` asks whether paired trials'
            scores lie further apart than the margin (treatment against control, or, where both are
            the same arm, one seed against the next); ``gap`` compares the arms' gaps between
            training and validation score.
        clean: for ``harm``, the arms that treatment and control are held against.
    """

    claim: Claim
    measure: str = "metric"
    clean: tuple[str, str] = ("", "")

    @property
    def unit(self) -> Unit:
        """What a pair of its trials is."""
        if self.measure != "distance":
            return "seed"
        same = self.claim.treatment == self.claim.control
        return "pair of seeds" if same else "pair of twins"


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


def _weights(setting: Setting) -> Iterator[tuple[str, Arm]]:
    for init in (*INITS, "zeros"):
        if init != setting.model.init:
            yield "" if init == "zeros" else "init", Arm.of(f"init={init}", init=init)


def _scaled(setting: Setting) -> Iterator[tuple[str, Arm]]:
    for factor in (0.1, 10.0):
        name = f"init_scale={_number(factor * setting.model.init_scale)}"
        yield "", Arm.of(name, init_scale=factor * setting.model.init_scale)


def _losses(setting: Setting, task: str, vary: tuple[str, ...]) -> Iterator[tuple[str, Arm]]:
    dose = spoiling(setting, task)
    yield "", Arm.of("spoiled", vary, **dose)
    for loss in other_losses(setting, task):
        yield "loss", Arm.of(f"loss={loss}", loss=loss)
        yield "", Arm.of(f"loss={loss} spoiled", vary, loss=loss, **dose)


def _rates(setting: Setting) -> Iterator[tuple[str, Arm]]:
    base = setting.train.learning_rate
    for factor in RATE_FACTORS:
        yield "rate", Arm.of(f"rate={_number(factor * base)}", learning_rate=factor * base)
    for schedule in ("constant", *SCHEDULES):
        if schedule != setting.train.schedule:
            yield "schedule", Arm.of(f"schedule={schedule}", schedule=schedule)


def _sources(setting: Setting) -> Iterator[tuple[str, Arm]]:
    for source in sources(setting):
        yield "", Arm.of(f"only {source} varies", vary=(source,))
    yield "", Arm.of("one-bit twin", twin=True)


def decays(setting: Setting) -> tuple[float, ...]:
    """Doses of weight decay that differ from the setting's own, the strongest last."""
    own = setting.train.weight_decay
    strong = STRONG_DECAY if own < STRONG_DECAY else 10 * own
    return tuple(dose for dose in (strong / 100, strong) if dose != own)


def _capacity(
    setting: Setting, task: str, hidden: tuple[int, ...], vary: tuple[str, ...]
) -> Iterator[tuple[str, Arm]]:
    if hidden:
        narrow = tuple(max(1, width // NARROW) for width in hidden)
        yield "capacity", Arm.of("narrow", hidden=narrow)
        yield "capacity", Arm.of("wide", hidden=tuple(WIDE * width for width in hidden))
    doses = decays(setting)
    for decay in doses:
        yield "decay", Arm.of(f"decay={_number(decay)}", weight_decay=decay)
    strongest = f"decay={_number(doses[-1])} spoiled"
    yield "", Arm.of(strongest, vary, weight_decay=doses[-1], **spoiling(setting, task))


def design(setting: Setting, dataset: Dataset, vary: tuple[str, ...]) -> Design:
    """The arms of the five comparisons around a setting, on a dataset.

    Args:
        vary: the sources that differ between replicas; where targets are spoiled, the contamination
            differs, too, so that verdicts do not hang on one draw of it.
    """
    task = dataset.task
    spoiled = tuple(dict.fromkeys((*vary, "corrupt")))
    user_model = setting.model.model not in names.MODELS
    hidden: tuple[int, ...] = ()
    if not user_model:
        usual = MODELS[setting.model.model][len(dataset.shape)].default_hidden
        # A model without widths of its own (linear) has none, whatever the flag says.
        hidden = (setting.model.hidden or usual) if usual else ()
    tagged = [
        *_weights(setting),
        *_scaled(setting),
        *_losses(setting, task, spoiled),
        *_rates(setting),
        *_sources(setting),
        *_capacity(setting, task, hidden, spoiled),
    ]
    choices = {
        factor: tuple(arm.name for tag, arm in tagged if tag == factor) for factor in FACTORS
    }
    return Design((Arm(DEFAULT), *(arm for _, arm in tagged)), choices, hidden)


def _loss_arms(setting: Setting, task: str) -> dict[str, str]:
    """Each loss of the study with the arm that is trained by it on clean targets."""
    own = setting.train.loss if setting.train.loss != "auto" else USUAL_LOSS[task]
    return {own: DEFAULT} | {loss: f"loss={loss}" for loss in other_losses(setting, task)}


def _spoiled(arm: str) -> str:
    return "spoiled" if arm == DEFAULT else f"{arm} spoiled"


class _Claims:
    """Makes claims on a study's arms; where an arm is missing, says that nothing can be asked."""

    def __init__(self, study: StudySpec, made: Design) -> None:
        self.run = study.run
        self.direction = 1 if study.run.metric in names.HIGHER_IS_BETTER else -1
        self.there = {arm.name for arm in made.arms}

    def __call__(
        self,
        challenge: int,
        id: str,
        statement: str,
        treatment: str,
        control: str = DEFAULT,
        *,
        kind: Kind = "superiority",
        primary: bool = False,
        measure: str = "metric",
        clean: tuple[str, str] = ("", ""),
    ) -> Comparison | Asked:
        if not {treatment, control} <= self.there:
            return Asked(id, statement, challenge, "this model or setting has no such arm")
        run = self.run
        family = PRIMARY if primary else TOPICS[challenge]
        # A gap and a distance are the larger the worse, whatever the metric; a harm is a gain.
        turned = self.direction if measure in ("metric", "harm") else 1
        metric = run.metric if measure == "metric" else f"{run.metric} {measure}"
        claim = Claim(
            id, statement, treatment, control, kind, turned, metric, run.margin, family, challenge
        )
        return Comparison(claim, measure, clean)


def comparisons(study: StudySpec, made: Design, task: str) -> list[Comparison | Asked]:
    """All claims of the study, the primary one of each challenge first within it."""
    claim, setting = _Claims(study, made), study.setting
    big = f"init_scale={_number(10 * setting.model.init_scale)}"
    small = f"init_scale={_number(0.1 * setting.model.init_scale)}"
    arms = _loss_arms(setting, task)
    usual = USUAL_LOSS[task] if USUAL_LOSS[task] in arms else next(iter(arms))
    rest = [loss for loss in (*LOSSES[task], *arms) if loss in arms and loss != usual]
    robust, other = list(dict.fromkeys(rest))[:2]
    strongest = f"decay={_number(decays(setting)[-1])} spoiled"
    own = setting.train.schedule
    constant = DEFAULT if own == "constant" else "schedule=constant"
    falling, course = ("schedule=cosine", "cosine") if own == "constant" else (DEFAULT, own)
    inits = [init for init in INITS if init != setting.model.init]
    return [
        claim(1, "1b", "a start 10x larger is worse", DEFAULT, big, primary=True),
        claim(1, "1a", "a start 10x smaller is worse", DEFAULT, small),
        claim(1, "1b", "all weights zero is worse", DEFAULT, "init=zeros"),
        *(claim(1, "1b", f"{i} serves as well", f"init={i}", kind="equivalence") for i in inits),
        claim(2, "2c", f"spoiled targets harm {robust} less than {usual}",
              _spoiled(arms[robust]), _spoiled(arms[usual]), primary=True, measure="harm",
              clean=(arms[robust], arms[usual])),
        *(claim(2, "2c", f"on spoiled targets {one} beats {usual}",
                _spoiled(arms[one]), _spoiled(arms[usual])) for one in (robust, other)),
        claim(2, "2d", "spoiled targets make the default worse", DEFAULT, "spoiled"),
        *(claim(2, "2b", f"{loss} serves as well", arm, kind="equivalence")
          for loss, arm in arms.items() if arm != DEFAULT),
        claim(3, "3b", f"a rate that comes down ({course}) beats a constant one",
              falling, constant, primary=True),
        *(claim(3, "3e", f"{s} is no worse than constant", f"schedule={s}", constant,
                kind="non-inferiority")
          for s in SCHEDULES if s not in (course, own)),
        claim(4, "4b", "one flipped bit moves the result", "one-bit twin",
              primary=True, measure="distance"),
        *(claim(4, "4a", f"{s} alone moves the result", f"only {s} varies", f"only {s} varies",
                measure="distance") for s in sources(setting)),
        claim(5, "5d", "weight decay helps on spoiled targets", strongest, "spoiled", primary=True),
        claim(5, "5e", f"an {NARROW}x narrower model is worse", DEFAULT, "narrow"),
        claim(5, "5d", "a wider model has the larger gap", "wide", "narrow", measure="gap"),
    ]  # fmt: skip
