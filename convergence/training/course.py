"""A block's way through its steps: shards go on by themselves, the host looks when all are by.

Waiting for the slowest shard at each boundary, and for the host to write down what it saw, left the
cores idle for a tenth of the time. Here a shard's next segment waits for its last one alone; the
host takes the boundaries one after another, at most `AHEAD` segments behind.
"""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

from convergence.training.population import VALIDATION, Block, Population, Replicated
from convergence.training.state import TrialState

AHEAD = 2  # segments that may wait for the host: it bounds memory


class Segment(NamedTuple):
    """What is done between two boundaries, and at the second."""

    start: int  # steps done before
    until: int
    evaluates: bool  # score the validation rows
    saves: bool  # hand the whole state over, if it is time
    watches: bool = False  # hand the params over, for the distance of twins


class Passed(NamedTuple):
    """What the host is handed at a boundary."""

    segment: Segment
    # float32[trials, steps, 2]: loss and gradient norm of each step; 0 where a trial had ended
    trace: np.ndarray
    steps: np.ndarray  # int32[trials]: steps done
    first_bad: np.ndarray  # int32[trials]: the first step that was not finite, or -1
    scores: dict[str, np.ndarray]  # SPLIT/METRIC -> [trials]; empty where nothing was evaluated
    states: list[TrialState]  # a shard's each; their memory is taken over by the next segment
    whole: Any  # NumPy arrays [places of all shards, ...] of the states, where it was time to save
    params: list[Any] | None = None  # NumPy arrays [width, ...] of each shard, where watched


class _Part(NamedTuple):
    """One shard's share of `Passed`."""

    state: TrialState
    trace: np.ndarray
    light: tuple[np.ndarray, np.ndarray]
    scores: dict[str, Any]
    whole: Any
    params: Any


class _Once:
    """A question that is asked once, by whoever comes first; all get the same answer."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: bool | None = None

    def __call__(self) -> bool:
        with self._lock:
            if self._answer is None:
                self._answer = self._ask()
            return self._answer


class _Begun(NamedTuple):
    """A segment that workers are at."""

    segment: Segment
    saves: _Once
    parts: list[Future[_Part]]


class Course:
    """Takes a block's states from boundary to boundary.

    Args:
        population: the compiled programs.
        block: the lanes.
        shared: arrays on the devices.
        clean: also score against clean targets, as ``clean/METRIC``.
    """

    def __init__(
        self, population: Population, block: Block, shared: Replicated, clean: bool = False
    ) -> None:
        self.population = population
        self.block = block
        self.shared = shared
        self.clean = clean

    def _scored(self, shard: int, state: TrialState) -> dict[str, jax.Array]:
        told: dict[str, jax.Array] = {}
        for name, clean in (("validation", False), ("clean", True)):
            if clean and not self.clean:
                continue
            found = self.population.score(self.block, self.shared, shard, state, VALIDATION, clean)
            told |= {f"{name}/{metric}": values for metric, values in found.items()}
        return told

    def scores(self, states: Sequence[TrialState]) -> dict[str, np.ndarray]:
        """All trials' metrics on validation rows, ``SPLIT/METRIC`` → float32[trials]."""
        told = self.population.on_shards(lambda k: self._scored(k, states[k]), self.block)
        return self.population.gather(told, self.block.trials)

    def _part(
        self,
        shard: int,
        segment: Segment,
        saves: _Once,
        before: Future[_Part] | None,
        state: TrialState | None,
    ) -> _Part:
        start = state if before is None else before.result().state
        span = (np.int32(segment.start), np.int32(segment.until))
        new, trace = self.population.call("segment", self.block, self.shared, shard, start, *span)
        return _Part(
            state=new,
            # Cut on the host: on a device each length would be one more program to compile.
            trace=np.asarray(trace)[:, : segment.until - segment.start],
            # Copies: the next segment takes the state's memory over.
            light=(np.array(new.step), np.array(new.first_bad)),
            scores=self._scored(shard, new) if segment.evaluates else {},
            whole=jax.tree.map(np.array, new) if saves() else None,
            params=jax.tree.map(np.array, new.train.params) if segment.watches else None,
        )

    def run(
        self,
        states: Sequence[TrialState],
        segments: Sequence[Segment],
        due: Callable[[], bool] = lambda: True,
    ) -> Generator[Passed, None, None]:
        """Yields each boundary once all shards are by; the states given are used up.

        Close it (`contextlib.closing`) where the caller may fail: workers go on until then.

        Args:
            states: a shard's each.
            segments: one after another.
            due: asked where a segment that may save has ended for its first shard, whether it does.
        """
        waiting: collections.deque[_Begun] = collections.deque()
        left, last = iter(segments), None

        def begin(segment: Segment, last: _Begun | None) -> _Begun:
            saves = _Once(due if segment.saves else lambda: False)
            parts = [
                self.population.submit(
                    self._part,
                    shard,
                    segment,
                    saves,
                    last.parts[shard] if last else None,
                    None if last else states[shard],
                )
                for shard in range(len(self.block.lanes))
            ]
            return _Begun(segment, saves, parts)

        try:
            while True:
                # First in, first out: what a task waits for has always been begun before it.
                for segment in itertools.islice(left, AHEAD + 1 - len(waiting)):
                    last = begin(segment, last)
                    waiting.append(last)
                if not waiting:
                    return
                yield self._joined(waiting[0])
                waiting.popleft()
        finally:
            for part in (part for begun in waiting for part in begun.parts):
                part.cancel()

    def _joined(self, begun: _Begun) -> Passed:
        population, count = self.population, self.block.trials
        parts = [part.result() for part in begun.parts]
        steps, first_bad = population.gather([part.light for part in parts], count)
        saves = begun.saves()
        return Passed(
            segment=begun.segment._replace(saves=saves),
            trace=population.gather([part.trace for part in parts], count),
            steps=steps,
            first_bad=first_bad,
            scores=population.gather([part.scores for part in parts], count),
            states=[part.state for part in parts],
            whole=population.gather([p.whole for p in parts], population.lanes) if saves else None,
            params=[part.params for part in parts] if begun.segment.watches else None,
        )
