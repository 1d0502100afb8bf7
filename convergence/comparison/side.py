"""A finished study as one side of a comparison: read from its folder alone, with suspicion."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from convergence import names
from convergence.errors import UserError
from convergence.replay import EXACT, read_digests
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.saved import Saved
from convergence.saving import block_files, kept_arrays
from convergence.spec import Setting, StudySpec

SPLITS = ("test", "clean", "validation")
FOLLOWED = 6  # trials of an arm that are followed step by step


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Held-out outputs of all trials.

    Attributes:
        split: ``validation`` or ``test``.
        outputs: [trials, width, classes] logits or [trials, width] values in the target's unit.
        digests: uint64[trials, width], of each row; 0 where there is none.
        scored: bool[trials, width], where there is one.
        truth: [trials, width] clean targets; None in studies of earlier versions.
    """

    split: str
    outputs: np.ndarray
    digests: np.ndarray
    scored: np.ndarray
    truth: np.ndarray | None


class Side:
    """One of the two studies.

    Args:
        folder: a finished study's.

    Attributes:
        saved: the study's folder.
        missing: a sentence for each record that is not there or damaged, filled as they are read.

    Raises:
        UserError: no study, an unfinished or newer one, or its table of trials is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = Saved.open(Workdir.open(folder))
        self.missing: list[str] = []
        path = self.saved.workdir.path("trials.parquet")
        try:
            self._table = files.read_parquet(path)
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing; train the study again.", "workdir") from error
        except files.CorruptFile as error:
            raise UserError(f"{error} Train the study again.", "workdir") from error
        if len(self._table.get("status", ())) != self.count:
            raise UserError(f"{path} does not tell of all {self.count} trials.", "workdir")

    @property
    def study(self) -> StudySpec:
        """Its spec."""
        return self.saved.study

    @property
    def count(self) -> int:
        """How many trials it has."""
        return len(self.study.arms) * self.study.run.num_seeds

    @property
    def provenance(self) -> dict[str, Any]:
        """Under which conditions it was trained."""
        found: dict[str, Any] = self.saved.workdir.manifest["provenance"]
        return found

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        return self.saved.encoding.task

    def setting(self, arm: str) -> Setting:
        """An arm's whole setting."""
        return self.saved.setting(arm)

    def replicas(self) -> np.ndarray:
        """int[seeds]: the replicas of each arm."""
        run = self.study.run
        return run.first_replica + np.arange(run.num_seeds)

    def metrics(self, split: str) -> list[str]:
        """The metrics that were scored on a split."""
        return [name for name in names.METRICS if f"{split}_{name}" in self._table]

    def scores(self, trials: np.ndarray, metric: str, split: str) -> np.ndarray:
        """float64[trials] of a metric where they ended; NaN where they diverged."""
        values = self._table[f"{split}_{metric}"]
        told = [values[k] if self._table["status"][k] == "finished" else None for k in trials]
        return np.array([math.nan if one is None else one for one in told], np.float64)

    def finished(self, trials: np.ndarray) -> np.ndarray:
        """bool[trials]: which did not diverge."""
        return np.array([self._table["status"][k] == "finished" for k in trials], bool)

    @cached_property
    def digests(self) -> dict[str, np.ndarray] | None:
        """The records of `EXACT` of all trials; None where they cannot be used."""
        try:
            return read_digests(self.saved, self.count)
        except UserError as error:
            self.missing.append(f"its bits are unknown: {error.sentence.rstrip('.')}")
            return None

    @cached_property
    def predictions(self) -> Predictions | None:
        """What it predicted; None where that cannot be used."""
        path = self.saved.workdir.path("predictions.npz")
        try:
            arrays = files.read_npz(path)
            return _predictions(arrays, self.count)
        except FileNotFoundError:
            self.missing.append("predictions.npz is not there: nothing is said of predictions")
        except (files.CorruptFile, KeyError, ValueError, IndexError) as error:
            why = error.why if isinstance(error, files.CorruptFile) else error
            self.missing.append(f"predictions.npz cannot be used ({why})")
        return None

    @cached_property
    def _params(self) -> dict[int, tuple[dict[str, np.ndarray], int]]:
        """Trial → its block's arrays and its place there."""
        found: dict[int, tuple[dict[str, np.ndarray], int]] = {}
        for path in block_files(self.saved.workdir):
            try:
                trials, arrays = kept_arrays(files.read_npz(path))
            except (files.CorruptFile, ValueError) as error:
                self.missing.append(f"{path.name} of its params is damaged ({error})")
                continue
            found |= {int(trial): (arrays, place) for place, trial in enumerate(trials)}
        return found

    def params(self, trial: int) -> dict[str, np.ndarray] | None:
        """A trial's final model by leaf; None where it was not kept."""
        kept = self._params.get(trial)
        return {name: leaf[kept[1]] for name, leaf in kept[0].items()} if kept else None


def followed(side: Side, arms: Sequence[str], replicas: np.ndarray) -> list[int]:
    """Trials to follow step by step: of the first arm of which some finished; [] for none."""
    for arm in arms:
        trials = side.saved.trials(arm)[replicas - side.study.run.first_replica]
        good = trials[side.finished(trials)]
        if len(good):
            return [int(trial) for trial in good[:FOLLOWED]]
    return []


def _predictions(arrays: dict[str, np.ndarray], count: int) -> Predictions:
    outputs, rows = arrays["outputs"], arrays["rows"]
    every, digest, truth = arrays["row"], arrays["row_digest"], arrays.get("truth")
    if len(outputs) != count or outputs.ndim not in (2, 3) or rows.ndim != 2:
        raise ValueError("it is not of this study's trials")
    if rows.shape[1] != outputs.shape[1] or len(digest) != len(every):
        raise ValueError("rows and outputs do not match")
    rows = np.broadcast_to(rows, (count, rows.shape[1]))
    scored = rows >= 0
    place = np.searchsorted(every, np.where(scored, rows, every[0] if len(every) else 0))
    return Predictions(
        split=str(arrays["split"]),
        outputs=outputs,
        digests=np.where(scored, digest[place], np.uint64(0)),
        scored=scored,
        truth=None if truth is None else truth[place],
    )


__all__ = ["EXACT", "SPLITS", "Predictions", "Side", "followed"]
