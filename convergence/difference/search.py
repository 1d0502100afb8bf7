"""Two runs replayed side by side until they part: the exact step and everything that differs there.

They are taken in stretches of several steps; only the first stretch that ends apart, or whose
losses or gradient norms differ somewhere, is taken again step by step.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, Literal

import numpy as np

from convergence.difference import inputs
from convergence.difference.arrays import (
    ArrayDifference,
    compared,
    core,
    differences,
    named,
    same_bits,
)
from convergence.difference.runs import Run, Stored, Walker, chained, fingerprint
from convergence.difference.scan import Interval
from convergence.training.state import TrialState

STRETCH = 64  # steps taken at once while nothing differs
Kind = Literal["inputs", "state", "outcome", "length"]


@dataclasses.dataclass(frozen=True, eq=False)
class Meeting:
    """Two runs at one step: their states before it, as the step begins with them.

    Attributes:
        step: its index.
        a, b: states, NumPy arrays [1, ...].
    """

    step: int
    a: TrialState
    b: TrialState


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What a replay showed.

    Attributes:
        step: index of the first step at which anything differs; None where nothing did.
        kind: whether other ``inputs`` enter it, the ``state`` before it differs although all steps
            before were the same, or the same inputs and state give another ``outcome``; or one run
            ends there (``length``).
        arrays: what differs: of the first kind that applies.
        effect: the step whose outcome (or state) differs first, with the states before it; None
            where none did in the steps replayed.
        start: the step that the replay began with; 0: from the start.
        replayed: steps replayed of each run.
        from_checkpoint: it went on from a kept checkpoint.
        misses: names of those runs whose records the replay does not repeat.
    """

    step: int | None
    kind: Kind | None
    arrays: tuple[ArrayDifference, ...]
    effect: Meeting | None
    start: int
    replayed: int
    from_checkpoint: bool
    misses: tuple[str, ...]


def begin(a: Run, b: Run, at_most: int) -> tuple[int, Stored, Stored] | None:
    """The newest kept checkpoint at or before a step: of both runs, or where one kept none, of one.

    A run that is known to agree with the other up to there may go on from the other's.
    """
    steps = {step for step in a.stored.keys() | b.stored.keys() if step <= at_most}
    for step in sorted(steps, reverse=True):
        told = []
        for run in (a, b):
            if step in run.stored:
                with contextlib.suppress(ValueError):  # a damaged one tells nothing
                    told.append(run.stored[step]())
        if told:
            return step, told[0], told[-1]
    return None


