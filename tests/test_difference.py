"""Where two runs part: interval, exact step, arrays and cause, held against planted truths."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import planted
from helpers.planted_differences import judged, judged_all
from hypothesis import given
from hypothesis import strategies as st

from convergence.difference import cause, inputs
from convergence.difference.arrays import compared, differences
from convergence.difference.finding import of_runs
from convergence.difference.runs import Records, Run, Walker, recorded
from convergence.difference.scan import scan
from convergence.difference.search import Meeting

SAMPLE = (
    ("data row", True, True),
    ("dropout key", True, False),
    ("bit", True, True),
    ("rate", True, True),
    ("swapped batches", True, True),
    ("optimiser state", False, True),
    ("bit", False, False),
)


@pytest.mark.parametrize(("kind", "replayable", "kept"), SAMPLE)
def test_planted_differences(kind: str, replayable: bool, kept: bool) -> None:
    """Protects the answer: the step is exact, the cause right, an interval holds the truth."""
    rng = np.random.default_rng([11, len(kind), replayable])
    told = judged(planted.case(kind, rng, replayable, kept, only="mlp"))
    assert told.step, (told.case.step, told.found.found, told.found.interval)
    assert told.cause, told.found.cause
    assert told.short
    assert told.found.from_checkpoint <= kept


@pytest.mark.slow
def test_all_planted_differences() -> None:
    """Protects the figures of BUILD_NOTES: 60 cases replayed, 20 that cannot be."""
    answers = list(judged_all(60, 20))
    assert sum(one.step for one in answers if one.case.replayable) == 60
    assert sum(one.cause for one in answers if one.case.replayable) >= 57
    assert sum(one.step for one in answers if not one.case.replayable) == 20
    assert all(one.short for one in answers)


def test_nothing_planted() -> None:
    """Protects from a false alarm, and the replay from giving other records than the run's."""
    walked = planted.plain("mlp", True)
    found = of_runs(walked.run, dataclasses.replace(walked.run, stored={}))
    assert found.same
    assert found.replayed == 0
    again = recorded(walked.run, walked.run.records)
    assert scan(walked.run.records, again, planted.STEPS, planted.STEPS).differs is None
    blind = dataclasses.replace(walked.run, records=None)
    assert of_runs(blind, blind).same


def test_without_records_the_step_is_found_all_the_same() -> None:
    """Protects whoever lost the fingerprints: the replay alone finds step and cause."""
    one = planted.case("rate", np.random.default_rng(3), True, False, only="mlp")
    bare = [dataclasses.replace(run, records=None) for run in (one.a, one.b)]
    found = of_runs(*bare)
    assert found.found is not None
    assert found.found.step == one.step
    assert found.cause is not None
    assert set(found.cause.names) <= one.causes


def test_two_causes_are_both_named() -> None:
    """Protects from half an answer: where no swap alone is enough, the fewest together are."""
    part = planted.base("mlp")
    lane = part.lane
    keys = lane.keys | {"dropout": lane.keys["dropout"] ^ np.uint32(1)}
    hyper = lane.hyper | {"learning_rate": np.float32(0.02), "huber_delta": np.float32(3)}
    other = part._replace(lane=lane._replace(keys=keys, hyper=hyper))
    a, b = Run(planted.STEPS, (part,)), Run(planted.STEPS, (other,))
    found = of_runs(a, b)
    assert found.found is not None
    assert (found.found.step, found.found.kind) == (0, "inputs")
    paths = [one.path.split("[")[0] for one in found.found.arrays]
    assert paths == ["hyperparameters/huber_delta", "dropout key", "learning rate"]
    assert found.cause is not None
    assert found.cause.names == ("dropout key", "learning_rate")  # huber_delta does nothing here


def test_a_cause_that_no_swap_shows() -> None:
    """Protects from a made-up cause: states of other forms are not swapped."""
    run = planted.plain("mlp", False).run
    state = Walker(run).initial()
    other = state._replace(order=state.order[:, :-1])
    assert cause.find(run, run, Meeting(0, state, other)).names == ()


