"""Where two trials part, put together: interval, replay, cause, and what it all rests on."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import numpy as np

from convergence import spec
from convergence.difference import cause, scan, sides
from convergence.difference.arrays import core, same_bits
from convergence.difference.cause import Cause
from convergence.difference.runs import Records, Run, Stored, Walker, chained, recorded
from convergence.difference.scan import Interval
from convergence.difference.search import Found, Search
from convergence.difference.sides import Side
from convergence.errors import UserError
from convergence.reporting import provenance

OF_BITS = ("seed", "lanes")  # of how a study is run: what may reach a trial's bits
_MOST_ARMS = 5  # arms told by name


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """What is known of two runs.

    Attributes:
        interval: what their records allow; None where records are missing.
        found: what the replay showed; None where nothing was replayed, or where the replay does
            not repeat the records.
        cause: what made the difference; None where it was not asked.
        replayed: steps replayed of each run; `start`: the step that the replay began with.
        from_checkpoint: the replay went on from a kept checkpoint.
        misses: those of ``A`` and ``B`` whose records no replay repeats here.
        notes: sentences for the reader.
        alone: a run's records were held against the same run trained now.
    """

    interval: Interval | None
    found: Found | None = None
    cause: Cause | None = None
    start: int = 0
    replayed: int = 0
    from_checkpoint: bool = False
    misses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    alone: bool = False

    @property
    def unkept(self) -> bool:
        """Whether a checkpoint would have spared steps: it was replayed from the start."""
        known = self.interval is not None and self.interval.equal > 0
        return known and not self.from_checkpoint

    @property
    def same(self) -> bool:
        """Whether nothing at all differs."""
        if self.found is not None:
            return self.found.step is None
        return self.interval is not None and self.interval.differs is None


def same_stored(a: Stored, b: Stored) -> bool:
    """Whether two checkpoints agree in every bit of state and chain."""
    return same_bits((core(a.state), a.chain), (core(b.state), b.chain))


def known(a: Records | None, b: Records | None, steps_a: int, steps_b: int) -> Interval | None:
    """What two runs' records allow."""
    return None if a is None or b is None else scan.scan(a, b, steps_a, steps_b)


def of_runs(a: Run, b: Run) -> Finding:
    """The first difference of two runs that can both be replayed."""
    interval = known(a.records, b.records, a.steps, b.steps)
    if interval is not None:
        if interval.differs is None:
            return Finding(interval)
        interval = scan.narrowed(interval, a.stored, b.stored, same_stored)
    found = Search(a, b, interval or Interval(0, None)).found()
    about = (found.start, found.replayed, found.from_checkpoint, found.misses)
    if found.misses or (found.step is None and interval is not None):
        return Finding(interval, None, None, *about)
    why = None
    if found.effect is not None:
        why = cause.find(a, b, found.effect)
    elif found.kind == "inputs":
        why = Cause((), found.step or 0, tuple(one.path for one in found.arrays))
    return Finding(interval, found, why, *about)


class _Now:
    """A run trained now, step by step, its states at some steps on demand."""

    def __init__(self, run: Run) -> None:
        self._walker, self._run = Walker(run), run
        self._last: tuple[int, Stored] | None = None

    def at(self, step: int) -> Stored:
        if self._last is None or self._last[0] > step:
            begun = self._walker.initial()
            self._last = (0, Stored(begun, np.zeros(2, np.uint32)))
        start, stored = self._last
        told = self._walker.advance(stored.state, start, step)
        self._last = (step, Stored(told.state, chained(stored.chain, told, start)))
        return self._last[1]


def with_itself(run: Run) -> Finding:
    """The first difference between a run's records and the same run trained here now."""
    assert run.records is not None
    told = recorded(dataclasses.replace(run, stored={}), run.records)
    interval = scan.scan(run.records, told, run.steps, run.steps)
    if interval.differs is not None:
        now = _Now(run)
        again = {step: (lambda step=step: now.at(step)) for step in sorted(run.stored)}
        interval = scan.narrowed(interval, run.stored, again, same_stored)
    misses = () if interval.differs is None else ("A",)
    return Finding(interval, replayed=run.steps, misses=misses, alone=True)


