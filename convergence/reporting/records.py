"""What a workdir holds, read back from its files alone: for the report and its figures.

Whatever is missing or damaged is left out and said so; only a folder without a readable manifest
is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from convergence import names, spec
from convergence.errors import UserError
from convergence.reporting import certificate, files
from convergence.reporting.workdir import Workdir
from convergence.spec import Setting, StudySpec

LONGEST_FLAGFILE = 65536  # characters of a text file that are read
Columns = dict[str, list[Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """One study's records.

    Attributes:
        root: its folder.
        manifest: as `manifest.read_manifest` gives it.
        study: the spec; None where the manifest's cannot be read.
        summary: summary.json, empty where there is none.
        trials: trials.parquet by column, empty where there is none.
        curves: curves.npz by name, empty where there is none.
        texts: flags.txt and recommended.txt by name, where they are.
        children: the studies inside this one, by name.
        blocks: how many finished blocks of trials are kept for a resumption.
        missing: a sentence for each file that is not there or cannot be used.
        certificate: what was found when its trials were trained again, "" where they were not.
    """

    root: Path
    manifest: dict[str, Any]
    study: StudySpec | None
    summary: dict[str, Any]
    trials: Columns
    curves: dict[str, np.ndarray]
    texts: dict[str, str]
    children: dict[str, Records]
    blocks: int
    missing: tuple[str, ...]
    certificate: str = ""

    @property
    def status(self) -> str:
        """running, finished, failed or interrupted."""
        return str(self.manifest["status"])

    @property
    def metric(self) -> str:
        """The study's metric, '' where it is not known."""
        return self.study.run.metric if self.study else ""

    @property
    def split(self) -> str:
        """The split whose scores are shown: clean validation rows, or validation, or none ('')."""
        for split in ("clean", "validation"):
            if f"{split}_{self.metric}" in self.trials:
                return split
        return ""

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The arms of which there are trials, in the study's order."""
        found = dict.fromkeys(self.trials.get("arm", ()))
        order = [arm.name for arm in self.study.arms] if self.study else []
        return tuple([name for name in order if name in found] or found)

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """Each arm's whole setting, by name."""
        study = self.study
        return {arm.name: study.arm_setting(arm) for arm in study.arms} if study else {}

    @cached_property
    def changes(self) -> dict[str, dict[str, Any]]:
        """What each arm changes, by name; what it varies and whether it is a twin count, too."""
        told = {}
        for arm in self.study.arms if self.study else ():
            own = {} if arm.vary is None or dict(arm.changes) else {"vary": arm.vary}
            told[arm.name] = dict(arm.changes) | own | ({"twin": True} if arm.twin else {})
        return told

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Each arm's trials as indices of the arrays' rows, in the order of replicas."""
        arm = np.array(self.trials.get("arm", ()), object)
        replica = np.array(self.trials.get("replica", ()), np.int64)
        found = {}
        for name in self.arms:
            index = np.flatnonzero(arm == name)
            found[name] = index[np.argsort(replica[index], kind="stable")]
        return found

    def column(self, name: str) -> np.ndarray:
        """float64[trials] of a column of numbers; NaN where there is none."""
        values = self.trials.get(name)
        count = len(self.trials.get("arm", ()))
        if values is None:
            return np.full(count, np.nan)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def scores(self, arm: str, split: str = "") -> np.ndarray:
        """float64[seeds] of the study's metric where the arm's trials ended; NaN if diverged."""
        return self.column(f"{split or self.split}_{self.metric}")[self.rows[arm]]

    def seeds(self, arm: str) -> np.ndarray:
        """The replicas of the arm's trials."""
        return np.array(self.trials["replica"], np.int64)[self.rows[arm]]

    def steps(self, arm: str) -> int:
        """Training steps of the arm's trials."""
        index = self.rows[arm]
        return int(self.column("steps")[index].max()) if len(index) else 0


def read(path: str | Path, nested: bool = True) -> Records:
    """The records in a workdir.

    Args:
        path: the folder.
        nested: read the studies inside it, too (not those inside them).

    Raises:
        UserError: there is no study, or its manifest is corrupt or of a newer version.
    """
    workdir = Workdir.open(path)
    missing: list[str] = []

    def told(name: str, reader: Callable[[Path], Any], empty: Any) -> Any:
        try:
            return reader(workdir.path(name))
        except FileNotFoundError:
            missing.append(f"{name} is not there.")
        except (files.CorruptFile, UserError, OSError, ValueError) as error:
            why = error.why if isinstance(error, files.CorruptFile) else str(error)
            missing.append(f"{name} cannot be read ({why}).")
        return empty

    manifest = workdir.manifest
    study = None
    try:
        study = spec.from_json(manifest["spec"])
    except UserError as error:
        missing.append(f"The study's spec cannot be read ({error}).")
    trials = told("trials.parquet", _trials, {})
    curves = told("curves.npz", files.read_npz, {})
    count = len(trials.get("arm", ()))
    wrong = sorted(
        name for name, values in curves.items() if not _fits(name, values, curves, count)
    )
    if wrong:
        missing.append(f"curves.npz does not fit the trials ({', '.join(wrong)}).")
    children = {}
    for name in _names(manifest.get("children")) if nested else ():
        try:
            children[name] = read(workdir.path(name), nested=False)
        except UserError as error:
            missing.append(f"The nested study {name} cannot be read ({error}).")
    texts = {name: _text(workdir, name) for name in ("flags.txt", "recommended.txt")}
    return Records(
        root=workdir.root,
        manifest=manifest,
        study=study,
        summary=told("summary.json", _summary, {}),
        trials=trials,
        curves={name: values for name, values in curves.items() if name not in wrong},
        texts={name: text for name, text in texts.items() if text},
        children=children,
        blocks=len(workdir.block_indices()),
        missing=tuple(missing),
        certificate=certificate.line(workdir),
    )


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _summary(path: Path) -> dict[str, Any]:
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise files.CorruptFile(path, "not a summary")
    return found


def _trials(path: Path) -> Columns:
    found = files.read_parquet(path)
    texts, wholes = ("arm", "status"), ("replica", "steps")
    known = all(name in found for name in (*texts, *wholes))
    if not (
        known
        and all(isinstance(value, str) for name in texts for value in found[name])
        and all(isinstance(value, int) for name in wholes for value in found[name])
        and all(
            value is None or isinstance(value, int | float)
            for name, values in found.items()
            if name.endswith(("_step", *(f"_{metric}" for metric in names.METRICS)))
            for value in values
        )
    ):
        raise files.CorruptFile(path, "not a table of trials")
    return found


def _fits(name: str, values: np.ndarray, curves: Mapping[str, np.ndarray], trials: int) -> bool:
    """Whether an array has the shape and kind that its name promises."""
    if values.dtype.kind not in "iuf":
        return False
    if name in ("loss_step", "eval_step"):
        return values.ndim == 1 and bool((np.diff(values) >= 0).all())
    if values.ndim == 0:
        return True
    step = "loss_step" if name.startswith("loss_") or name == "rate" else "eval_step"
    return step in curves and values.shape == (trials, *curves[step].shape)


def _text(workdir: Workdir, name: str) -> str:
    try:
        with open(workdir.path(name), encoding="utf-8", errors="replace") as stream:
            return stream.read(LONGEST_FLAGFILE)
    except (OSError, UserError):
        return ""
