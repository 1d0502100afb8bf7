"""From the comparison to a recommendation, put to the test before it is told."""

from __future__ import annotations

import dataclasses
from typing import Any

from convergence import appraisal, confirmation
from convergence.analysis.verdict import Verdict
from convergence.appraisal import Choice
from convergence.history import History
from convergence.laboratory import Laboratory
from convergence.scheduling.design import Design
from convergence.scheduling.options import DEFAULT
from convergence.scheduling.tune import Tuning


@dataclasses.dataclass(frozen=True)
class Advice:
    """What to change in the user's own setting.

    Attributes:
        choices: the best option of each part, at the budget of the user's own setting, held
            against that setting on validation rows.
        pick: the one that was put to the test, or None.
        verdict: on it, by unused seeds and test rows.
    """

    choices: tuple[Choice, ...]
    pick: Choice | None
    verdict: Verdict | None

    def summary(self) -> dict[str, Any]:
        """``choices`` and ``recommendation`` of summary.json."""
        plain = [dataclasses.asdict(one) | {"leads": one.lead.strong} for one in self.choices]
        name, changes = (self.pick.arm, self.pick.changes) if self.pick else (None, ())
        told = confirmation.summary(name, changes, self.verdict)
        return {"choices": plain, "recommendation": told}


def weighed(history: History, design: Design, tuning: Tuning) -> tuple[Choice, ...]:
    """Every option at the user's own budget, held against the user's own setting."""
    found = []
    for option in design.options:
        arm = option.arm_name(design.own)
        if lead := appraisal.lead(history, arm):
            changes = option.flags(tuning.rates[option.name, design.own])
            found.append(Choice(option.part, arm, changes, lead))
    return tuple(found)


def advise(laboratory: Laboratory, history: History, design: Design, tuning: Tuning) -> Advice:
    """Chooses by validation rows what leads the user's own setting most, and confirms it."""
    held = weighed(history, design, tuning)
    parts = dict.fromkeys(one.factor for one in held)
    best = tuple(
        max((one for one in held if one.factor == part), key=lambda one: one.lead.rank)
        for part in parts
    )
    alone = history.copies(DEFAULT)  # one run, whatever its seeds are called, shows nothing
    strong = [one for one in best if one.lead.strong and not alone]
    if not strong:
        return Advice(best, None, None)
    pick = max(strong, key=lambda one: one.lead.rank)
    used = history.study.run.num_seeds + next(iter(tuning.choices.values())).seeds
    return Advice(best, pick, confirmation.confirm(laboratory, pick.changes, used))
