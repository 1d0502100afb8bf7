"""A block's way through its steps: shards go on by themselves, the host looks when all are by.

Waiting for the slowest shard at each boundary, and for the host to write down what it saw, left the
cores idle for a tenth of the time. Here a shard's next leg waits for its last one alone; the host
takes the boundaries one after another, at most `AHEAD` legs behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

from convergence.training.population import VALIDATION, Block, Population, Replicated
from convergence.training.state import TrialState

AHEAD = 2  # legs that may wait for the host: it bounds memory


class Leg(NamedTuple):
    """What is done between two boundaries, and at the second."""

    start: int  # steps done before
    until: int
    evaluates: bool  # score the validation rows
    saves: bool  # hand the whole state over, if it is time


class Passed(NamedTuple):
    """What the host is handed at a boundary."""

    leg: Leg
    trace: (
        np.ndarray
    )  # float32[trials, steps, 2]: loss and gradient norm; 0 where a trial had ended
    steps: np.ndarray  # int32[trials]: steps done
    first_bad: np.ndarray  # int32[trials]: the first step that was not finite, or -1
    scores: dict[str, np.ndarray]  # SPLIT/METRIC -> [trials]; empty where nothing was evaluated
    states: list[TrialState]  # a shard's each; their memory is taken over by the next leg
    whole: Any  # NumPy arrays [lanes, ...] of the states, where the leg saves


class _Part(NamedTuple):
    """One shard's share of `Passed`."""

    state: TrialState
    trace: np.ndarray
    light: tuple[np.ndarray, np.ndarray]
    scores: dict[str, Any]
    whole: Any


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

    def scored(self, shard: int, state: TrialState) -> dict[str, jax.Array]:
        """A shard's metrics on validation rows, by ``SPLIT/METRIC``."""
        told: dict[str, jax.Array] = {}
        for name, clean in (("validation", False), ("clean", True)):
            if clean and not self.clean:
                continue
            what = (np.int32(VALIDATION), np.bool_(clean))
            found = self.population.call("evaluate", self.block, self.shared, shard, state, *what)
            told |= {f"{name}/{metric}": values for metric, values in found.items()}
        return told

    def _part(
        self, shard: int, leg: Leg, before: Future[_Part] | None, state: TrialState | None
    ) -> _Part:
        start = state if before is None else before.result().state
        span = (np.int32(leg.start), np.int32(leg.until))
        new, trace = self.population.call("segment", self.block, self.shared, shard, start, *span)
        return _Part(
            state=new,
            # Cut on the host: on a device each length would be one more program to compile.
            trace=np.asarray(trace)[:, : leg.until - leg.start],
            # Copies: the next leg takes the state's memory over.
            light=(np.array(new.step), np.array(new.first_bad)),
            scores=self.scored(shard, new) if leg.evaluates else {},
            whole=jax.tree.map(np.array, new) if leg.saves else None,
        )

    def run(
        self, states: Sequence[TrialState], legs: Sequence[Leg], due: Callable[[], bool]
    ) -> Iterator[Passed]:
        """Yields each boundary once all shards are by; the states given are used up.

        Args:
            states: a shard's each.
            legs: one after another.
            due: asked when a leg that may save is begun, whether it does.
        """
        waiting: list[tuple[Leg, list[Future[_Part]]]] = []
        left = iter(legs)

        def begin(leg: Leg) -> tuple[Leg, list[Future[_Part]]]:
            leg = leg._replace(saves=leg.saves and due())
            last = waiting[-1][1] if waiting else None
            return leg, [
                self.population.submit(
                    self._part,
                    shard,
                    leg,
                    last[shard] if last else None,
                    None if last else states[shard],
                )
                for shard in range(len(self.block.lanes))
            ]

        try:
            # First in, first out: what a task waits for has always been begun before it.
            waiting += map(begin, itertools.islice(left, 1))
            while waiting:
                for leg in itertools.islice(left, AHEAD + 1 - len(waiting)):
                    waiting.append(begin(leg))
                leg, parts = waiting[0]
                yield self._joined(leg, [part.result() for part in parts])
                waiting.pop(0)
        finally:
            for part in (part for _, parts in waiting for part in parts):
                part.cancel()

    def _joined(self, leg: Leg, parts: list[_Part]) -> Passed:
        population, count = self.population, self.block.trials
        steps, first_bad = population.gather([part.light for part in parts], count)
        return Passed(
            leg=leg,
            trace=population.gather([part.trace for part in parts], count),
            steps=steps,
            first_bad=first_bad,
            scores=population.gather([part.scores for part in parts], count),
            states=[part.state for part in parts],
            whole=population.gather([part.whole for part in parts], population.lanes)
            if leg.saves
            else None,
        )
