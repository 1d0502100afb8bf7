"""Courses of a few trials from a common state, by the study's own program or another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from convergence.analysis.trajectory import OFFSETS, Trajectory, first_differing
from convergence.models.base import leaf_path
from convergence.packing import Packing
from convergence.plan import Group
from convergence.replay import Retrainer
from convergence.reporting import files
from convergence.training.population import Population
from convergence.training.state import Lane, TrialState
from convergence.training.stepper import Stepped, Stepper

HORIZON = 512  # steps of both runs in which their first difference is looked for
SOON = 8  # steps after which most pairs have parted


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

    def widened(self, width: int) -> Bare:
        """The same program with as many lanes side by side."""
        device = self.retrainer.study.machine.workers[:1]
        return Bare(self.group.program, width, device, "vmap")


def trace(retrainer: Retrainer, trials: Sequence[int], until: int = HORIZON) -> np.ndarray:
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
    state, step = taken.initial(), 0
    found: dict[tuple[int, int], tuple[Any, int]] = {}
    at = {int(s + o) for s in starts for o in offsets}
    for stop in sorted(at):
        state, step = taken.advance(state, step, stop).state, stop
        for begun in np.flatnonzero(starts == stop):
            if common is not None:
                put = common[int(begun)]
                state = jax.tree.map(lambda a, v, p=begun: _put(a, v, p), state, put)
        for place, start in enumerate(map(int, starts)):
            if stop - start in offsets:
                mine = jax.tree.map(lambda a, p=place: np.array(a[p]), state.train.params)
                one = jax.tree.map(lambda a: a.astype(np.float32), packing.unpack(mine))
                found[place, stop - start] = (one, int(state.step[place]))
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(found[0, 0][0])]
    table = [[jax.tree.leaves(found[p, o][0]) for o in offsets] for p in range(len(trials))]
    done = [[found[p, o][1] for o in offsets] for p in range(len(trials))]
    return Trajectory(
        trials=np.array(trials, np.int64),
        starts=starts,
        offsets=np.array(offsets, np.int64),
        done=np.array(done, np.int64),
        leaves=tuple("/".join(leaf_path(path)) for path in paths),
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
