"""A block's way from boundary to boundary: its order, what waits, and what an error leaves."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from helpers import trials as kit

from convergence.study import Study
from convergence.training.blocks import Cadence, Pace
from convergence.training.course import AHEAD, Course, Leg
from convergence.training.population import SHARD


def laid(seeds: int = 3) -> tuple[Course, Any, Study]:
    """A course of the small MLP's block with its first states."""
    runner = Study(kit.study("mlp", seeds), kit.dataset())
    population = kit.population("mlp", 0, 2)
    (group,) = runner.plan.groups
    block = population.deal(runner.plan.lanes(group, group.trials))
    course = Course(population, block, runner._shared(population))
    return course, population.initialise(block), runner


def always() -> bool:
    return True


LEGS = [Leg(k, k + 4, k == 4, k == 8) for k in range(0, 20, 4)]


def test_each_boundary_in_its_turn() -> None:
    """Protects the record: legs arrive in order, with what was asked for at each and no more."""
    course, states, _ = laid()
    passed = list(course.run(states, LEGS, always))
    assert [one.leg for one in passed] == LEGS
    for one in passed:
        assert one.trace.shape == (9, 4, 2)
        assert bool(one.scores) == one.leg.evaluates
        assert (one.whole is not None) == one.leg.saves
        alive = one.first_bad < 0
        assert np.all(one.steps[alive] == one.leg.until)
    whole = passed[2].whole
    assert whole.step.shape == (9 * SHARD,)  # nine trials are dealt out to nine shards
    assert np.array_equal(whole.step[:9], passed[2].steps)


def test_the_host_is_never_far_behind() -> None:
    """Protects memory: workers wait where the host does not take what they have ready."""
    course, states, _ = laid()
    begun: list[int] = []
    real = course._part

    def part(shard: int, leg: Leg, *rest: Any) -> Any:
        begun.append(leg.start)
        return real(shard, leg, *rest)

    course._part = part  # type: ignore[method-assign,assignment]
    run = course.run(states, LEGS, always)
    next(run)
    course.population.submit(lambda: None).result()  # what was submitted before has begun
    assert max(begun) <= LEGS[AHEAD].start
    assert len(list(run)) == len(LEGS) - 1
    assert max(begun) == LEGS[-1].start


def test_saves_when_it_is_time() -> None:
    """Protects speed and safety: legs that may save are asked each, and told whether they did."""
    course, states, _ = laid()
    legs = [leg._replace(saves=leg.start != 4) for leg in LEGS]
    answers = iter([True, False, True, False])
    passed = list(course.run(states, legs, lambda: next(answers)))
    assert [one.leg.saves for one in passed] == [True, False, False, True, False]
    assert [one.whole is not None for one in passed] == [one.leg.saves for one in passed]
    assert next(answers, None) is None


def test_pace_of_checkpoints() -> None:
    """Protects long runs: so many seconds from one checkpoint to the next, the first included."""
    now = iter([100.0, 109.9, 110.0, 110.1, 119.9, 125.0, 134.9])
    pace = Pace(10.0, lambda: next(now))
    assert [pace() for _ in range(6)] == [False, True, False, False, True, False]
    assert Pace(0.0, lambda: 1.0)()


def test_an_error_ends_it() -> None:
    """Protects the user: what goes wrong in a worker is told, and the workers are free again."""
    course, states, _ = laid()
    real, gate = course._part, threading.Event()

    def part(shard: int, leg: Leg, *rest: Any) -> Any:
        gate.wait(1)
        if leg.start == 4:
            raise RuntimeError("a worker's")
        return real(shard, leg, *rest)

    course._part = part  # type: ignore[method-assign,assignment]
    run = course.run(states, LEGS, always)
    gate.set()
    next(run)
    with pytest.raises(RuntimeError, match="a worker's"):
        list(run)
    assert course.population.submit(lambda: 7).result(timeout=60) == 7


def test_legs_are_cut_at_every_boundary() -> None:
    """Protects the cadence: legs join without a gap from what is done to the end."""
    cadence = Cadence(total=50, eval_every=20, checkpoint_every=15)
    legs = cadence.legs(0, saving=True)
    assert [(leg.start, leg.until) for leg in legs] == [
        (0, 15),
        (15, 20),
        (20, 30),
        (30, 40),
        (40, 45),
        (45, 50),
    ]
    assert [leg.until for leg in legs if leg.evaluates] == [20, 40, 50]
    assert [leg.until for leg in legs if leg.saves] == [15, 30, 45]
    assert cadence.legs(20, saving=False) == [leg._replace(saves=False) for leg in legs[2:]]
    assert cadence.legs(50, saving=True) == []
