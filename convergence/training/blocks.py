"""The host's loop over a block of trials: segments, evaluations, checkpoints, and the record.

Nothing here decides a bit of the training: boundaries are where the host looks, not where the
program changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from convergence.training import checkpoint
from convergence.training.population import TEST, TRAIN, VALIDATION, Population
from convergence.training.state import BINS, MARKS, RAW_STEPS, SKETCHES, Lane, Shared


@dataclasses.dataclass(frozen=True)
class Cadence:
    """When the host looks: steps in all, between evaluations, checkpoints and other returns."""

    total: int
    eval_every: int
    checkpoint_every: int  # 0: never
    segment: int = 0  # 0: only at evaluations and checkpoints

    def boundaries(self) -> list[int]:
        """Ascending steps at which the host takes over; the last is `total`."""
        stops = {self.total}
        for every in (self.eval_every, self.checkpoint_every, self.segment):
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
        """Whether this boundary leaves a checkpoint."""
        return 0 < step < self.total and bool(
            self.checkpoint_every and step % self.checkpoint_every == 0
        )


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


def bin_width(total: int) -> int:
    """Steps in one bin of the recorded curve of a run of `total` steps."""
    return max(1, -(-(total - RAW_STEPS) // BINS))


class BlockRun:
    """Runs one block of trials from its lanes to its records.

    Args:
        population: the compiled program.
        lanes: one Lane a trial, at most `population.lanes`.
        shared: arrays on the devices (`Population.shared_sharding`).
        cadence: when the host looks.
        want: what is computed beside the training.
        index: the block's number, for its checkpoints.
        store: where checkpoints go, or None.
        progress: called at each boundary with (steps done, trials diverged).
    """

    def __init__(
        self,
        population: Population,
        lanes: Sequence[Lane],
        shared: Shared,
        cadence: Cadence,
        want: Want,
        index: int = 0,
        store: Store | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.population = population
        self.count = len(lanes)
        idle = lanes[0]._replace(steps=np.zeros((), np.int32))
        self.lanes = population.spread([*lanes, *[idle] * (population.lanes - len(lanes))])
        self.counts = jax.device_put(population.counts(self.count), population.lane_sharding)
        self.shared = shared
        self.cadence = cadence
        self.want = want
        self.index = index
        self.store = store
        self.progress = progress or (lambda step, diverged: None)
        self.evaluations: list[dict[str, np.ndarray]] = []

    def _metrics(self, state: Any, which: int, clean: bool) -> dict[str, np.ndarray]:
        told = self.population.evaluate(
            self.lanes, self.shared, self.counts, state, np.int32(which), np.bool_(clean)
        )
        return self.population.gather(told, self.count)

    def _evaluation(self, state: Any) -> dict[str, np.ndarray]:
        told = {f"validation/{k}": v for k, v in self._metrics(state, VALIDATION, False).items()}
        if self.want.clean:
            clean = self._metrics(state, VALIDATION, True)
            told |= {f"clean/{k}": v for k, v in clean.items()}
        return told

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
                found, extra = checkpoint.unpack(read(), state)
            except (checkpoint.DamagedCheckpoint, OSError, ValueError) as error:
                assert self.store is not None
                self.store.damaged(self.index, step, str(error))
                continue
            done = sum(1 for mark in self.cadence.eval_steps() if mark <= step)
            self.evaluations = [
                {name.removeprefix("eval/"): values[:, k] for name, values in extra.items()}
                for k in range(done)
            ]
            return step, jax.device_put(found, self.population.lane_sharding)
        return 0, state

    def run(self) -> dict[str, np.ndarray]:
        """Trains the block to its end; arrays of its records by name, leading axis trials."""
        return self._records(self.train())

    def train(self) -> Any:
        """Trains the block to its end; the lanes' states, on the devices."""
        population = self.population
        state = population.initialise(self.lanes, self.counts)
        done, state = self._resume(state)
        if done == 0:
            self.evaluations = [self._evaluation(state)]
        for stop in self.cadence.boundaries():
            if stop <= done:
                continue
            state = population.segment(
                self.lanes, self.shared, self.counts, state, np.int32(done), np.int32(stop)
            )
            done = stop
            if self.cadence.evaluates(stop):
                self.evaluations.append(self._evaluation(state))
            if self.store and self.cadence.saves(stop):
                self.store.save_checkpoint(
                    self.index, stop, checkpoint.pack(state, self._stacked())
                )
            diverged = int((population.gather(state.first_bad, self.count) >= 0).sum())
            self.progress(stop, diverged)
        return state

    def _records(self, state: Any) -> dict[str, np.ndarray]:
        population, total = self.population, self.cadence.total
        which = TEST if self.want.test else VALIDATION
        tables, words = population.finish(
            self.lanes, self.shared, self.counts, state, np.int32(which)
        )
        record = population.gather(state.record, self.count)
        bins = min(BINS, -(-max(0, total - RAW_STEPS) // bin_width(total)))
        every = int(np.asarray(self.shared.fingerprint_every))
        marks = min(MARKS, total // every) if every else 0
        sketches = min(SKETCHES, 1 + int(total).bit_length())
        arrays = {
            "first_bad": population.gather(state.first_bad, self.count),
            "steps_done": population.gather(state.step, self.count),
            "control": population.gather(state.plateau.control, self.count),
            "fingerprint": population.gather(words, self.count),
            "chain": record.chain,
            "marks": record.marks[:, :marks],
            "chains": record.chains[:, :marks],
            "sketches": record.sketches[:, :sketches],
            "raw": record.raw[:, : min(RAW_STEPS, total)],
            "bin_sum": record.bin_sum[:, :bins],
            "bin_min": record.bin_min[:, :bins],
            "bin_max": record.bin_max[:, :bins],
            "bin_improving": record.bin_improving[:, :bins],
            **self._stacked(),
        }
        scores = {"train": self._metrics(state, TRAIN, False)}
        if self.want.test:
            scores["test"] = self._metrics(state, TEST, True)
        for split, told in scores.items():
            arrays |= {f"final/{split}/{name}": values for name, values in told.items()}
        if self.want.predictions:
            arrays["predictions"] = population.gather(tables, self.count)
        return arrays
