"""What seeds of an arm predicted, row by row, whatever rows each was scored on."""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence.history import History


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """Held-out outputs of the seeds of one arm.

    Attributes:
        rows: int[rows] rows of the dataset on which some seed was scored, ascending.
        scored: bool[seeds, rows].
        outputs: float64[seeds, rows, classes] logits or [seeds, rows] numbers in the target's unit;
            0 where not scored.
        truth: [rows] clean targets.
    """

    rows: np.ndarray
    scored: np.ndarray
    outputs: np.ndarray
    truth: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """int[seeds, rows] predicted classes."""
        return np.asarray(self.outputs.argmax(axis=-1))

    @property
    def correct(self) -> np.ndarray:
        """float64[seeds, rows]: 1 where the class is right, 0 where wrong, NaN where not scored."""
        return np.where(self.scored, self.classes == self.truth, np.nan)


def predicted(history: History, arm: str, seeds: np.ndarray) -> Predicted:
    """The validation outputs of some of an arm's seeds.

    Args:
        seeds: places of the seeds among the arm's, none of which diverged.
    """
    index = history.rows_of(arm)[seeds]
    dataset = history.plan.dataset
    own = [history.scored_rows(int(trial), test=False) for trial in index]
    rows = np.unique(np.concatenate(own))
    told = history.arrays["predictions"]
    regression = dataset.task == "regression"
    shape = (len(index), len(rows)) + (() if regression else (told.shape[-1],))
    outputs, scored = np.zeros(shape), np.zeros(shape[:2], bool)
    for line, (trial, mine) in enumerate(zip(index, own)):
        place = np.searchsorted(rows, mine)
        values = told[trial][: len(mine)].astype(np.float64)
        if regression:
            values = history.predicted(np.array([trial]), values[None])[0]
        outputs[line, place] = values
        scored[line, place] = True
    return Predicted(rows, scored, outputs, dataset.y[rows])
