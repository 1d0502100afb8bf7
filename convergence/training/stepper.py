"""Takes trials from step to step in the executables that trained them, and hands over each state.

Boundaries change no bit of a trial, so what is seen here is what the study's own run went through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from convergence.training.population import VALIDATION, Population, Replicated
from convergence.training.state import TRACE, Lane, TrialState


class Stepped(NamedTuple):
    """Where trials are after some steps.

    Attributes:
        state: NumPy arrays [trials, ...].
        trace: float32[trials, steps, 2]: loss and gradient norm of each step that led here; 0
            where a trial had ended.
    """

    state: TrialState
    trace: np.ndarray


class Stepper:
    """A few trials of one program, to be taken through any of their steps as often as is asked.

    Args:
        population: the compiled program.
        lanes: the trials' inputs, at most `population.lanes`.
        shared: arrays on the devices (`Population.replicate`).
    """

    def __init__(self, population: Population, lanes: Sequence[Lane], shared: Replicated) -> None:
        self.population = population
        self.block = population.deal(lanes)
        self.shared = shared
        population.compile(self.block, shared)

    def _host(self, shards: list[Any]) -> Any:
        told = self.population.gather(shards, self.block.trials)
        return jax.tree.map(np.array, told)  # copies: a segment takes its states' memory over

    def initial(self) -> TrialState:
        """The states before the first step, NumPy arrays [trials, ...]."""
        state: TrialState = self._host(self.population.initialise(self.block, self.shared))
        return state

    def _shards(self, state: TrialState) -> list[Any]:
        """States on the devices; places without a trial repeat the first, and run no step."""
        places = self.population.width * len(self.block.lanes)
        count = self.block.trials
        index = np.where(np.arange(places) < count, np.arange(places), 0)
        return self.population.restore(jax.tree.map(lambda a: np.asarray(a)[index], state))

    def scores(self, state: TrialState, clean: bool = False) -> dict[str, np.ndarray]:
        """Metrics on the validation rows by name, float32[trials]; NaN where a trial diverged.

        Args:
            state: NumPy arrays [trials, ...].
            clean: score on uncorrupted inputs against uncorrupted targets.
        """
        shards = self._shards(state)
        return self.population.evaluate(self.block, self.shared, shards, VALIDATION, clean)

    def fingerprints(self, state: TrialState) -> np.ndarray:
        """uint32[trials, 2] of states, NumPy arrays [trials, ...], as a run's last ones are."""
        told = self.population.finish(self.block, self.shared, self._shards(state), VALIDATION)
        return told[1]

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        """The trials after `until` steps, from their states after `start` steps.

        Args:
            state: NumPy arrays [trials, ...], left as they are.

        Raises:
            ValueError: `until` lies before `start`.
        """
        if until < start:
            raise ValueError(f"steps go on from {start}, not back to {until}")
        shards, traces = self._shards(state), []
        for first in range(start, until, TRACE):
            last = min(first + TRACE, until)
            span = (np.int32(first), np.int32(last))

            def one(shard: int, span: Any = span, states: list[Any] = shards) -> Any:
                given = (self.block, self.shared, shard, states[shard], *span)
                return self.population.call("segment", *given)

            told = self.population.on_shards(one, self.block)
            shards = [state for state, _ in told]
            trace = self.population.gather([trace for _, trace in told], self.block.trials)
            traces.append(trace[:, : last - first])
        empty = np.zeros((self.block.trials, 0, 2), np.float32)
        return Stepped(self._host(shards), np.concatenate([empty, *traces], axis=1))
