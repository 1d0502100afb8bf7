"""What the experiment on initial weights says at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from convergence import confirmation, wording
from convergence.analysis.verdict import Verdict
from convergence.appraisal import Choice
from convergence.challenges import Asked
from convergence.initial.claims import Told
from convergence.report import weights as made
from convergence.reporting import tables
from convergence.spec import RunSpec

KEEP = (
    "Recommended: keep the default start. No other led it on validation rows by\n"
    "a standard error (seeds and rows); nothing was confirmed, no test row was read."
)


def claims_text(told: Told) -> str:
    """The table of the claims."""
    lines, verdicts = [], []
    for one, verdict in told:
        if isinstance(one, Asked):
            lines.append(wording.asked_line(one.id, one.statement, one.reason))
        elif verdict is not None:
            lines.append(wording.verdict_line(verdict))
            verdicts.append(verdict)
    return f"{tables.text(lines, wording.HEADERS)}\n{wording.legend(verdicts)}" if lines else ""


def surfaces_text(told: Mapping[str, Any]) -> str:
    """How much of each descent its plane holds."""
    lines = [
        f"  {one['title']}: "
        + ", ".join(
            f"{100 * line['held']:.0f} % of seed {line['seed']}" for line in one["descents"]
        )
        for one in told["surfaces"]
    ]
    return (
        "\n".join(["Planes of descents, and what they hold of them (drawn in the report)", *lines])
        if lines
        else ""
    )


def closing_text(
    run: RunSpec,
    told: Mapping[str, Any],
    claims: Told,
    pick: Choice | None,
    verdict: Verdict | None,
) -> str:
    """All that is told at the end.

    Args:
        told: summary.json.
    """
    elsewhere = made.in_grid(told)
    rows = [row for row in told["arms"] if row["arm"] not in elsewhere]
    verdicts = [one for _, one in claims if one]
    shown = [
        f"{title}\n{tables.text(lines, headers)}\n{textwrap.fill(note, tables.WIDTH)}"
        for _, title, headers, lines, note in made.all_made(told)
    ]
    parts = [
        f"{run.metric} on clean validation rows (intervals speak of seeds)\n"
        + wording.arm_text(rows),
        *shown,
        surfaces_text(told),
        "\n".join([*wording.arm_notes(rows), wording.warnings_text(verdicts)]).strip(),
        f"Claims, margin of {run.metric} {tables.number(run.margin)}\n{claims_text(claims)}",
        confirmation.told(pick.changes, verdict) if pick and verdict else KEEP,
    ]
    return "\n\n".join(part for part in parts if part)
