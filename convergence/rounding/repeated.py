"""Repeated rounding around a study's trials, and how coarse it has to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from convergence import threefry
from convergence.analysis.trajectory import (
    OFFSETS,
    Envelope,
    Trajectory,
    distances,
    envelope_of,
    unit,
)
from convergence.replay import Retrainer
from convergence.rounding.courses import Bare, Setup, course, follow, trajectory
from convergence.training.jitter import AMPLITUDE
from convergence.training.population import Population
from convergence.training.state import TrialState

WIDTHS = (1, 2, 4, 8)  # of vmap, whose changes set the amplitude
AMPLITUDES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # tried
DEFAULT_AMPLITUDE = 1.0  # where no width changes a bit
CALIBRATED_AT = (0, 1, 2, 3, 4, 6, 8)  # offsets: later, growth hides what was put in


class Jittered:
    """Some trials of a study, with random last bits at every step, in a program of its own.

    One executable serves all amplitudes, draws and, by `population`, trials of the same program.
    """

    def __init__(
        self, retrainer: Retrainer, trials: Sequence[int], population: Population | None = None
    ) -> None:
        self._setup = Setup(retrainer, tuple(trials))
        if population is None:
            own = retrainer.population(trials[0])
            program = self._setup.group.program
            program = program._replace(algorithm=program.algorithm._replace(jitters=True))
            population = Bare(program, own.lanes, own.workers, own.mode)
        self.population = population
        self._shared = retrainer.study.shared(self.population)
        self._plain = self._setup.course()

    def run(
        self, starts: np.ndarray | None, offsets: Sequence[int], draws: int, amplitude: float
    ) -> list[Trajectory]:
        """Trajectories of the trials, one a draw, that depart from the trials' own at `starts`."""
        trials, lanes = self._setup.trials, self._setup.lanes()
        starts = np.zeros(len(trials), np.int64) if starts is None else starts
        shaken = [
            lane._replace(
                hyper=lane.hyper | {AMPLITUDE: np.float32(amplitude)},
                keys=lane.keys
                | {"rounding": threefry.fold_in(lane.keys["rounding"], np.uint32(draw))},
            )
            for draw in range(draws)
            for lane in lanes
        ]
        common = self._common(starts)
        repeated = {p: common[p % len(trials)] for p in range(len(shaken))}
        found = follow(
            course(self.population, shaken, self._shared),
            self._setup.packing,
            trials * draws,
            np.tile(starts, draws),
            offsets,
            repeated,
        )
        size = len(trials)
        return [_part(found, slice(k * size, (k + 1) * size)) for k in range(draws)]

    def _common(self, starts: np.ndarray) -> dict[int, TrialState]:
        """By place of a trial, the state at its start, as its own program leaves it."""
        state, step, states = self._plain.initial(), 0, {}
        for stop in sorted(set(map(int, starts))):
            state, step = self._plain.advance(state, step, stop).state, stop
            for place in np.flatnonzero(starts == stop):
                states[int(place)] = jax.tree.map(lambda a, p=place: a[p : p + 1].copy(), state)
        return states


def _part(told: Trajectory, places: slice) -> Trajectory:
    own = ("trials", "starts", "done", "sketches", "first")
    return dataclasses.replace(
        told,
        values=tuple(value[places] for value in told.values),
        **{name: getattr(told, name)[places] for name in own},
    )


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How far last bits are moved.

    Attributes:
        amplitude: in units in the last place.
        told: on what it rests.
    """

    amplitude: float
    told: str


def calibrate(
    retrainer: Retrainer,
    trials: Sequence[int],
    widths: Sequence[int] = WIDTHS,
    jittered: Jittered | None = None,
) -> Calibration:
    """The amplitude whose differences are as large as those that widths of vmap make.

    Both are taken leaf by leaf over the first few steps (`CALIBRATED_AT`).
    """
    setup = Setup(retrainer, tuple(trials))
    base = trajectory(retrainer, trials, offsets=CALIBRATED_AT)
    scale = unit(base)
    changed = []
    for width in widths:
        other = trajectory(
            retrainer, trials, offsets=CALIBRATED_AT, population=setup.widened(width)
        )
        found = distances(base, other)
        if np.nansum(found) > 0:
            changed.append(found / scale)
    if not changed:
        told = f"no width of vmap ({', '.join(map(str, widths))}) changes a bit: the default"
        return Calibration(DEFAULT_AMPLITUDE, told)
    wanted = _size(np.stack(changed))
    jittered = jittered or Jittered(retrainer, trials)
    sizes = []
    for amplitude in AMPLITUDES:
        draws = jittered.run(None, CALIBRATED_AT, 2, amplitude)
        sizes.append(_size(np.stack([distances(base, one) / scale for one in draws])))
    # Sizes grow with the amplitude; beyond those tried, the outermost is taken.
    amplitude = float(
        np.exp(np.interp(wanted, np.maximum.accumulate(sizes), np.log(np.array(AMPLITUDES))))
    )
    return Calibration(
        amplitude,
        f"{len(changed)} of {len(widths)} widths of vmap change bits: last bits move by "
        f"{amplitude:.2g} units in the last place",
    )


def _size(ratios: np.ndarray) -> float:
    """The mean logarithm of distances in units in the last place, from the first step on."""
    return float(np.nanmean(np.log10(ratios[..., 1:, :] + 0.01)))


def envelope(
    retrainer: Retrainer,
    trials: Sequence[int],
    *,
    starts: np.ndarray | None = None,
    offsets: Sequence[int] = OFFSETS,
    draws: int = 4,
    amplitude: float | None = None,
    jittered: Jittered | None = None,
) -> Envelope:
    """What repeated rounding alone does to some trials.

    Args:
        draws: runs of each trial with random last bits.
        amplitude: of the bits' moves; default set by `calibrate`.
    """
    jittered = jittered or Jittered(retrainer, trials)
    told = "amplitude as given"
    if amplitude is None:
        amplitude, told = dataclasses.astuple(calibrate(retrainer, trials, jittered=jittered))
    base = trajectory(retrainer, trials, starts=starts, offsets=offsets)
    runs = jittered.run(starts, offsets, draws, amplitude)
    return envelope_of(base, runs, amplitude, told)
