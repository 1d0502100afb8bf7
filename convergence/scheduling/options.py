"""What is compared: schedules, or optimisers, each an option that is tuned in its rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from convergence import names
from convergence.spec import Arm, Setting

PARTS = ("schedules", "optimizers")
BRANCH = "branch"  # a part that compares no options: the branch test of the setting's own run
CONSTANT = "constant"
DEFAULT = "default"
FLAT = ("schedule_free",)  # optimisers that average instead of lowering the rate
# Where a grid of rates is centred for an optimiser that is not the study's own: what its paper, its
# documentation or common practice starts from.
USUAL_RATES = {
    "sgd": 0.1,
    "momentum": 0.01,
    "nesterov": 0.01,
    "adam": 1e-3,  # Kingma & Ba, 2015
    "adamw": 1e-3,
    "rmsprop": 1e-3,  # Tieleman & Hinton, 2012
    "lion": 1e-4,  # Chen et al., 2023: three to ten times below Adam's
    "muon": 0.02,  # Jordan, 2024
    "schedule_free_sgd": 1.0,  # Defazio et al., 2024: ten to fifty times a schedule's rate
    "schedule_free_adamw": 2.5e-3,  # the same: one to ten times
}


@dataclasses.dataclass(frozen=True)
class Option:
    """One schedule or one optimiser, at any budget and rate.

    Attributes:
        part: of `PARTS`.
        name: as the flag takes it.
        changes: to the base setting, but for steps and rate.
        centre: of its grid of rates.
        epochs: whether the base setting's length is told in epochs.
    """

    part: str
    name: str
    changes: tuple[tuple[str, Any], ...]
    centre: float
    epochs: bool = False

    def arm_name(self, steps: int) -> str:
        """The arm of this option at a budget, whatever its rate."""
        return arm_name(self.name, steps)

    def arm(self, steps: int, rate: float, name: str = "") -> Arm:
        """This option at a budget and a rate."""
        changes = dict(self.changes) | {"steps": steps, "learning_rate": rate}
        changes |= {"epochs": 0} if self.epochs else {}
        return Arm(name or self.arm_name(steps), tuple(sorted(changes.items())))

    def flags(self, rate: float) -> tuple[tuple[str, Any], ...]:
        """What it changes in a setting of its budget."""
        return tuple(sorted((dict(self.changes) | {"learning_rate": rate}).items()))


def arm_name(option: str, steps: int) -> str:
    """The arm of an option at a budget."""
    return f"{option} at {steps} steps"


def usual_rate(optimizer: str, setting: Setting) -> float:
    """The centre of an optimiser's grid: the study's own rate for the study's own optimiser."""
    train = setting.train
    if optimizer == train.optimizer:
        return train.learning_rate
    return (USUAL_RATES | names.RATE_FREE)[optimizer]


def of_schedules(schedules: Sequence[str], setting: Setting) -> tuple[Option, ...]:
    """An option for each schedule; all have one grid."""
    rate, epochs = setting.train.learning_rate, setting.train.epochs > 0
    return tuple(Option("schedules", one, (("schedule", one),), rate, epochs) for one in schedules)


def of_optimizers(optimizers: Sequence[str], setting: Setting, schedule: str) -> tuple[Option, ...]:
    """An option for each optimiser, with a grid around its own usual rate.

    All take the same schedule, but those that are made to do without: they keep a constant rate.
    """
    return tuple(
        Option(
            "optimizers",
            one,
            (
                ("optimizer", one),
                ("schedule", CONSTANT if one.startswith(FLAT) else schedule),
            ),
            usual_rate(one, setting),
            setting.train.epochs > 0,
        )
        for one in optimizers
    )
