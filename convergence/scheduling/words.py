"""What the experiment on schedules says at its end, in 80 columns; of summary.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence import wording
from convergence.analysis.telling import counted
from convergence.analysis.verdict import Compound, Verdict
from convergence.appraisal import Choice
from convergence.report import schedules as compared
from convergence.reporting import tables
from convergence.scheduling.design import PRIMARY, Design
from convergence.spec import RunSpec

Told = Mapping[str, Any]


def before(design: Design, seeds: int, compared: int) -> str:
    """What --dry_run says of the tuning and of what follows the comparison."""
    arms = design.tuned(design.factors)
    steps = sum(dict(arm.changes)["steps"] for arm in arms) * seeds
    own = sum(design.budgets) * len(design.options) * compared
    more = (
        " Each extension of the grids adds one or two rates to each arm;"
        if design.extensions > 0 and len(design.factors) > 1
        else ""
    )
    return (
        f"\nThat is the comparison. The tuning before it: {counted(len(arms) * seeds, 'trial')},"
        f" {counted(steps, 'step')} ({steps / max(own, 1):.1f} times the comparison's)."
        f"{more} a confirmation follows."
    )


def budget_text(told: Told, verdicts: Sequence[Verdict], part: str, steps: int, metric: str) -> str:
    """The table of one part at one budget."""
    rows = compared.lines(told, verdicts, part, steps)
    table = tables.text(rows, compared.headers(told, part))
    return f"{compared.title_of(part, steps, metric)}\n{table}" if rows else ""


def notes(told: Told) -> list[str]:
    """What a reader of the tables must know."""
    cells = told["tuning"]["cells"]
    tried = len(cells[0]["rates"])
    rates, seeds = counted(tried, "rate"), counted(cells[0]["seeds"], "seed")
    first = (
        f"note: each arm has the best of {rates}, by {seeds} of the tuning on validation rows;"
        " the comparison has other seeds, on the same rows"
    )
    found = [first]
    edged = [f"{c['option']} at {c['steps']}" for c in cells if c["edge"]]
    if edged:
        arrows = "↓ the lowest, ↑ the highest"
        found.append(
            f"note: {len(edged)} of {len(cells)} rates lie at an end of their grid ({arrows} that"
            " was tried): a better one may lie beyond"
        )
    lost = [f"{c['option']} at {c['steps']}" for c in cells if not any(c["finished"])]
    if lost:
        found.append(f"note: no rate finished for {', '.join(lost)}")
    for one in told["alike"]:
        found.append(
            f"note: at {one['steps']} steps these are one and the same: {', '.join(one['options'])}"
        )
    return found


def compounds_text(whole: Sequence[Compound]) -> str:
    """The claims made of parts."""
    rows = [(f"{one.id} {one.statement}", one.decision, _shares(one)) for one in whole]
    return tables.text(rows, ("claim made of parts", "verdict", "parts hold"))


def _shares(one: Compound) -> str:
    return f"{sum(part.decision == 'holds' for part in one.parts)}/{len(one.parts)}"


def closing_text(
    run: RunSpec, told: Told, verdicts: Sequence[Verdict], whole: Sequence[Compound]
) -> str:
    """All that is told at the end, but for the recommendation."""
    primary = [one for one in verdicts if one.claim.family == PRIMARY]
    linear = [one for one in verdicts if one.claim.family.startswith("linear and ")]
    cautions = [*notes(told), *wording.arm_notes(told["arms"]), wording.warnings_text(verdicts)]
    parts = [
        *(
            budget_text(told, verdicts, part, steps, run.metric)
            for part in told["parts"]
            for steps in told["budgets"]
        ),
        "\n".join(cautions),
        f"Linear decay to zero, margin {tables.number(run.margin)}\n" + wording.verdict_text(linear)
        if linear
        else "",
        f"Should the rate come down? {run.metric}, margin {tables.number(run.margin)}\n"
        + wording.verdict_text(primary)
        if primary
        else "",
        compounds_text(whole) if whole else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def nothing_to_recommend(choices: Sequence[Choice]) -> str:
    """Where nothing was put to the test."""
    if not choices:
        return (
            "Nothing can be recommended: no arm could be held against the default\n"
            "(too few seeds, or its trials diverged)."
        )
    return (
        "Recommended: keep the default setting. No tuned arm led it on validation rows by\n"
        "a standard error (seeds and rows); nothing was confirmed, no test row was read."
    )
