"""The host's loop over a block of trials: segments, evaluations, checkpoints, and the record.

Nothing here decides a bit of the training: boundaries are where the host looks, not where the
program changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from convergence.training import checkpoint
from convergence.training.course import Course, Passed, Segment
from convergence.training.curve import CurveRecorder
from convergence.training.population import TEST, TRAIN, VALIDATION, Population, Replicated
from convergence.training.state import MARKS, SKETCHES, TRACE, Lane, Trained
from convergence.training.twins import TwinRecorder

CHECKPOINT_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Cadence:
    """When the host looks: steps in all, between evaluations, checkpoints and other returns."""

    total: int
    eval_every: int
    checkpoint_every: int  # 0: at any boundary, as time goes by (see `Timer`)
    segment: int = 0  # 0: as the others, and the length of a trace, need
    watched: tuple[int, ...] = ()  # steps after which twins are looked at

    def boundaries(self) -> list[int]:
        """Ascending steps at which the host takes over; the last is `total`."""
        stops = {self.total, *(step for step in self.watched if 0 < step < self.total)}
        for every in (self.eval_every, self.checkpoint_every, self.segment, TRACE):
            if every > 0:
                stops |= set(range(every, self.total, every))
        return sorted(stops)

    def evaluates(self, step: int) -> bool:
        """Whether this boundary is an evaluation."""
        return step == self.total or (self.eval_every > 0 and step % self.eval_every == 0)

    def eval_steps(self) -> list[int]:
        """The steps after which trials are evaluated, step 0 included."""
        return sorted({0} | {step for step in self.boundaries() if self.evaluates(step)})

    def saves(self, step: int) -> bool:
        """Whether this boundary may leave a checkpoint."""
        every = self.checkpoint_every
        return 0 < step < self.total and (every == 0 or step % every == 0)

    def segments(self, done: int, saving: bool) -> list[Segment]:
        """The segments left after `done` steps; with nowhere to save to, none may save."""
        stops = [stop for stop in self.boundaries() if stop > done]
        return [
            Segment(
                start,
                stop,
                self.evaluates(stop),
                saving and self.saves(stop),
                stop in self.watched,
            )
            for start, stop in zip([done, *stops], stops)
        ]


class Timer:
    """Whether it is time for a checkpoint: what it costs, and what a kill costs, stay small.

    Args:
        seconds: from one to the next; 0: always.
        clock: seconds that have gone by since some moment.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._last = clock()

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


Told = Callable[[int, int, Mapping[str, np.ndarray]], None]


class Store(Protocol):
    """Where a block's checkpoints go."""

    def save_checkpoint(self, block: int, step: int, arrays: dict[str, np.ndarray]) -> None:
        """Keeps the arrays, and the previous ones until these are safe."""

    def checkpoints(self, block: int) -> Sequence[tuple[int, Callable[[], dict[str, np.ndarray]]]]:
        """The kept checkpoints, newest first: step, and a function that reads its arrays."""

    def damaged(self, block: int, step: int, why: str) -> None:
        """Told that a checkpoint could not be used."""


@dataclasses.dataclass(frozen=True)
class Want:
    """What is computed beside the training."""

    clean: bool = False  # also score validation against clean targets
    test: bool = False  # read the test split at the end
    predictions: bool = True
    trained: tuple[int, ...] = ()  # places in the block of the trials whose models are kept
    twins: bool = False  # record how far twins are from the trials whose twins they are
    pairs: tuple[tuple[int, int], ...] = ()  # places in the block of a twin and of that trial


