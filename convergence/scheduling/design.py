"""The experiment's arms and claims, all of them fixed before anything is trained.

Claims name arms such as ``linear at 1000 steps``; the rate of an arm is chosen by the tuning, on
other seeds, by a rule that is the same for all (`tuning.choice`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from convergence import names
from convergence.analysis.claim import Claim, Kind
from convergence.scheduling.options import CONSTANT, DEFAULT, Option, arm_name
from convergence.spec import Arm, RunSpec
from convergence.tuning import grid

if TYPE_CHECKING:  # records need JAX, which --help does not wait for
    from convergence.history import History

PRIMARY = "primary"
LINEAR = "linear"
# What claim 3e names, beside the user's own: time-based, drop-based, annealing.
NAMED = ("time_based", "drop", "exponential", "cosine")
Cell = tuple[str, int]  # an option's name and a budget


@dataclasses.dataclass(frozen=True)
class Design:
    """What the experiment trains.

    Attributes:
        options: schedules and optimisers.
        budgets: steps, ascending.
        own: the budget of the user's own setting, one of ``budgets``.
        factors: the grid that every option starts with, as multiples of its centre; empty where
            ``named`` rates are tried instead.
        named: rates for all options, as the user named them.
        reference: the schedule that the others are held against.
        optimizer: the optimiser that the others are held against.
        extensions: how often the grids may be extended.
    """

    options: tuple[Option, ...]
    budgets: tuple[int, ...]
    own: int
    factors: tuple[float, ...]
    named: tuple[float, ...]
    reference: str
    optimizer: str
    extensions: int

    def part(self, name: str) -> tuple[Option, ...]:
        """The options of one part."""
        return tuple(option for option in self.options if option.part == name)

    @property
    def cells(self) -> list[tuple[Option, int]]:
        """Every option at every budget, budget by budget."""
        return [(option, steps) for steps in self.budgets for option in self.options]

    def option(self, name: str) -> Option:
        """The option of a name."""
        return next(option for option in self.options if option.name == name)

    def rates(self, option: Option, factors: Iterable[float]) -> tuple[float, ...]:
        """The rates that an option is given in one round."""
        return self.named or grid.rates(option.centre, factors)

    def tuned(self, factors: Iterable[float]) -> tuple[Arm, ...]:
        """One round of the tuning: every cell at each of its rates."""
        chosen = tuple(factors)
        return tuple(
            option.arm(steps, rate, f"{option.arm_name(steps)}, rate {rate:g}")
            for option, steps in self.cells
            for rate in self.rates(option, chosen)
        )

    def compared(self, rates: Mapping[Cell, float]) -> tuple[Arm, ...]:
        """The comparison: the user's own setting, and every cell at its rate (else its centre)."""
        return (
            Arm(DEFAULT),
            *(
                option.arm(steps, rates.get((option.name, steps), option.centre))
                for option, steps in self.cells
            ),
        )


def own_schedules(design: Design) -> tuple[str, ...]:
    """Schedules of the user's own, which no name stands for."""
    return tuple(o.name for o in design.part("schedules") if o.name not in names.SCHEDULES)


def serving(design: Design) -> tuple[str, ...]:
    """The schedules that claim 3e is about, but for the reference."""
    there = [option.name for option in design.part("schedules")]
    told = [one for one in there if one in NAMED or one in own_schedules(design)]
    return tuple(one for one in told if one != design.reference)


def claims(design: Design, run: RunSpec, direction: int) -> list[Claim]:
    """Every claim, family by family.

    Primary (3b): the reference beats the constant rate, at each budget. Then, for each budget,
    every other schedule against the constant rate (3b) and against the reference (3e: no worse by
    the margin); whether linear decay to zero matches, and beats, the reference; optimisers against
    the study's own.
    """

    def claim(
        id: str, words: str, treatment: str, control: str, steps: int, family: str, kind: Kind
    ) -> Claim:
        return Claim(
            id=id,
            statement=f"{words} at {steps} steps",
            treatment=arm_name(treatment, steps),
            control=arm_name(control, steps),
            kind=kind,
            direction=direction,
            metric=run.metric,
            margin=run.margin,
            family=family,
            challenge=3,
        )

    reference, optimizer = design.reference, design.optimizer
    schedules = [option.name for option in design.part("schedules")]
    found = []
    if schedules:
        found += [
            claim("3b", f"{reference} beats constant", reference, CONSTANT, steps, PRIMARY,
                  "superiority")
            for steps in design.budgets
        ]  # fmt: skip
    if LINEAR in schedules and reference != LINEAR:
        family = f"{LINEAR} and {reference}"
        for steps in design.budgets:
            found.append(claim("3e", f"{LINEAR} matches or beats {reference}", LINEAR, reference,
                               steps, family, "non-inferiority"))  # fmt: skip
            found.append(claim("3e", f"{LINEAR} beats {reference}", LINEAR, reference, steps,
                               family, "superiority"))  # fmt: skip
    for steps in design.budgets if schedules else ():
        falling = [one for one in schedules if one not in (CONSTANT, reference)]
        found += [
            claim("3b", f"{one} beats constant", one, CONSTANT, steps, against(CONSTANT, steps),
                  "superiority")
            for one in falling
        ]  # fmt: skip
        found += [
            claim("3e", f"{one} is no worse than {reference}", one, reference, steps,
                  against(reference, steps), "non-inferiority")
            for one in falling if one != LINEAR
        ]  # fmt: skip
    optimizers = [option.name for option in design.part("optimizers")]
    for steps in design.budgets if optimizers else ():
        found += [
            claim("3", f"{one} beats {optimizer}", one, optimizer, steps,
                  against(optimizer, steps), "superiority")
            for one in optimizers if one != optimizer
        ]  # fmt: skip
    return found


def against(control: str, steps: int) -> str:
    """The family of all claims against one arm at one budget."""
    return f"against {control}, {steps} steps"


def alike(design: Design, history: History) -> list[dict[str, Any]]:
    """Options that are one and the same at a budget, such as a drop that comes after its last step.

    Schedules that are the same vector (the plateau's controller is none), and optimisers whose
    trials ended in the same bits (adam and adamw, where no weight decays).
    """
    found = []
    plan = history.plan
    places = dict(zip(history.arm_names, plan.schedule_of_arm))
    for part in dict.fromkeys(option.part for option in design.options):
        for steps in design.budgets:
            same: dict[Any, list[str]] = {}
            for option in design.part(part):
                arm = option.arm_name(steps)
                words = history.fingerprints[history.rows_of(arm)]
                mark = places[arm] if part == "schedules" else words.tobytes()
                same.setdefault("plateau" if option.name == "plateau" else mark, []).append(
                    option.name
                )
            found += [{"steps": steps, "options": v} for v in same.values() if len(v) > 1]
    return found
