"""What changes when a study is trained again under other conditions: the migration audit."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence.analysis.agreement import Agreement, agreement
from convergence.comparison.compared import Compared, compare, shifted, wrapped
from convergence.comparison.conditions import CONTROL, CannotRun, Condition, probe, run
from convergence.comparison.rerun import EVALUATED
from convergence.comparison.side import Side
from convergence.errors import UserError
from convergence.reporting import files, latex, tables
from convergence.reporting.manifest import now
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one condition did.

    Attributes:
        condition: what was changed.
        compared: the baseline against the study trained again; None where that could not be run.
        evaluated: by arm, the saved params' predictions against those that they gave at first.
        why: why something could not be done, or "".
    """

    condition: Condition
    compared: Compared | None
    evaluated: dict[str, Agreement]
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "condition": dataclasses.asdict(self.condition),
            "compared": self.compared.to_json() if self.compared else None,
            "evaluated": {arm: told.to_json() for arm, told in self.evaluated.items()},
            "why": self.why,
        }


@dataclasses.dataclass(frozen=True)
class Audit:
    """All conditions' outcomes.

    Attributes:
        folder: the study's.
        seeds: how many of each arm were trained again.
        outcomes: in the order in which they were tried.
        baseline: against what each was held, in a few words.
    """

    folder: str
    seeds: int
    outcomes: tuple[Outcome, ...]
    baseline: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "study": self.folder,
            "at": now(),
            "seeds": self.seeds,
            "baseline": self.baseline,
            "outcomes": [one.to_json() for one in self.outcomes],
        }


class Auditor:
    """Trains a study again under one condition after another.

    Args:
        study: the finished study.
        command: script and arguments that train it into the folder that --rerun names.
        seeds: how many of each arm (0: all).
        margin: as `compared.compare`'s.
        folder: where the studies trained again are kept; None: nowhere.
        base: the environment in which nothing is changed (default: this process').
        told: called with a line on what is done.
    """

    def __init__(
        self,
        study: Side,
        command: Sequence[str],
        seeds: int = 0,
        margin: float = 0.0,
        folder: Path | None = None,
        base: Mapping[str, str] | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        if seeds > study.study.run.num_seeds:
            raise UserError(f"there are only {study.study.run.num_seeds} seeds.", "sample")
        self.study = study
        self.seeds = seeds or study.study.run.num_seeds
        self.margin = margin
        self._command = list(command)
        self._folder = folder
        self._base = dict(os.environ) if base is None else dict(base)
        self._say = told

    def audit(self, conditions: Sequence[Condition]) -> Audit:
        """Every condition in turn; one that cannot be run is told, not an end.

        Where training again with nothing changed does not give the study's own bits (it came from
        another machine or version), that run is the baseline of all others.
        """
        with tempfile.TemporaryDirectory() as temporary:
            root = self._folder or Path(temporary)
            outcomes: list[Outcome] = []
            baseline, baseline_folder, named = self.study, None, "the study as it was trained"
            for number, condition in enumerate(conditions):
                self._say(condition.name)
                target = root / f"{number:02d}"
                outcome = self._tried(condition, target, baseline, baseline_folder)
                outcomes.append(outcome)
                moved = outcome.compared is not None and outcome.compared.verdict != "same bits"
                if condition == CONTROL and moved and len(conditions) > 1:
                    baseline, baseline_folder = Side(target), target
                    named = "the study trained again here with nothing changed"
            return Audit(str(self.study.folder), self.seeds, tuple(outcomes), named)

    def _tried(
        self, condition: Condition, target: Path, baseline: Side, evaluated: Path | None
    ) -> Outcome:
        try:
            if condition.python:
                has = probe(condition.python, self.study.study.setting.data.dataset)
                condition = dataclasses.replace(condition, name=has)
            told = [f"--rerun={target}", f"--sample={self.seeds}"]
            run(condition, [*self._command, *told], self._base)
            compared = compare(baseline, Side(target), self.margin)
        except (CannotRun, UserError) as error:
            return Outcome(condition, None, {}, str(error))
        try:
            before = None if evaluated is None else evaluated / EVALUATED
            return Outcome(condition, compared, _evaluated(self.study, target / EVALUATED, before))
        except (FileNotFoundError, files.CorruptFile):
            why = "saved params were not evaluated (none are kept, or rows are too many)"
            return Outcome(condition, compared, {}, why)


def _evaluated(study: Side, path: Path, before: Path | None) -> dict[str, Agreement]:
    """By arm, the saved params' outputs under a condition against those at first.

    Args:
        before: evaluated in the baseline; None: against the study's own predictions.
    """
    now_, stored = files.read_npz(path), study.predictions
    outputs = now_["outputs"].astype(np.float64)
    if stored is None:
        return {}
    rows = files.read_npz(study.saved.workdir.path("predictions.npz"), ("rows",))["rows"]
    rows = np.broadcast_to(rows, (study.count, rows.shape[1]))
    first = np.zeros_like(outputs)
    scored = np.zeros(outputs.shape[:2], bool)
    for trial, line in enumerate(rows):
        there = line >= 0
        place = np.searchsorted(now_["row"], line[there])
        first[trial, place] = stored.outputs[trial][there]
        scored[trial, place] = True
    if before is not None:
        first = files.read_npz(before)["outputs"].astype(np.float64)
    both = np.isfinite(first) & np.isfinite(outputs)
    kept = np.asarray(both.reshape(len(first), -1).all(axis=1))
    found = {}
    for arm in study.saved.arms:
        mine = study.saved.trials(arm)
        mine = mine[kept[mine]]
        if len(mine):
            found[arm] = agreement(first[mine], outputs[mine], scored[mine], scored[mine], True)
    return found


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
                    arm.verdict,
                )
            )
    return found


def notes(audit: Audit) -> list[str]:
    """Sentences below the table."""
    legend = (
        f"Each condition against {audit.baseline}, {audit.seeds} seeds; churn: rows with another"
        " class (regression: rms difference) at the same seed; seeds': between two seeds; eval."
        " alone: the saved params evaluated there, nothing trained."
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
