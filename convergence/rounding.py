"""Rounding or bug: the first steps of trials from a common state, and repeated rounding around them.

A difference that rounding makes starts at the last bits and grows as the training makes it grow; a
bug's starts at its own size. So what decides is the early growth from a common state, held against
an envelope of runs whose last bits are moved at random at every step (`training.jitter`). One-bit
twins are no stand-in: they round once, and their difference may heal. How far the bits are moved is
set by what a change of vmap's width does to the same trials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from convergence import threefry
from convergence.analysis.rounding import Judgement, judge
from convergence.analysis.trajectory import (
    OFFSETS,
    Envelope,
    Trajectory,
    envelope_of,
    first_differing,
    gap,
    unit,
)
from convergence.packing import Packing
from convergence.plan import Group
from convergence.replay import Retrainer
from convergence.reporting import files
from convergence.training.jitter import AMPLITUDE
from convergence.training.population import Population
from convergence.training.state import Lane, TrialState
from convergence.training.stepper import Stepped, Stepper

HORIZON = 512  # steps of both runs in which their first difference is looked for
SOON = 8  # steps after which most pairs have parted
WIDTHS = (1, 2, 4, 8)  # of vmap, whose changes set the amplitude
AMPLITUDES = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # tried
DEFAULT_AMPLITUDE = 1.0  # where no width changes a bit
CALIBRATED_AT = (0, 1, 2, 3, 4, 6, 8)  # offsets: later, growth hides what was put in


class Bare(Population):
    """A population of which nothing is compiled before it is called: stepping needs no scores."""

    def compile(self, block: Any, shared: Any) -> None:
        """Leaves it to the calls."""


class Course(Protocol):
    """Trials that can be taken from step to step: a `Stepper`, or what stands in for one."""

    def initial(self) -> TrialState:
        """The states before the first step, NumPy arrays [trials, ...]."""

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        """The trials after `until` steps, from their states after `start`."""


class _Joined:
    """Courses of a few trials each as one: populations take only so many at a time."""

    def __init__(self, parts: Sequence[Course], counts: Sequence[int]) -> None:
        self._parts = parts
        self._ends = np.cumsum(counts)

    def initial(self) -> TrialState:
        return _stacked([part.initial() for part in self._parts])

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        begins = [0, *self._ends[:-1]]
        told = [
            part.advance(jax.tree.map(lambda a, b=b, e=e: a[b:e], state), start, until)
            for part, b, e in zip(self._parts, begins, self._ends)
        ]
        return Stepped(_stacked([one.state for one in told]), _stacked([one.trace for one in told]))


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)


def course(population: Population, lanes: Sequence[Lane], shared: Any) -> Course:
    """The lanes' trials in a population, as many at a time as it takes."""
    most = population.width if population.mode == "vmap" else population.lanes
    parts = [list(lanes[k : k + most]) for k in range(0, len(lanes), most)]
    steppers = [Stepper(population, part, shared) for part in parts]
    return _Joined(steppers, [len(part) for part in parts])


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """Some trials of one program and what trains them.

    Attributes:
        retrainer: of their study.
        trials: their indices.
    """

    retrainer: Retrainer
    trials: tuple[int, ...]

    @property
    def group(self) -> Group:
        return self.retrainer.group(self.trials[0])

    @property
    def packing(self) -> Packing:
        return self.group.program.algorithm.packing

    def lanes(self) -> list[Lane]:
        by_index = {trial.index: trial for trial in self.group.trials}
        return self.retrainer.plan.lanes(self.group, tuple(by_index[k] for k in self.trials))

    def course(self, population: Population | None = None) -> Course:
        population = population or self.retrainer.population(self.trials[0])
        return course(population, self.lanes(), self.retrainer.study.shared(population))

    def widened(self, width: int) -> Population:
        """The same program with as many lanes side by side."""
        device = self.retrainer.study.machine.workers[:1]
        return Bare(self.group.program, width, device, "vmap")


def trace(
    retrainer: Retrainer, trials: Sequence[int], until: int = HORIZON
) -> np.ndarray:
    """float32[n, until, 2]: loss and gradient norm of each of the trials' first steps."""
    told = Setup(retrainer, tuple(trials)).course()
    return told.advance(told.initial(), 0, until).trace


def starts_of(first: np.ndarray) -> np.ndarray:
    """The step of the last common state, from the first step whose loss or gradient differs.

    A step's loss and gradient show what the step before did to the params. A difference that they
    do not show yet can be there, so that what parts within the first steps is followed from 0.
    """
    first = np.asarray(first, np.int64)
    return np.where(first <= SOON, 0, first - 1)