class BlockRun:
    """Runs one block of trials from its lanes to its records.

    Args:
        population: the compiled program.
        lanes: one Lane a trial, at most `population.lanes`.
        shared: arrays on the devices (`Population.replicate`).
        cadence: when the host looks.
        want: what is computed beside the training.
        index: the block's number, for its checkpoints.
        store: where checkpoints go, or None.
        progress: called at each boundary with (steps done, trials diverged, scores): where trials
            were just evaluated, ``SPLIT/METRIC`` → [trials]; empty elsewhere.
        trials: the trials' indices in their study, told in checkpoints (default: from 0).

    Attributes:
        trained: what predicts, [wanted trials, ...], once the block has run; None for none.
    """

    def __init__(
        self,
        population: Population,
        lanes: Sequence[Lane],
        shared: Replicated,
        cadence: Cadence,
        want: Want,
        index: int = 0,
        store: Store | None = None,
        progress: Told | None = None,
        trials: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        self.population = population
        self.block = population.deal(lanes)
        self.count = len(lanes)
        self.shared = shared
        self.cadence = cadence
        self.want = want
        self.index = index
        self.store = store
        self.progress = progress or (lambda step, diverged, scores: None)
        self.trials = np.array(range(self.count) if trials is None else trials, np.int32)
        self.trained: Trained | None = None
        self.evaluations: list[dict[str, np.ndarray]] = []
        every = int(np.asarray(next(iter(shared.values())).fingerprint_every))
        self.marks = min(MARKS, cadence.total // every) if every else 0
        self.curve = CurveRecorder(self.count, cadence.total, every, self.marks)
        self.twins = TwinRecorder(self.count, want.pairs, cadence.watched) if want.twins else None

    def _metrics(self, state: Any, which: int, clean: bool) -> dict[str, np.ndarray]:
        return self.population.evaluate(self.block, self.shared, state, which, clean)

    def _stacked(self) -> dict[str, np.ndarray]:
        """The evaluations so far by name: float32[trials, evaluations]."""
        names = self.evaluations[0] if self.evaluations else {}
        return {
            f"eval/{name}": np.stack([one[name] for one in self.evaluations], axis=1)
            for name in names
        }

    def _resume(self, state: Any) -> tuple[int, Any]:
        """The newest usable checkpoint's step and state; the given ones where there is none."""
        for step, read in self.store.checkpoints(self.index) if self.store else ():
            try:
                template = self.population.gather(state, self.population.lanes)
                arrays = read()
                if not np.array_equal(arrays.get("trial", ()), self.trials):
                    raise ValueError("it is of other trials, from another number of devices")
                found, extra = checkpoint.unpack(arrays, template)
                if self.twins:
                    self.twins.unpack(extra)
            except (checkpoint.DamagedCheckpoint, OSError, ValueError) as error:
                assert self.store is not None
                self.store.damaged(self.index, step, str(error))
                continue
            done = sum(1 for mark in self.cadence.eval_steps() if mark <= step)
            told = {k.removeprefix("eval/"): v for k, v in extra.items() if k.startswith("eval/")}
            self.evaluations = [{name: v[:, k] for name, v in told.items()} for k in range(done)]
            self.curve.unpack({k: v for k, v in extra.items() if k.startswith("curve/")})
            return step, self.population.restore(found)
        return 0, state

    def run(self) -> dict[str, np.ndarray]:
        """Trains the block to its end; arrays of its records by name, leading axis trials."""
        return self._records(self.train())

    def train(self) -> Any:
        """Trains the block to its end; the lanes' states, on the devices."""
        population = self.population
        population.compile(self.block, self.shared)
        state = population.initialise(self.block, self.shared)
        done, state = self._resume(state)
        course = Course(population, self.block, self.shared, self.want.clean)
        if done == 0:
            self.evaluations = [course.scores(state)]
            self._watch(0, [shard.train.params for shard in state], np.zeros(self.count, bool))
        segments = self.cadence.segments(done, self.store is not None)
        timer = Timer(0.0 if self.cadence.checkpoint_every else CHECKPOINT_SECONDS)
        with contextlib.closing(course.run(state, segments, timer)) as boundaries:
            for passed in boundaries:
                state = passed.states
                self._note(passed)
        return state

    def _watch(self, step: int, params: Sequence[Any], ended: np.ndarray) -> None:
        if self.twins:
            self.twins.add(step, params, ended)

    def _note(self, passed: Passed) -> None:
        """Writes down what a boundary told."""
        segment = passed.segment
        self.curve.add(passed.trace, passed.steps)
        if passed.params is not None:
            self._watch(segment.until, passed.params, passed.first_bad >= 0)
        if segment.evaluates:
            self.evaluations.append(passed.scores)
        if self.store and segment.saves:
            extra = self._stacked() | self.curve.pack() | {"trial": self.trials}
            extra |= self.twins.pack() if self.twins else {}
            arrays = checkpoint.pack(passed.whole, extra)
            self.store.save_checkpoint(self.index, segment.until, arrays)
        self.progress(segment.until, int((passed.first_bad >= 0).sum()), passed.scores)

    def _records(self, state: Any) -> dict[str, np.ndarray]:
        population, total = self.population, self.cadence.total
        which = TEST if self.want.test else VALIDATION
        tables, words, models = population.finish(self.block, self.shared, state, which)
        if self.want.trained:
            self.trained = population.pick(models, self.want.trained)
        del models
        light = [shard._replace(train=None, order=None) for shard in state]
        ended = population.gather(light, self.count)
        sketches = min(SKETCHES, 1 + int(total).bit_length())
        arrays = {
            "first_bad": ended.first_bad,
            "steps_done": ended.step,
            "control": ended.plateau.control,
            "fingerprint": words,
            "marks": ended.record.marks[:, : self.marks],
            "sketches": ended.record.sketches[:, :sketches],
            **self.curve.arrays(),
            **self._stacked(),
            **(self.twins.arrays() if self.twins else {}),
        }
        scores = {"train": self._metrics(state, TRAIN, False)}
        if self.want.test:
            scores["test"] = self._metrics(state, TEST, True)
        for split, told in scores.items():
            arrays |= {f"final/{split}/{name}": values for name, values in told.items()}
        if self.want.predictions:
            arrays["predictions"] = tables
        return arrays
