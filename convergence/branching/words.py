"""The branch test in words: what is told on the terminal."""

from __future__ import annotations

from convergence import wording
from convergence.analysis import branches as judged
from convergence.analysis.telling import counted
from convergence.branching import counterfactual
from convergence.branching.outcome import BranchTest
from convergence.reporting import tables

HEADERS = ("rate", "gain", "interval", "ends better")


def closing_text(told: BranchTest) -> str:
    """The verdict, what was held against what, and a line a branch."""
    verdicts = told.verdict.branches
    lines = []
    for one in verdicts:
        _, gain, interval, decision = wording.verdict_line(one)
        lines.append((one.claim.treatment, gain, interval, judged.answered(decision)))
    held = (
        f"The run as it was ({run_words(told)}) against itself\n{told.metric} on {told.split}"
        f" after {counted(told.steps, 'step')}, margin {tables.number(told.margin)}\n"
        f"{tables.text(lines, HEADERS)}\nGains over the run as it was; intervals speak of seeds,"
        " and are corrected for all branches."
    )
    parts = [f"Branch test: {answer(told)}", held, wording.warnings_text(verdicts)]
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
        bounds = sorted(best.claim.direction * bound for bound in (best.low, best.high))
        gain = tables.estimate(best.claim.direction * best.effect, *bounds)
        name = best.claim.treatment
        return (
            f"{verdict.verdict}. {name[:1].upper()}{name[1:]}, the run ends better in"
            f" {told.metric}, by {gain}."
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
