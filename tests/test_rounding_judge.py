"""The judge, on courses made by hand: what is rounding there, and what a bug, is known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from convergence.analysis import rounding
from convergence.analysis.rounding import judge, judge_sketches, verdict_of
from convergence.analysis.trajectory import OFFSETS, Envelope, Trajectory, envelope_of

STEPS = np.array(OFFSETS)
SIZES = {"bias": 6, "kernel": 200}
GROWTH = 1.15  # a step: by 64 steps a difference has grown 7,600-fold
LARGEST = 0.1
TRIALS = 4


def run(
    noise: float, seed: int, bug: float = 0.0, where: str = "kernel", growth: float = GROWTH
) -> Trajectory:
    """Params that go steadily one way, with a growing random walk around it and a bug's drift.

    Args:
        noise: last bits moved each step, in units in the last place.
        bug: of each step's update in one leaf, the share by which it is wrong.
        growth: of a difference, each step, until it is as large as `LARGEST`.
    """
    draws, common = np.random.default_rng([7, seed]), np.random.default_rng(5)
    values = []
    for leaf, size in SIZES.items():
        x = np.zeros((TRIALS, size)) if leaf == "bias" else common.normal(size=(TRIALS, size)) / 10
        way = common.normal(size=(TRIALS, size)) / 1000
        error, drift, table = np.zeros_like(x), 0.0, []
        for step in range(int(STEPS[-1]) + 1):
            if step in STEPS:
                apart = error + drift * way
                apart = apart / (1 + np.abs(apart) / LARGEST)
                table.append((x + step * way + apart).astype(np.float32))
            last = np.spacing(np.abs(x + (step + 1) * way).astype(np.float32))
            error = growth * error + noise * last * draws.normal(size=x.shape)
            drift = growth * drift + (bug if leaf == where else 0.0)
        values.append(np.stack(table, axis=1))
    return Trajectory(
        trials=np.arange(TRIALS),
        starts=np.zeros(TRIALS, np.int64),
        offsets=STEPS,
        done=np.tile(STEPS, (TRIALS, 1)),
        leaves=tuple(SIZES),
        values=tuple(values),
        sketches=sketched(values),
        first=np.full(TRIALS, -1),
    )


def sketched(values: list[np.ndarray]) -> np.ndarray:
    """64 sums with random signs, at steps 0, 1, 2, 4, …; the last two marks were not reached."""
    flat = np.concatenate(values, axis=2)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], size=(64, flat.shape[2]))
    keep = np.random.default_rng(2).integers(64, size=flat.shape[2]) == np.arange(64)[:, None]
    marks = [int(np.flatnonzero(s == STEPS)[0]) for s in (0, 1, 2, 4, 8, 16, 32, 64)]
    there = flat[:, marks] @ (signs * keep).T
    return np.concatenate([there, np.zeros((TRIALS, 2, 64))], axis=1).astype(np.float32)


A = run(0.0, 0)


def around(noise: float = 1.0) -> Envelope:
    return envelope_of(A, [run(noise, seed) for seed in range(100, 104)], noise, "by hand")


def test_rounding_is_called_rounding() -> None:
    """Protects against false alarms: 200 runs that round anew, some thrice as coarsely."""
    span = around()
    found = [judge(A, run(1 + 2 * (k % 2), k + 1), span).verdict for k in range(200)]
    assert found.count("rounding") >= 196


@pytest.mark.parametrize("where", SIZES)
def test_a_bug_is_called_a_bug(where: str) -> None:
    """Protects the alarm: an update wrong by 1 in 10,000, in the kernel or in the bias alone."""
    span = around()
    found = [judge(A, run(1.0, k, 1e-3, where), span) for k in range(50)]
    assert sum(one.verdict == "bug" for one in found) >= 48
    assert {one.leaf for one in found} == {where}


def test_beyond_the_onset_of_chaos_the_early_steps_tell() -> None:
    """Protects the verdict where both end equally far: once they have saturated nothing tells."""
    hot = [run(1.0, seed, growth=2.0) for seed in range(100, 104)]
    span = envelope_of(A, hot, 1.0, "by hand")
    bug, luck = (judge(A, run(1.0, 3, size, growth=2.0), span) for size in (1e-3, 0.0))
    assert bug.verdict == "bug"
    assert bug.after <= 8
    assert luck.verdict == "rounding"
    assert bug.growth[-1].distance < 3 * bug.growth[-1].median


def test_equal_bits_are_told() -> None:
    """Protects the strongest statement: only where nothing differs."""
    told = judge(A, run(0.0, 9), around())
    assert told.verdict == "same bits"
    assert told.step is None
    assert "same bits" in told.sentence
    assert "64 steps" in told.sentence
    seen = dataclasses.replace(A, first=np.array([-1, 5, -1, -1]))
    later = judge(A, seen, around())
    assert later.verdict == "rounding"
    assert later.step == 5


def test_another_start_is_no_rounding() -> None:
    """Protects the common state: params that differ from the first on by more than last bits."""
    moved = tuple(v + np.float32(1e-4) for v in A.values)
    told = judge(A, dataclasses.replace(A, values=moved), around())
    assert told.verdict == "bug"
    assert told.after == 0
    last = tuple(np.nextafter(v, np.float32(9)) for v in A.values)
    assert judge(A, dataclasses.replace(A, values=last), around()).verdict == "rounding"


def test_nothing_in_common_cannot_be_told() -> None:
    """Protects against a verdict on nothing: both ended at once."""
    ended = dataclasses.replace(A, done=np.full_like(A.done, -1))
    told = judge(ended, ended, around())
    assert told.verdict == "cannot tell"
    assert np.isnan(told.statistic)
    assert "no step" in told.sentence
    assert json.dumps(told.to_json())
    assert told.to_json()["statistic"] is None


@pytest.mark.parametrize("first", [-1, 1])
@pytest.mark.parametrize("how", ["not finite", "ended"])
def test_a_run_that_broke_off_alone_is_no_rounding(how: str, first: int) -> None:
    """Protects from silence: where one of two runs is gone no distance is left to be large."""
    b = dataclasses.replace(A, first=np.full(TRIALS, first))
    if how == "ended":
        b = dataclasses.replace(b, done=np.minimum(A.done, 1))
    else:
        values = tuple(np.where(STEPS[None, :, None] > 0, np.nan, v) for v in A.values)
        b = dataclasses.replace(b, values=tuple(v.astype(np.float32) for v in values))
    assert judge(A, b, around()).verdict == "bug"
    # Both gone in the same way: nothing is left that differs.
    assert judge(b, b, around()).verdict != "bug"


def test_equal_trials_do_not_outvote_one_that_differs() -> None:
    """Protects from a fault that one seed alone meets, such as a row that one split alone holds."""
    buggy = run(1.0, 4, bug=0.01)
    some = tuple(np.concatenate([y[:1], x[1:]]) for x, y in zip(A.values, buggy.values))
    told = judge(A, dataclasses.replace(A, values=some), around())
    assert told.verdict == "bug"
    assert (told.parted, told.trials) == (1, TRIALS)


def test_one_trial_that_ended_is_left_out() -> None:
    """Protects the others' verdict from a trial that diverged."""
    done = A.done.copy()
    done[0, 3:] = 3
    told = judge(A, dataclasses.replace(run(1.0, 4), done=done), around())
    assert told.verdict == "rounding"


