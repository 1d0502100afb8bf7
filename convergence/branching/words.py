"""The branch test in words: what is told on the terminal."""

from __future__ import annotations

from convergence import wording
from convergence.analysis import branches as judged
from convergence.analysis.telling import counted
from convergence.branching import counterfactual
from convergence.branching.run import BranchTest
from convergence.reporting import tables


def closing_text(told: BranchTest) -> str:
    """The verdict, what was held against what, and a line a branch."""
    verdicts = told.verdict.branches
    parts = [
        f"Branch test: {answer(told)}",
        f"The run as it was ({run_words(told)}) against itself with the rate lowered at other"
        f" steps:\n{told.metric} on {told.split} after {counted(told.steps, 'step')}, margin"
        f" {tables.number(told.margin)}\n{wording.verdict_text(verdicts)}",
        wording.warnings_text(verdicts),
    ]
    return "\n\n".join(part for part in parts if part)


def run_words(told: BranchTest) -> str:
    """The run in question: its schedule, and where its rate comes down."""
    point = told.own.point
    where = "its rate never comes down" if point >= told.steps else f"lowered at step {point}"
    if counterfactual.gradual(told.own.factors, told.warmup):
        where = "lowered from its first steps on"
    return f"schedule {told.schedule}, {where}"


def answer(told: BranchTest) -> str:
    """The verdict in one or two sentences, with the interval that it rests on."""
    verdict = told.verdict
    if verdict.best is not None:
        best = verdict.branches[verdict.best]
        gain = tables.estimate(best.effect, best.low, best.high)
        return (
            f"{verdict.verdict}. {best.claim.treatment[:1].upper()}{best.claim.treatment[1:]}, the"
            f" run ends better: {told.metric} {gain}."
        )
    if verdict.verdict == judged.TIMELY:
        return (
            f"in time. None of {len(verdict.branches)} branches ends better by the margin of"
            f" {tables.number(told.margin)}."
        )
    needed = ""
    if verdict.verdict == judged.UNDECIDED and verdict.seeds_needed:
        most = verdict.seeds_needed > wording.MOST_SEEDS
        needed = f" {wording.MOST_SEEDS:,} seeds" if most else f" {verdict.seeds_needed} seeds"
        needed = f" It would take{' more than' * most}{needed} to settle it."
    return f"{verdict.verdict}: {verdict.reason}.{needed}"
