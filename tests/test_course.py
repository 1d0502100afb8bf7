"""A block's way from boundary to boundary: its order, what waits, and what an error leaves."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import trials as kit

from convergence.reporting.workdir import Workdir
from convergence.spec import to_json
from convergence.study import Machine, Study
from convergence.training import blocks
from convergence.training.blocks import Cadence, Timer
from convergence.training.course import AHEAD, Course, Segment
from convergence.training.population import SHARD


def laid(seeds: int = 3) -> tuple[Course, Any, Study]:
    """A course of the small MLP's block with its first states."""
    runner = Study(kit.study("mlp", seeds), kit.dataset())
    population = kit.population("mlp", 0, 2)
    (group,) = runner.plan.groups
    block = population.deal(runner.plan.lanes(group, group.trials))
    shared = runner.shared(population)
    course = Course(population, block, shared)
    return course, population.initialise(block, shared), runner


def always() -> bool:
    return True


SEGMENTS = [Segment(k, k + 4, k == 4, k == 8) for k in range(0, 20, 4)]


def test_each_boundary_in_its_turn() -> None:
    """Protects the record: segments arrive in order, with what was asked for and no more."""
    course, states, _ = laid()
    passed = list(course.run(states, SEGMENTS, always))
    assert [one.segment for one in passed] == SEGMENTS
    for one in passed:
        assert one.trace.shape == (9, 4, 2)
        assert bool(one.scores) == one.segment.evaluates
        assert (one.whole is not None) == one.segment.saves
        alive = one.first_bad < 0
        assert np.all(one.steps[alive] == one.segment.until)
    whole = passed[2].whole
    assert whole.step.shape == (9 * SHARD,)  # nine trials are dealt out to nine shards
    assert np.array_equal(whole.step[:9], passed[2].steps)


def test_the_host_is_never_far_behind() -> None:
    """Protects memory: workers wait where the host does not take what they have ready."""
    course, states, _ = laid()
    begun: list[int] = []
    real = course._part

    def part(shard: int, segment: Segment, *rest: Any) -> Any:
        begun.append(segment.start)
        return real(shard, segment, *rest)

    course._part = part  # type: ignore[method-assign,assignment]
    run = course.run(states, SEGMENTS, always)
    next(run)
    course.population.submit(lambda: None).result()  # what was submitted before has begun
    assert max(begun) <= SEGMENTS[AHEAD].start
    assert len(list(run)) == len(SEGMENTS) - 1
    assert max(begun) == SEGMENTS[-1].start


def test_saves_when_it_is_time() -> None:
    """Protects speed and safety: each that may save is asked once, and told whether they did."""
    course, states, _ = laid()
    segments = [one._replace(saves=one.start != 4) for one in SEGMENTS]
    answers = iter([True, False, True, False])
    passed = list(course.run(states, segments, lambda: next(answers)))
    assert [one.segment.saves for one in passed] == [True, False, False, True, False]
    assert [one.whole is not None for one in passed] == [one.segment.saves for one in passed]
    assert next(answers, None) is None


def test_timer_of_checkpoints() -> None:
    """Protects long runs: so many seconds from one checkpoint to the next, the first included."""
    now = iter([100.0, 109.9, 110.0, 110.1, 119.9, 125.0, 134.9])
    timer = Timer(10.0, lambda: next(now))
    assert [timer() for _ in range(6)] == [False, True, False, False, True, False]
    assert Timer(0.0, lambda: 1.0)()


def test_an_error_ends_it() -> None:
    """Protects the user: what goes wrong in a worker is told, and the workers are free again."""
    course, states, _ = laid()
    real, gate = course._part, threading.Event()

    def part(shard: int, segment: Segment, *rest: Any) -> Any:
        gate.wait(1)
        if segment.start == 4:
            raise RuntimeError("a worker's")
        return real(shard, segment, *rest)

    course._part = part  # type: ignore[method-assign,assignment]
    run = course.run(states, SEGMENTS, always)
    gate.set()
    next(run)
    with pytest.raises(RuntimeError, match="a worker's"):
        list(run)
    assert course.population.submit(lambda: 7).result(timeout=60) == 7


def test_a_caller_that_fails_stops_it() -> None:
    """Protects what follows a full disk: workers do not train on for a study that has ended."""
    course, states, _ = laid()
    begun: list[int] = []
    real = course._part

    def part(shard: int, segment: Segment, *rest: Any) -> Any:
        begun.append(segment.start)
        return real(shard, segment, *rest)

    course._part = part  # type: ignore[method-assign,assignment]

    def full(passed: Any) -> None:
        raise OSError("no space left")

    held: list[BaseException] = []
    try:
        with contextlib.closing(course.run(states, SEGMENTS, always)) as boundaries:
            for passed in boundaries:
                full(passed)
    except OSError as error:
        held.append(error)  # and with it all frames, as where a report is drawn of the failure
    course.population.submit(lambda: None).result()
    count = len(begun)
    assert held
    assert max(begun) <= SEGMENTS[AHEAD].start
    course.population.submit(lambda: None).result()
    assert len(begun) == count


def test_all_shards_save_or_none() -> None:
    """Protects checkpoints: time is asked for once a segment, at its first shard's end."""
    course, states, _ = laid()
    segments = [one._replace(saves=True) for one in SEGMENTS]
    answers = itertools.cycle([True, False])
    asked: list[int] = []

    def due() -> bool:
        asked.append(1)
        return next(answers)

    passed = list(course.run(states, segments, due))
    assert [one.segment.saves for one in passed] == [True, False, True, False, True]
    assert len(asked) == len(segments)


def test_time_leaves_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the default: a study that is given no cadence leaves checkpoints as time goes by."""
    monkeypatch.setattr(blocks, "CHECKPOINT_SECONDS", 1e-9)
    spec, dataset = kit.study("mlp", 3), kit.dataset()
    assert spec.run.checkpoint_every == 0
    about = {"data_digest": dataset.digest}
    workdir = Workdir.prepare(tmp_path / "s", to_json(spec), about, command=["x"])
    runner = Study(spec, dataset, Machine.here(2), workdir=workdir)
    saved: list[int] = []
    assert runner.store is not None
    monkeypatch.setattr(
        runner.store, "save_checkpoint", lambda block, step, arrays: saved.append(step)
    )
    runner.run()
    boundaries = runner.cadence.boundaries()
    assert len(boundaries) > 1
    assert saved == boundaries[:-1]


def test_segments_are_cut_at_every_boundary() -> None:
    """Protects the cadence: segments join without a gap from what is done to the end."""
    cadence = Cadence(total=50, eval_every=20, checkpoint_every=15)
    segments = cadence.segments(0, saving=True)
    assert [(one.start, one.until) for one in segments] == [
        (0, 15),
        (15, 20),
        (20, 30),
        (30, 40),
        (40, 45),
        (45, 50),
    ]
    assert [one.until for one in segments if one.evaluates] == [20, 40, 50]
    assert [one.until for one in segments if one.saves] == [15, 30, 45]
    assert cadence.segments(20, saving=False) == [one._replace(saves=False) for one in segments[2:]]
    assert cadence.segments(50, saving=True) == []
