"""The migration audit as a table: for the terminal, and in the study's workdir."""

from __future__ import annotations

import math
from pathlib import Path

from convergence.analysis.telling import counted
from convergence.comparison.audit import Audit, Outcome
from convergence.comparison.compared import shifted, wrapped
from convergence.reporting import latex, tables
from convergence.reporting.workdir import Workdir

STORED, MARKDOWN, LATEX = "migration.json", "tables/migration.md", "tables/migration.tex"
HEADERS = (
    "condition",
    "same bits",
    "largest param diff.",
    "churn",
    "churn ÷ seeds'",
    "eval. alone",
    "shift in seed spreads",
    "verdict",
)


def rows(audit: Audit) -> list[tuple[str, ...]]:
    """The table's rows: one for each condition and arm."""
    found: list[tuple[str, ...]] = []
    for one in audit.outcomes:
        if one.compared is None:
            found.append((one.condition.name, "–", "–", "–", "–", "–", "–", "could not be run"))
            continue
        several = len(one.compared.arms) > 1
        for arm in one.compared.arms:
            name = f"{one.condition.name}, {arm.arm}" if several else one.condition.name
            told, alone = arm.agreement, one.evaluated.get(arm.arm)
            same = "–" if arm.bits.same is None else f"{arm.bits.same}/{arm.bits.of}"
            found.append(
                (
                    name,
                    same,
                    tables.number(arm.distance.largest, 2),
                    tables.number(told.between.estimate, 2) if told else "–",
                    tables.number(told.ratio.estimate, 2) if told else "–",
                    tables.number(alone.between.estimate, 2) if alone else "–",
                    shifted(arm.shift.spreads, arm),
                    verdict(one, arm.arm, arm.verdict),
                )
            )
    return found


def verdict(one: Outcome, arm: str, word: str) -> str:
    """The verdict, with its cause where that was told."""
    cause = str(one.cause.get("verdict", "")) if one.cause.get("arm") == arm else ""
    return f"{word}; {cause}" if cause and word != "same bits" else word


def notes(audit: Audit) -> list[str]:
    """Sentences below the table."""
    legend = (
        f"Each condition against {audit.baseline}, {counted(audit.seeds, 'seed')}; churn: rows with"
        " another class (regression: rms difference) at the same seed; seeds': between two seeds;"
        " eval. alone: the saved params evaluated there, nothing trained."
    )
    found = [legend, "No compiled program was kept or read from disk."]
    if any("[same]" in cell for line in rows(audit) for cell in line):
        found.insert(1, "[same]: equal in every seed.")
    for one in audit.outcomes:
        if one.compared and any(arm.bits.only_told for arm in one.compared.arms):
            found.append(
                f"{one.condition.name}: all states are the same; only what was told of them"
                " (losses, norms, sketches) differs in last bits"
            )
        if one.cause.get("sentence"):
            found.append(f"{one.condition.name}, cause: {one.cause['sentence']}")
        if one.why:
            failed = "could not be run: " if one.compared is None else ""
            found.append(f"{one.condition.name}: {failed}{one.why}")
        largest = max((told.largest for told in one.evaluated.values()), default=math.nan)
        if largest > 0:
            found.append(
                f"{one.condition.name}: evaluated alone, outputs differ by at most"
                f" {tables.number(largest, 2)}"
            )
    return found


def text(audit: Audit) -> str:
    """The table and its notes for a terminal."""
    told = [tables.text(rows(audit), HEADERS), *(wrapped(note) for note in notes(audit))]
    return "\n".join(told)


def write(audit: Audit, workdir: Workdir) -> list[str]:
    """Leaves the audit in the study's workdir; the files' names. Raises StorageError."""
    lines = rows(audit)
    workdir.write_json(STORED, audit.to_json())
    said = "\n".join(f"- {tables.escape(note)}" for note in notes(audit))
    workdir.write_text(MARKDOWN, f"{tables.markdown(lines, HEADERS)}\n\n{said}\n")
    caption = f"Migration audit of {Path(audit.folder).name}"
    workdir.write_text(LATEX, latex.table(lines, HEADERS, caption, " ".join(notes(audit))))
    return [STORED, MARKDOWN, LATEX]