class Search:
    """Replays two runs within an interval.

    Args:
        a, b: the runs.
        interval: what is known of them: the replay begins at or before its `equal` and ends at its
            `differs` (or with the shorter run).
    """

    def __init__(self, a: Run, b: Run, interval: Interval) -> None:
        self.a, self.b = a, b
        self.interval = interval
        self.walkers = (Walker(a), Walker(b))
        common = min(a.steps, b.steps)
        self.until = common if interval.differs is None else min(interval.differs, common)

    def found(self) -> Found:
        """What the replay shows."""
        kept = begin(self.a, self.b, self.interval.equal)
        if kept is None:
            start = 0
            states = [walker.initial() for walker in self.walkers]
            chains = [np.zeros(2, np.uint32)] * 2
        else:
            start = kept[0]
            states, chains = [k.state for k in kept[1:]], [k.chain for k in kept[1:]]
        effect, arrays, ends, sums = self._parted(states, chains, start)
        misses = tuple(
            name
            for name, run, state, chain in zip("AB", (self.a, self.b), ends, sums)
            if not self._repeats(run, state, chain)
        )
        told = inputs.first_difference(self.a, self.b)
        step, kind = (effect.step, self._kind_of(effect)) if effect else (None, None)
        if told is not None and (step is None or told < step or (told == step and kind != "state")):
            step, kind, arrays = told, "inputs", self._inputs_apart(told, effect)
        elif told is not None and told == step:
            arrays = (*self._inputs_apart(told, effect), *arrays)
        if step is None and self.a.steps != self.b.steps:
            step, kind = min(self.a.steps, self.b.steps), "length"
            arrays = (ArrayDifference("steps", str(self.a.steps), str(self.b.steps), 1, 1),)
        replayed = self.until - start
        return Found(step, kind, arrays, effect, start, replayed, kept is not None, misses)

    def _kind_of(self, effect: Meeting) -> Kind:
        return "outcome" if same_bits(core(effect.a), core(effect.b)) else "state"

    def _inputs_apart(self, step: int, effect: Meeting | None) -> tuple[ArrayDifference, ...]:
        # At an epoch's first step the states still hold the order before it.
        orders: list[Any] = [inputs.order_at(run, step) for run in (self.a, self.b)]
        control = [1.0, 1.0]
        if effect is not None and effect.step == step:
            control = [float(state.plateau.control[0]) for state in (effect.a, effect.b)]
            if step % inputs.per_epoch(self.a.part(step)):
                orders = [state.order[0] for state in (effect.a, effect.b)]
        told = [
            inputs.at_step(run, step, order, one)
            for run, order, one in zip((self.a, self.b), orders, control)
        ]
        return tuple(inputs.differing(*told))

    def _parted(
        self, states: list[TrialState], chains: list[np.ndarray], start: int
    ) -> tuple[Meeting | None, tuple[ArrayDifference, ...], list[TrialState], list[np.ndarray]]:
        """The first step that differs in state or outcome; states and chains at the end."""
        effect: Meeting | None = None
        arrays: tuple[ArrayDifference, ...] = ()
        at = start
        while at < self.until or (at == start and effect is None):
            end = min(at + STRETCH, self.until)
            told = [w.advance(s, at, end) for w, s in zip(self.walkers, states)]
            begun = [w.before(s, at) for w, s in zip(self.walkers, states)]
            apart = not same_bits(core(begun[0]), core(begun[1])) or not (
                same_bits(told[0].trace, told[1].trace)
                and same_bits(core(told[0].state), core(told[1].state))
            )
            if effect is None and apart:
                effect, arrays = self._refined(states, at, end)
            chains = [chained(c, t, at) for c, t in zip(chains, told)]
            states = [one.state for one in told]
            if end == at:
                break
            at = end
        return effect, arrays, states, chains

    def _refined(
        self, states: list[TrialState], first: int, last: int
    ) -> tuple[Meeting, tuple[ArrayDifference, ...]]:
        """The first of a stretch's steps that differs, found by taking them one by one."""
        packing = [run.part(first).population.program.algorithm.packing for run in (self.a, self.b)]

        def apart(pair: list[TrialState]) -> tuple[ArrayDifference, ...]:
            return tuple(differences(*(named(s, p) for s, p in zip(pair, packing))))

        for step in range(first, max(last, first + 1)):
            begun = [w.before(s, step) for w, s in zip(self.walkers, states)]
            meeting = Meeting(step, *begun)
            if not same_bits(core(begun[0]), core(begun[1])):
                return meeting, apart(begun)
            told = [w.advance(s, step, step + 1) for w, s in zip(self.walkers, states)]
            traces = [one.trace[0, 0] for one in told]
            lines = [
                compared(traces[0][k], traces[1][k], name)
                for k, name in enumerate(("loss", "gradient norm"))
            ]
            states = [one.state for one in told]
            if any(lines) or not same_bits(core(states[0]), core(states[1])):
                return meeting, (*(line for line in lines if line), *apart(states))
        raise AssertionError("a stretch that ended apart has no step that differs")

    def _repeats(self, run: Run, state: TrialState, chain: np.ndarray) -> bool:
        """Whether the replay's end is what the run's records tell, as far as they tell of it."""
        records = run.records
        if records is None:
            return True
        at = self.until
        told: list[tuple[Any, Any]] = []
        if at == run.steps:
            told += [(records.fingerprint, fingerprint(state)), (records.chain, chain)]
        if records.every and at and at % records.every == 0:
            mark = at // records.every - 1
            if mark < len(records.marks):
                told += [(records.marks[mark], fingerprint(state)), (records.chains[mark], chain)]
        sketched = 0 if at == 0 else at.bit_length()
        if at & (at - 1) == 0 and sketched < len(records.sketches):
            told.append((records.sketches[sketched], state.record.sketches[0][sketched]))
        if at in run.stored:
            kept = run.stored[at]()
            told += [(kept.chain, chain), (fingerprint(kept.state), fingerprint(state))]
        return all(same_bits(was, now) for was, now in told)
