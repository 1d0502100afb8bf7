"""What a study's trials did: NumPy arrays by name, with one row a trial."""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence.analysis.rows import row_scores
from convergence.plan import Plan, Trial
from convergence.spec import StudySpec
from convergence.training.curve import RAW_STEPS, bin_width
from convergence.training.fingerprint import join
from convergence.training.twins import steps as twin_steps


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """All records of a finished study.

    Attributes:
        plan: the study laid out on its data.
        eval_steps: [evaluations] steps after which trials were evaluated, 0 first.
        arrays: by name, leading axis trials in the order of `plan.trials`: see
            `training.blocks.BlockRun` for the names.
    """

    plan: Plan
    eval_steps: np.ndarray
    arrays: dict[str, np.ndarray]

    @property
    def study(self) -> StudySpec:
        """The study's spec."""
        return self.plan.study

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The trials, in the order of the arrays' rows."""
        return self.plan.trials

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The arms, in the study's order."""
        return tuple(arm.name for arm in self.study.arms)

    def rows_of(self, arm: str) -> np.ndarray:
        """Indices of an arm's trials, by replica."""
        index = self.arm_names.index(arm)
        found = [t for t in self.trials if t.arm == index]
        return np.array([t.index for t in sorted(found, key=lambda t: t.replica)])

    @property
    def diverged(self) -> np.ndarray:
        """bool[trials]: a loss or gradient was not finite, or the trained model's score is not."""
        final = [self.arrays[name] for name in self.arrays if name.startswith("final/")]
        scores = [self.arrays[n][:, -1] for n in self.arrays if n.startswith("eval/")] + final
        finite = np.all(np.isfinite(np.stack(scores)), axis=0)
        return (self.arrays["first_bad"] >= 0) | ~finite

    @property
    def first_bad(self) -> np.ndarray:
        """int[trials]: first step that was not finite (its own length where only scores are)."""
        late = np.where(self.diverged, self.arrays["steps_done"], -1)
        return np.where(self.arrays["first_bad"] >= 0, self.arrays["first_bad"], late)

    def final(self, metric: str, split: str = "validation") -> np.ndarray:
        """float64[trials] of a metric where each trial ended; NaN where it diverged.

        Args:
            metric: a name of `names.METRICS`.
            split: ``validation`` (targets as told), ``clean`` (validation rows, clean targets;
                the same where nothing was spoiled), ``train`` or ``test``.
        """
        if split == "clean" and f"eval/clean/{metric}" not in self.arrays:
            split = "validation"
        if split in ("validation", "clean"):
            values = self.arrays[f"eval/{split}/{metric}"][:, -1]
        else:
            values = self.arrays[f"final/{split}/{metric}"]
        return np.where(self.diverged, np.nan, values.astype(np.float64))

    def of_arm(self, arm: str, metric: str, split: str = "validation") -> np.ndarray:
        """float64[seeds] of one arm, in the order of replicas; NaN where a trial diverged."""
        return self.final(metric, split)[self.rows_of(arm)]

    def copies(self, arm: str) -> bool:
        """Whether the arm has several trials, and all are one run: the same in every record."""
        index = self.rows_of(arm)
        if len(index) < 2 or "fingerprint" not in self.arrays:
            return False
        several = (values[index] for values in self.arrays.values())
        return all(np.array_equal(v, np.broadcast_to(v[:1], v.shape), _nan(v)) for v in several)

    def curve(self, metric: str, split: str = "validation") -> np.ndarray:
        """float64[trials, evaluations] of a metric over the run."""
        return self.arrays[f"eval/{split}/{metric}"].astype(np.float64)

    @property
    def fingerprints(self) -> np.ndarray:
        """uint64[trials]: the digest of each trial's final state."""
        return join(self.arrays["fingerprint"])

    def loss_curve(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The training loss: steps at which its points end, and arrays [trials, points].

        The first steps are points of their own; later ones are bins of `bin_width` steps. Arrays:
        ``mean``, ``min``, ``max``, ``improving`` (share of steps that went down); NaN where a
        trial had ended.
        """
        total, arrays = self.plan.total_steps, self.arrays
        width, raw = bin_width(total), arrays["raw"].astype(np.float64)
        starts = RAW_STEPS + width * np.arange(arrays["bin_mean"].shape[1])
        before = np.concatenate([np.full((len(raw), 1), np.nan), raw[:, :-1]], axis=1)
        early = np.where(np.isnan(raw) | np.isnan(before), np.nan, raw < before)
        steps = np.concatenate([1 + np.arange(raw.shape[1]), np.minimum(starts + width, total)])
        parts = {"mean": raw, "min": raw, "max": raw, "improving": early}
        return steps, {
            name: np.concatenate([first, arrays[f"bin_{name}"].astype(np.float64)], axis=1)
            for name, first in parts.items()
        }

    def twin_distances(self, twin: str) -> tuple[np.ndarray, np.ndarray]:
        """How far the twins of an arm are from their trials over the run.

        Returns:
            int[points] steps, and float64[seeds, points] distances of all params; NaN from where
            one of a pair has diverged.

        Raises:
            ValueError: the study recorded none.
        """
        if "distance" not in self.arrays:
            raise ValueError("the distances of twins were not asked for (Want.twins)")
        return np.array(twin_steps(self.plan.total_steps)), self.arrays["distance"][
            self.rows_of(twin)
        ]

    def scored_rows(self, trial: int, test: bool) -> np.ndarray:
        """int32 rows of the dataset that a trial's predictions are for."""
        if test:
            return self.plan.test
        one = self.trials[trial]
        return self.plan.view(one.arm, one.replica).validation

    def row_scores(
        self, arm: str, metric: str, *, test: bool = False, told: bool = False
    ) -> np.ndarray:
        """float64[seeds, rows]: each row's part in each seed's score.

        A seed's mean over rows is its metric, exactly: see `analysis.rows.row_scores`. All seeds
        must be scored on the same rows.

        Args:
            test: the predictions are for the test split.
            told: score against targets as the trials were told them, not the clean ones (inputs
                are clean in either case).

        Raises:
            ValueError: the seeds were scored on different rows (`split` varies).
        """
        index = self.rows_of(arm)
        rows = self.scored_rows(int(index[0]), test)
        if any(not np.array_equal(self.scored_rows(int(t), test), rows) for t in index):
            raise ValueError("the seeds of this arm are scored on different rows")
        outputs = self.arrays["predictions"][index][:, : len(rows)].astype(np.float64)
        truth = np.broadcast_to(self.plan.dataset.y[rows], outputs.shape[:2])
        if told:
            trials = [self.trials[t] for t in index]
            truth = np.stack([self.plan.view(t.arm, t.replica).targets[rows] for t in trials])
        with np.errstate(invalid="ignore", over="ignore"):  # of diverged trials, struck out below
            if self.plan.dataset.task == "regression":
                outputs = self.predicted(index, outputs)
            scores = row_scores(metric, outputs, truth)
        scores[self.diverged[index]] = np.nan
        return scores

    def predicted(self, index: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """float64[trials, rows] regression outputs in the target's own unit."""
        views = [self.plan.view(self.trials[t].arm, self.trials[t].replica) for t in index]
        scale = np.array([view.y_scale for view in views])[:, None]
        mean = np.array([view.y_mean for view in views])[:, None]
        return outputs[..., 0] / scale + mean


def _nan(values: np.ndarray) -> bool:
    """Whether an array can hold NaN, which a copy repeats."""
    return values.dtype.kind in "fc"