def test_inputs_are_those_of_the_steps() -> None:
    """Protects the scan of inputs: the order drawn on the host is the one that the steps used."""
    run = planted.plain("mlp", False).run
    walker = Walker(run)
    state = walker.initial()
    for step in range(20):
        state = walker.advance(state, step, step + 1).state
        assert np.array_equal(state.order[0], inputs.order_at(run, step))


def test_arrays_are_told_by_place_and_count() -> None:
    """Protects the reader: first place, both values, how many; a zero's sign and NaN are bits."""
    a = np.zeros((3, 4), np.float32)
    b = a.copy()
    b[1, 2], b[2, 3] = -0.0, 1.5
    (one,) = differences({"x": a, "same": a}, {"x": b, "same": a})
    assert (one.path, one.a, one.b, one.count, one.size) == ("x[1, 2]", "0", "-0", 2, 12)
    nan = np.full(3, np.nan, np.float32)
    assert compared(nan, nan.copy(), "x") is None
    assert compared(np.float32(1), np.float32(2), "rate").path == "rate"
    assert compared(a, a[:2], "x").a == "float32[3, 4]"


def records(every: int, steps: int, apart: set[int], seen: set[int]) -> Records:
    """Records of a run that is another after some numbers of steps, other losses at some."""
    count = steps // every if every else 0
    chain = np.zeros((steps + 1, 2), np.uint32)
    state = np.zeros((steps + 1, 2), np.uint32)
    for done in range(1, steps + 1):
        chain[done] = chain[done - 1] + (7919 * done if done - 1 in seen else 1)
        state[done] = (done, done in apart)
    at = [every * (k + 1) for k in range(count)]
    powers = [0, *(2**k for k in range(steps.bit_length()))]
    sketches = np.zeros((len(powers), 64), np.float32)
    for place, done in enumerate(powers):
        sketches[place] = done + (0.5 if done in apart else 0)
    return Records(every, state[at], chain[at], state[-1], chain[-1], sketches)


@given(
    steps=st.integers(1, 60),
    every=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    extra=st.integers(0, 5),
    place=st.floats(0, 0.999),
    length=st.integers(1, 60),
    delay=st.integers(0, 5),
)
def test_the_interval_holds_the_first_difference(
    steps: int, every: tuple[int, int], extra: int, place: float, length: int, delay: int
) -> None:
    """Protects the scan: whenever a difference begins, is seen and heals, its step is inside."""
    first = int(place * steps)
    apart = set(range(first + 1, min(first + length, steps + extra) + 1))
    seen = set(range(first + delay, first + length))
    a = records(every[0], steps, set(), set())
    b = records(every[1], steps + extra, apart, seen)
    found = scan(a, b, steps, steps + extra)
    if found.differs is None:
        assert extra == 0  # it healed unseen
    elif found.by != ("length",):
        assert found.first <= first <= found.last


def test_a_healed_difference_is_seen_in_the_chain() -> None:
    """Protects from halving: the marks agree before and after, only the chain tells."""
    a = records(5, 40, set(), set())
    b = records(5, 40, {12, 13}, {12})
    found = scan(a, b, 40, 40)
    assert (found.first, found.last, found.by, found.healed) == (10, 14, ("chain",), True)


def test_records_cut_short_are_scanned_as_far_as_they_go() -> None:
    """Protects from an error on the way: fewer chains than marks, no marks at all."""
    a, b = records(5, 40, set(), set()), records(5, 40, set(range(23, 41)), set())
    short = dataclasses.replace(b, chains=b.chains[:2])
    assert (scan(a, short, 40, 40).differs) == 32  # the sketch
    none = records(0, 40, set(range(23, 41)), set())
    assert scan(a, none, 40, 40).first == 0
