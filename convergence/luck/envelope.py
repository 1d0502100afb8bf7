"""Repeated rounding beside one flipped bit: what random last bits at every step do to the params.

A twin rounds once, and its difference may heal; other libraries and machines round at every step.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from convergence.analysis.statistics import strict_number
from convergence.analysis.trajectory import Envelope
from convergence.chance.twins import Twins
from convergence.history import History
from convergence.replay import Trainer
from convergence.rounding import Jittered, calibrate, envelope
from convergence.study import Study

MOST_TRIALS, DRAWS, MOST_POINTS = 4, 2, 24
WIDTHS = (2,)  # of vmap, by which the rounding's size is set: each is one more program to compile
MOST_NUMBERS = 2**26  # float32 params held at once: 256 MiB


@dataclasses.dataclass(frozen=True)
class Repeated:
    """The distance of all params that repeated rounding makes, at one learning rate.

    Attributes:
        rate: the setting's own.
        steps: int[points].
        distance: float64[3, points] quartiles over trials and draws.
        amplitude: of the last bits' moves, in units in the last place; as large as a change of
            vmap's width makes them.
    """

    rate: float
    steps: np.ndarray
    distance: np.ndarray
    amplitude: float

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        lines = {
            name: [strict_number(float(value)) for value in line]
            for name, line in zip(("low", "median", "high"), self.distance)
        }
        return {
            "rate": self.rate,
            "steps": self.steps.tolist(),
            "amplitude": self.amplitude,
        } | lines


def repeated(runner: Study, history: History, found: Twins) -> Repeated | None:
    """Trains some trials at the setting's own rate with random last bits at every step.

    Args:
        runner: a study of the same spec.
        history: what its trials left; those that diverged are not asked.
        found: the twins that this stands beside: points are chosen among their steps.

    Returns:
        None where no trial finished, or the params are too many to be held at so many points.
    """
    arm = next((one.arm for one in found.rates if one.rate == found.own), None)
    if arm is None:
        return None
    index = history.rows_of(arm)
    trials = [int(trial) for trial in index if not history.diverged[trial]][:MOST_TRIALS]
    if not trials:
        return None
    steps = _points(found.steps)
    size = sum(int(np.prod(shape)) for shape in _shapes(runner, trials[0]))
    if size * len(steps) * len(trials) * DRAWS > MOST_NUMBERS:
        return None
    trainer = Trainer(runner)
    jittered = Jittered(trainer, trials)
    told = envelope(
        trainer,
        trials,
        offsets=tuple(map(int, steps)),
        draws=DRAWS,
        amplitude=calibrate(trainer, trials, WIDTHS, jittered).amplitude,
        jittered=jittered,
    )
    return Repeated(found.own, steps, _quartiles(told), told.amplitude)


def _points(steps: np.ndarray) -> np.ndarray:
    """At most so many of the steps, evenly on a logarithmic axis, both ends among them."""
    wanted = np.geomspace(1, len(steps), min(MOST_POINTS, len(steps))) - 1
    return np.asarray(steps)[np.unique(wanted.round().astype(int))]


def _shapes(runner: Study, trial: int) -> list[tuple[int, ...]]:
    packing = Trainer(runner).group(trial).program.algorithm.packing
    return [shape for shape, _ in packing.leaves]


def _quartiles(told: Envelope) -> np.ndarray:
    whole = np.sqrt((told.distance**2).sum(axis=3))  # of all params, from its leaves'
    flat = whole.reshape(-1, whole.shape[2])
    fine = flat[np.isfinite(flat).all(axis=1)]
    if not len(fine):
        return np.full((3, flat.shape[1]), np.nan)
    return np.quantile(fine, [0.25, 0.5, 0.75], axis=0)
