"""Which trials of a study are twins of which: those that differ in one bit and in nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from convergence.errors import UserError
from convergence.plan import Plan, Trial
from convergence.spec import Arm


def _but_for_twin(arm: Arm) -> Arm:
    return dataclasses.replace(arm, name="", twin=False)


def pairs(plan: Plan, trials: Sequence[Trial]) -> tuple[tuple[int, int], ...]:
    """Places, in a block of these trials, of each twin and of the trial whose twin it is.

    A twin without such a trial in the study (where only rounding varies) is in no pair.

    Raises:
        UserError: the trial is in the study, but not in this block.
    """
    arms = plan.study.arms
    whole = {_but_for_twin(arm): k for k, arm in enumerate(arms) if not arm.twin}
    place = {(trial.arm, trial.replica): k for k, trial in enumerate(trials)}
    found = []
    for here, trial in enumerate(trials):
        partner = whole.get(_but_for_twin(arms[trial.arm])) if arms[trial.arm].twin else None
        if partner is None:
            continue
        if (partner, trial.replica) not in place:
            raise UserError(
                f"are too few: a trial and its twin must run in one block, which takes as many"
                f" lanes as there are arms; give {len(arms) + len(arms) % 2}.",
                "lanes",
            )
        found.append((here, place[partner, trial.replica]))
    return tuple(found)
