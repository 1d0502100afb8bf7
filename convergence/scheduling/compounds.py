"""Claims made of parts: that the rate should come down, and that several schedules all serve."""

from __future__ import annotations

from collections.abc import Sequence

from convergence.analysis.claim import Kind
from convergence.analysis.verdict import Compound, Verdict, compound, verdict_on
from convergence.scheduling import design as designs
from convergence.scheduling.design import Design
from convergence.scheduling.options import CONSTANT, arm_name


def found(design: Design, verdicts: Sequence[Verdict]) -> list[Compound]:
    """The compound claims of which there are parts; each needs every part (`compound`).

    3b: the reference beats the constant rate at every budget. 3e: time-based, drop-based,
    annealing (exponential, cosine) and the user's own schedules are no worse than the reference,
    at each budget and at all of them; the reference serves by itself.
    """
    made = []
    reference = design.reference

    def parts(kind: Kind, control: str, options: Sequence[str], budgets: Sequence[int]) -> None:
        wanted = (
            verdict_on(verdicts, arm_name(one, steps), arm_name(control, steps), kind)
            for steps in budgets
            for one in options
        )
        there = [verdict for verdict in wanted if verdict]
        if not there:
            return
        at = f"{budgets[0]} steps" if len(budgets) == 1 else f"all {len(budgets)} budgets"
        if control == CONSTANT:
            words = f"the rate should come down: {reference} beats constant at {at}"
            made.append(compound(there, "3b", words))
        else:
            serve = "all serve" if len(options) > 1 else "serves"
            words = f"{', '.join(options)} {serve} (no worse than {reference}) at {at}"
            made.append(compound(there, "3e", words))

    if design.part("schedules"):
        parts("superiority", CONSTANT, [reference], design.budgets)
        serving = designs.serving(design)
        for steps in design.budgets:
            parts("non-inferiority", reference, serving, [steps])
        if len(design.budgets) > 1:
            parts("non-inferiority", reference, serving, design.budgets)
    return made