def follow(
    taken: Course,
    packing: Packing,
    trials: Sequence[int],
    starts: np.ndarray | None = None,
    offsets: Sequence[int] = OFFSETS,
    common: Mapping[int, TrialState] | None = None,
) -> Trajectory:
    """The trajectory of a course.

    Args:
        common: by place of a trial, the state of one trial (NumPy arrays [1, ...]) that it is set
            to at its start: where it departs from another run.
    """
    starts = np.zeros(len(trials), np.int64) if starts is None else np.asarray(starts, np.int64)
    state, step, found = taken.initial(), 0, {}
    at = {int(s + o) for s in starts for o in offsets}
    for stop in sorted(at):
        state, step = taken.advance(state, step, stop).state, stop
        for place in np.flatnonzero(starts == stop):
            if common is not None:
                put = common[int(place)]
                state = jax.tree.map(lambda a, v, p=place: _put(a, v, p), state, put)
        for place, start in enumerate(starts):
            if stop - start in offsets:
                mine = jax.tree.map(lambda a, p=place: np.array(a[p]), state.train.params)
                one = jax.tree.map(lambda a: a.astype(np.float32), packing.unpack(mine))
                found[place, stop - int(start)] = (one, int(state.step[place]))
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(found[0, 0][0])]
    table = [[jax.tree.leaves(found[p, o][0]) for o in offsets] for p in range(len(trials))]
    done = [[found[p, o][1] for o in offsets] for p in range(len(trials))]
    return Trajectory(
        trials=np.array(trials, np.int64),
        starts=starts,
        offsets=np.array(offsets, np.int64),
        done=np.array(done, np.int64),
        leaves=tuple(jax.tree_util.keystr(path) for path in paths),
        values=tuple(
            np.stack([np.stack([at[leaf].ravel() for at in row]) for row in table])
            for leaf in range(len(paths))
        ),
        sketches=np.array(state.record.sketches),
        first=np.full(len(trials), -1, np.int64),
    )


def _put(values: np.ndarray, one: np.ndarray, place: int) -> np.ndarray:
    values = np.array(values)
    values[place] = one[0]
    return values


def trajectory(
    retrainer: Retrainer,
    trials: Sequence[int],
    *,
    starts: np.ndarray | None = None,
    against: np.ndarray | None = None,
    offsets: Sequence[int] = OFFSETS,
    population: Population | None = None,
    taken: Course | None = None,
) -> Trajectory:
    """Where some trials are at each offset from a common state.

    Args:
        retrainer: of their study.
        trials: indices, of one program.
        starts: the step of the common state of each; default 0.
        against: another run's `trace` of the same trials, in place of `starts`: each trial starts
            at the last state that both have in common.
        population: trains them instead of the study's own.
        taken: trains them instead of any population.

    Raises:
        UserError: there is no such trial.
    """
    setup = Setup(retrainer, tuple(trials))
    taken = taken or setup.course(population)
    first = np.full(len(trials), -1, np.int64)
    if against is not None:
        first = _first(taken, against)
        starts = starts_of(first)
    found = follow(taken, setup.packing, trials, starts, offsets)
    return dataclasses.replace(found, first=first)


def _first(taken: Course, against: np.ndarray) -> np.ndarray:
    """The first step at which a course differs from a trace; where all do at once, soon told."""
    begin, first = taken.initial(), np.full(len(against), -1, np.int64)
    for length in (min(SOON, against.shape[1]), against.shape[1]):
        first = first_differing(against, taken.advance(begin, 0, length).trace)
        if (first >= 0).all():
            break
    return first


def save(path: Path, told: Trajectory) -> None:
    """Writes a trajectory as an NPZ file."""
    files.write_npz(path, told.arrays())


def load(path: Path) -> Trajectory:
    """A trajectory from an NPZ file.

    Raises:
        FileNotFoundError: if there is none.
        files.CorruptFile: it is damaged, or no trajectory.
    """
    try:
        return Trajectory.of(files.read_npz(path))
    except ValueError as error:
        raise files.CorruptFile(path, str(error)) from error


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
        found = gap(base, other).distance
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
        sizes.append(_size(np.stack([gap(base, one).distance / scale for one in draws])))
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


def examine(a: Retrainer, b: Retrainer, trials: Sequence[int], draws: int = 4) -> Judgement:
    """Whether b's difference from a is rounding, both trained here; trials have one index in both.

    The studies' programs must have the same params.
    """
    other = trajectory(b, trials, against=trace(a, trials))
    base = trajectory(a, trials, starts=other.starts)
    return judge(base, other, envelope(a, trials, starts=other.starts, draws=draws))
