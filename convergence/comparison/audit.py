"""What changes when a study is trained again under other conditions: the migration audit."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convergence.analysis.agreement import Agreement
from convergence.comparison.compared import Compared, compare
from convergence.comparison.conditions import CONTROL, CannotRun, Condition, probe, run
from convergence.comparison.evaluated import EVALUATED, evaluated
from convergence.comparison.side import Side, followed
from convergence.errors import UserError
from convergence.reporting import files
from convergence.reporting.manifest import now

JUDGED = "judged.json"
HERE = "here"  # folder of the study trained again with nothing changed


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one condition did.

    Attributes:
        condition: what was changed.
        compared: the baseline against the study trained again; None where that could not be run.
        evaluated: by arm, the saved params' predictions against those that they gave at first.
        why: why something could not be done, or "".
        cause: the judgement "rounding or bug?" on the arm that was followed, as plain values.
    """

    condition: Condition
    compared: Compared | None
    evaluated: dict[str, Agreement]
    why: str = ""
    cause: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "condition": dataclasses.asdict(self.condition),
            "compared": self.compared.to_json() if self.compared else None,
            "evaluated": {arm: told.to_json() for arm, told in self.evaluated.items()},
            "why": self.why,
            "cause": dict(self.cause),
        }


def place(number: int, condition: Condition) -> str:
    """Name of the folder of the study that was trained again under a condition."""
    return HERE if condition == CONTROL else f"{number:02d}"


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
        cause: ask whether a difference is rounding or a bug.
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
        cause: bool = True,
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
        replicas = study.replicas()[: self.seeds]
        self._followed = followed(study, study.saved.arms, replicas) if cause else []

    def audit(self, conditions: Sequence[Condition]) -> Audit:
        """Every condition in turn; one that cannot be run is told, not an end.

        Where training again with nothing changed does not give the study's own bits (it came from
        another machine or version), that run is the baseline of all others.
        """
        with tempfile.TemporaryDirectory() as temporary:
            root = self._folder or Path(temporary)
            outcomes: list[Outcome] = []
            baseline, first, named = self.study, None, "the study as it was trained"
            self._trace(root)
            for number, condition in enumerate(conditions):
                self._say(condition.name)
                target = root / place(number, condition)
                outcome = self._tried(condition, target, baseline, first)
                outcomes.append(outcome)
                moved = outcome.compared is not None and outcome.compared.verdict != "same bits"
                if condition == CONTROL and moved and len(conditions) > 1:
                    baseline, first = Side(target), target
                    named = "the study trained again here with nothing changed"
            outcomes = self._judged(root, outcomes)
            return Audit(str(self.study.folder), self.seeds, tuple(outcomes), named)

    def _trace(self, root: Path) -> None:
        """Has the study's first steps taken here, for the runs under conditions to part from."""
        if not self._followed:
            return
        self._say("the first steps, to part from")
        try:
            root.mkdir(parents=True, exist_ok=True)
            run(CONTROL, [*self._command, *self._told(root, "trace")], self._base)
        except CannotRun as error:
            self._say(f"no cause will be told: {error}")
            self._followed = []

    def _told(self, root: Path, purpose: str) -> list[str]:
        trials = ",".join(map(str, self._followed))
        return [f"--cause={purpose}", f"--trials={trials}", f"--rerun={root}"]

    def _judged(self, root: Path, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes with what became of "rounding or bug?"."""
        apart = [o.compared is not None and o.compared.verdict != "same bits" for o in outcomes]
        if not self._followed or not any(apart):
            return outcomes
        self._say("rounding or bug?")
        try:
            run(CONTROL, [*self._command, *self._told(root, "judge")], self._base)
            found = files.read_json(root / JUDGED)
        except (CannotRun, FileNotFoundError, files.CorruptFile) as error:
            self._say(f"no cause is told: {error}")
            return outcomes
        arm = self.study.saved.arms[self._followed[0] % len(self.study.saved.arms)]
        causes = [found.get(place(k, one.condition)) for k, one in enumerate(outcomes)]
        return [
            dataclasses.replace(one, cause=cause | {"arm": arm}) if cause and differs else one
            for one, cause, differs in zip(outcomes, causes, apart)
        ]

    def _tried(
        self, condition: Condition, target: Path, baseline: Side, first: Path | None
    ) -> Outcome:
        try:
            if condition.python:
                has = probe(condition.python, self.study.study.setting.data.dataset)
                condition = dataclasses.replace(condition, name=has)
            told = [f"--rerun={target}", f"--sample={self.seeds}"]
            if self._followed and condition.same_settings and condition != CONTROL:
                trials = ",".join(map(str, self._followed))
                told += ["--cause=follow", f"--trials={trials}"]
            run(condition, [*self._command, *told], self._base)
            compared = compare(baseline, Side(target), self.margin)
        except (CannotRun, UserError) as error:
            return Outcome(condition, None, {}, str(error))
        try:
            before = None if first is None else first / EVALUATED
            return Outcome(condition, compared, evaluated(self.study, target / EVALUATED, before))
        except (FileNotFoundError, files.CorruptFile):
            why = "saved params were not evaluated (none are kept, or rows are too many)"
            return Outcome(condition, compared, {}, why)
