"""A run as it can be taken through its steps again: what trains it, what it left, what is kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from convergence.training.curve import links
from convergence.training.population import Population
from convergence.training.state import TRACE, Lane, Shared, TrialState
from convergence.training.stepper import Stepped, Stepper
from convergence.training.trial import final_fingerprint


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """The digests that a run left.

    Attributes:
        every: steps between marks; 0 for none.
        marks: uint32[marks, 2]: fingerprints after every, 2 every, … steps.
        chains: uint32[marks, 2]: the chain over all steps so far, at the same steps.
        fingerprint, chain: uint32[2]: both where the run ended.
        sketches: float32[sketches, 64]: of the params after 0, 1, 2, 4, … steps.
    """

    every: int
    marks: np.ndarray
    chains: np.ndarray
    fingerprint: np.ndarray
    chain: np.ndarray
    sketches: np.ndarray


class Stored(NamedTuple):
    """A kept checkpoint of a run: its state, NumPy arrays [1, ...], and uint32[2] its chain."""

    state: TrialState
    chain: np.ndarray


class Part(NamedTuple):
    """What trains a run from one of its steps on: program, inputs, and what all trials read."""

    first: int
    population: Population
    lane: Lane
    shared: Shared  # NumPy arrays


Edit = Callable[[TrialState], TrialState]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run that can be replayed.

    Attributes:
        steps: its length.
        parts: what trains it, by first step; the first part's is 0. A finished study's run has one.
        records: its digests; None where they are missing.
        stored: its kept checkpoints, by the steps done before each.
        edits: changes of the state before some steps (a finished study's run has none).
    """

    steps: int
    parts: tuple[Part, ...]
    records: Records | None = None
    stored: Mapping[int, Callable[[], Stored]] = dataclasses.field(default_factory=dict)
    edits: Mapping[int, Edit] = dataclasses.field(default_factory=dict)

    def part(self, step: int) -> Part:
        """What trains the step of this index."""
        return [part for part in self.parts if part.first <= step][-1]


class Walker:
    """Takes a run through its steps, from any state, in the executables that trained it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._steppers: dict[int, Stepper] = {}

    def _stepper(self, part: Part) -> Stepper:
        if part.first not in self._steppers:
            self._steppers[part.first] = stepper(part)
        return self._steppers[part.first]

    def initial(self) -> TrialState:
        """The state before the first step, arrays [1, ...], and before any edit of it."""
        return self._stepper(self.run.parts[0]).initial()

    def before(self, state: TrialState, step: int) -> TrialState:
        """The state that a step begins with, from the one that the step before left."""
        edit = self.run.edits.get(step)
        return edit(state) if edit else state

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        """The state after `until` steps, from the one that step ``start - 1`` left."""
        stops = {part.first for part in self.run.parts} | set(self.run.edits)
        cuts = [start, *sorted(stop for stop in stops if start < stop < until), until]
        traces = [np.zeros((1, 0, 2), np.float32)]
        for first, last in itertools.pairwise(cuts):
            if first == last:
                continue
            told = self._stepper(self.run.part(first)).advance(
                self.before(state, first), first, last
            )
            state = told.state
            traces.append(told.trace)
        return Stepped(state, np.concatenate(traces, axis=1))


def stepper(part: Part) -> Stepper:
    """Takes one trial through steps of a part."""
    return Stepper(part.population, [part.lane], part.population.replicate(part.shared))


def chained(chain: np.ndarray, told: Stepped, start: int) -> np.ndarray:
    """uint32[2]: a chain after some more steps, from its value after `start`."""
    done = int(told.state.step[0])
    trace = told.trace[:, : max(0, done - start)]  # a trial that has ended adds nothing
    parts = links(trace[..., 0], trace[..., 1], start)
    return chain + parts.sum(axis=(0, 1), dtype=np.uint32)


_FINGERPRINT = jax.jit(final_fingerprint)


def fingerprint(state: TrialState) -> np.ndarray:
    """uint32[2]: the digest of a state [1, ...] of a trial."""
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], state)
    return np.asarray(_FINGERPRINT(one._replace(record=())))


def recorded(run: Run, like: Records) -> Records:
    """The records that a run leaves here, from its first step to its last, of the form of others.

    Args:
        run: trained alone, step counts as they fall.
        like: how many marks and sketches are wanted, and how far apart.
    """
    walker, chain = Walker(run), np.zeros(2, np.uint32)
    state, start = walker.initial(), 0
    every, wanted = like.every, len(like.marks)
    chains = np.zeros((wanted, 2), np.uint32)
    stops = {run.steps, *range(TRACE, run.steps, TRACE)}
    stops |= {every * (k + 1) for k in range(wanted) if every * (k + 1) <= run.steps}
    for stop in sorted(stops):
        told = walker.advance(state, start, stop)
        chain = chained(chain, told, start)
        state, start = told.state, stop
        if every and stop % every == 0 and stop // every <= wanted:
            chains[stop // every - 1] = chain
    for mark in range(run.steps // every if every else 0, wanted):
        chains[mark] = chain  # a shorter trial's chain stays as it ended
    return Records(
        every,
        np.asarray(state.record.marks[0])[:wanted],
        chains,
        fingerprint(state),
        chain,
        np.asarray(state.record.sketches[0])[: len(like.sketches)],
    )
