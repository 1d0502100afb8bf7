"""TensorBoard's events while a study runs: its progress, and each arm once its seeds are there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convergence import events
from convergence.analysis.bands import bands
from convergence.history import History
from convergence.plan import Plan, Trial
from convergence.reporting.tensorboard import PROGRESS, Writer
from convergence.watch import Look


class Live:
    """Watches a study and writes its event files.

    Bands are of whole arms only: half an arm's seeds would be read as the arm. Meanwhile the run
    ``progress`` shows, by trial-steps done, how many trials are finished and diverged and the
    validation metric of those in flight.

    Args:
        plan: the study's.
        eval_steps: steps after which trials are evaluated, 0 first.
        folder: the workdir's ``tb`` folder.
        trials: so many first trials get a run of their own.

    Raises:
        StorageError: from any method, if the system refuses the write.
    """

    def __init__(self, plan: Plan, eval_steps: Sequence[int], folder: Path, trials: int = 0):
        self._plan, self._folder, self._single = plan, folder, trials
        self._eval_steps = np.array(eval_steps)
        self._missing = [plan.study.run.num_seeds] * len(plan.study.arms)
        # Of arms that are not whole: each seed's trial and records.
        self._rows: list[list[tuple[Trial, dict[str, np.ndarray]]]] = [[] for _ in self._missing]
        self._writer: Writer | None = None
        events.write_overview(folder, plan)

    def looked(self, look: Look) -> None:
        """Writes a point of the progress, where trials were just evaluated."""
        if not look.scores:
            return
        if self._writer is None:  # what an interrupted run wrote beyond this point is purged
            self._writer = Writer(self._folder / PROGRESS, purge_step=look.done)
        metric = self._plan.study.run.metric
        tags = {
            "progress/share_done": look.done / look.total if look.total else 1.0,
            "progress/trials_finished": look.finished,
            "progress/trials_diverged": look.diverged,
        }
        flying = bands(look.scores[f"validation/{metric}"].astype(np.float64))
        tags |= {f"in_flight/{metric}/validation/{k}": float(v) for k, v in flying.items()}
        self._writer.scalars(look.done, {tag: v for tag, v in tags.items() if not math.isnan(v)})
        self._writer.flush()

    def ended(self, trials: Sequence[Trial], arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the arms whose last seeds these are."""
        for row, trial in enumerate(trials):
            own = {name: values[row] for name, values in arrays.items() if _shown(name)}
            self._rows[trial.arm].append((trial, own))
            self._missing[trial.arm] -= 1
            if not self._missing[trial.arm]:
                self._write(trial.arm)

    def _write(self, arm: int) -> None:
        rows = sorted(self._rows[arm], key=lambda one: one[0].replica)
        self._rows[arm] = []
        arrays = {name: np.stack([own[name] for _, own in rows]) for name in rows[0][1]}
        history = History(self._plan, self._eval_steps, arrays)
        events.write_arm(self._folder, history, arm)
        for row, (trial, _) in enumerate(rows):
            if trial.index < self._single:
                events.write_trial(self._folder, history, row, arm, trial.replica)

    def close(self) -> None:
        """Closes the progress."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _shown(name: str) -> bool:
    """Whether an array of a block's records is needed here: curves, scores and ends."""
    return name.startswith(("eval/", "final/", "bin_")) or name in (
        "raw",
        "first_bad",
        "steps_done",
    )