def pair(a: Side, b: Side) -> tuple[int, int]:
    """The first trials of the same arm's name and seed whose records differ; else the first.

    Raises:
        UserError: the studies have no arm's name and seed in common.
    """
    both = sides.pairs(a, b)
    if not both:
        raise UserError(_nothing_in_common(a, b), "trial_a")
    for one, other in both:
        told = known(a.records_of(one), b.records_of(other), a.steps(one), b.steps(other))
        if told is None:
            break
        if told.differs is not None:
            return one, other
    return both[0]


def _nothing_in_common(a: Side, b: Side) -> str:
    """Two studies' arms and seeds, what else they differ in, and the flags that name two trials."""

    def has(side: Side) -> str:
        arms, (_, last) = side.study.arms, side.place(side.count - 1)
        named = ", ".join(arm.name for arm in arms[:_MOST_ARMS])
        more = f" and {len(arms) - _MOST_ARMS} more" if len(arms) > _MOST_ARMS else ""
        return f"{named}{more} (seeds {side.study.run.first_replica} to {last})"

    told = spec.differences(spec.to_json(a.saved.study), spec.to_json(b.saved.study))
    fields = [field for field, _, _ in told if field not in ("name", "question", "arms")]
    further = f"; they differ in {', '.join(fields)} too" if fields else ""
    names = ["{}/{}".format(*side.place(0)) for side in (a, b)]
    flags = shlex.join([f"--trial_a={names[0]}", f"--trial_b={names[1]}"])
    return (
        f"the studies have no arm and seed in common: A has {has(a)}, B {has(b)}{further}. Name a "
        f"trial of each, such as {flags}."
    )


def apart_in(a: Side, b: Side, one: int, other: int) -> list[tuple[str, Any, Any]]:
    """In what two trials' settings differ, and how their studies were run."""

    def told(side: Side, trial: int) -> dict[str, Any]:
        study = side.saved.study
        arm = study.arms[trial % len(study.arms)]
        own = dataclasses.asdict(arm) | {"vary": arm.vary or study.run.vary}
        own = {name: own[name] for name in ("vary", "twin", "draws", "order_epochs")}
        run = spec.to_json(study.run)
        run = {name: run[name] for name in OF_BITS}
        setting = spec.to_json(study.arm_setting(arm))
        return {"setting": setting, "replica": side.place(trial)[1], "arm": own, "run": run}

    return spec.differences(told(a, one), told(b, other))


def conditions(a: Side, b: Side | None) -> list[tuple[str, Any, Any]]:
    """In what the conditions differ under which two studies were trained, or one and now."""
    if b is not None:
        return provenance.drift(a.provenance, b.provenance)
    digest = a.dataset.digest if a.dataset is not None else ""
    return provenance.drift(
        a.provenance, provenance.collect(digest, a.provenance.get("user_files") or {})
    )


def of_sides(a: Side, b: Side | None, one: int, other: int) -> Finding:
    """Where two studies' trials part, or where a trial parts from itself trained here now.

    Raises:
        UserError: nothing is left to compare.
    """
    notes: list[str] = []
    for name, side in (("A", a), ("B", b)):
        if side is None:
            continue
        if side.changed:
            told = sides.rows_changed(side)
            notes.append(f"{name} cannot be replayed: {side.changed}. {told}".strip())
        if side.damaged:
            notes.append(f"{name} is compared without its records: {side.damaged}")
    opener = sides.Opener()
    if b is None:
        if a.count > 1:
            notes.append(f"This is one of {a.count} trials; scripts/verify.py takes several.")
        if not a.replayable or a.records is None:
            raise UserError(f"nothing is left to compare: {' '.join(notes)}", "workdir")
        return dataclasses.replace(with_itself(opener.run(a, one)), notes=tuple(notes))
    if one == other and a.saved.workdir.root.resolve() == b.saved.workdir.root.resolve():
        notes.append("A and B are one trial of one folder; leave B out to train it again now.")
    if a.dataset is not None and b.dataset is not None and a.replayable and b.replayable:
        if told := sides.rows_between(a.dataset, b.dataset):
            notes.append(told)
        runs = opener.run(a, one), opener.run(b, other)
        return dataclasses.replace(of_runs(*runs), notes=tuple(notes))
    interval = known(a.records_of(one), b.records_of(other), a.steps(one), b.steps(other))
    if interval is None:
        raise UserError(f"nothing is left to compare: {' '.join(notes)}", "workdir")
    return Finding(interval, notes=tuple(notes))