def test_between_the_thresholds_it_cannot_tell() -> None:
    """Protects the gap between them: no coin is tossed there."""
    low, high = rounding.ROUNDING_UP_TO, rounding.BUG_FROM
    found = [verdict_of(x) for x in (-1.0, low, (low + high) / 2, high, 9.0, float("nan"))]
    middle = "cannot tell"
    assert found == ["rounding", "rounding", middle, "bug", "bug", middle]


def test_growth_is_told_step_by_step() -> None:
    """Protects the picture: the distance between the envelope's quantiles where it is rounding."""
    told = judge(A, run(1.0, 6), around())
    assert [row.step for row in told.growth] == list(OFFSETS)
    last = told.growth[-1]
    assert last.low <= last.median <= last.high
    assert last.distance == pytest.approx(last.median, rel=0.5)
    assert told.growth[1].distance < last.distance / 1000
    assert json.loads(json.dumps(told.to_json()))["growth"][-1]["step"] == 64


def test_an_envelope_of_other_steps_is_refused() -> None:
    """Protects against a comparison with another study's envelope."""
    span = around()
    other = dataclasses.replace(span, unit=span.unit[:, :-1])
    with pytest.raises(ValueError, match="of other"):
        judge(A, A, other)


def test_sketches_tell_large_bugs_and_equal_bits() -> None:
    """Protects the comparison with a run that is known by its sketches alone."""
    span = around()
    verdicts = [
        judge_sketches(A.sketches, b.sketches, span).verdict
        for b in (A, run(1.0, 3), run(1.0, 3, 0.01))
    ]
    assert verdicts == ["same bits", "rounding", "bug"]
    told = judge_sketches(A.sketches, run(1.0, 3).sketches, span)
    assert [row.step for row in told.growth] == [0, 1, 2, 4, 8, 16, 32, 64]


def test_sketches_of_runs_with_no_mark_in_common_cannot_tell() -> None:
    """Protects against a verdict on sketches never taken."""
    told = judge_sketches(A.sketches, np.zeros_like(A.sketches), around())
    assert told.verdict == "cannot tell"
    assert told.to_json()["growth"] == []
