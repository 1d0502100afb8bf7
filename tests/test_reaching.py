"""Steps to a target, their censoring, and what becomes of a descent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.analysis.reaching import (
    DIVERGED,
    SLOW,
    USEFUL,
    Target,
    first_reached,
    outcome,
    reached,
    risen,
    share_falling,
    share_improving,
    target,
    trailing,
)

STEPS = np.arange(1.0, 101.0)


def falling(rate: float) -> np.ndarray:
    return np.exp(-STEPS / rate) + 0.1


def test_trailing_mean_is_the_mean_of_the_last_steps() -> None:
    """Protects the smoothing: a plain mean where points are steps, weighted where they are bins."""
    losses = np.random.default_rng(0).normal(size=(2, 100))
    told = trailing(STEPS, losses, 8.0)
    assert np.isnan(told[:, :7]).all()
    np.testing.assert_allclose(told[:, 20], losses[:, 13:21].mean(axis=1))
    bins = np.array([4.0, 8.0, 12.0])
    told = trailing(bins, np.array([[1.0, 2.0, 6.0]]), 6.0)
    np.testing.assert_allclose(told[0, 2], (6 * 4 + 2 * 2) / 6)


def test_target_and_its_first_step() -> None:
    """Protects the target: a level between the default's first loss and its last, met in time."""
    default = np.stack([falling(10.0), falling(12.0)])
    goal = target(STEPS, default, 0.9, 8.0)
    assert goal.level == pytest.approx(goal.start - 0.9 * (goal.start - 0.1), abs=0.01)
    first = first_reached(STEPS, np.stack([falling(5.0), falling(10.0), falling(200.0)]), goal)
    assert first[0] < first[1] < 60
    assert math.isinf(first[2])
    broken = falling(10.0)
    broken[5:] = np.nan
    assert math.isinf(first_reached(STEPS, broken[None], goal)[0])
    assert target(STEPS, -default, 0.9, 8.0).reason == "the default's loss does not fall"
    assert target(STEPS, default * np.nan, 0.9, 8.0).reason == "no seed of the default finished"


@given(st.lists(st.one_of(st.integers(1, 50), st.just(None)), min_size=1, max_size=40))
def test_median_interval_holds_the_median(values: list[int | None]) -> None:
    """Protects censored seeds: never dropped, and the interval's ends are order statistics."""
    first = np.array([math.inf if v is None else float(v) for v in values])
    told = reached(first)
    assert told.low <= told.median <= told.high
    assert told.count == np.isfinite(first).sum()
    assert (told.count * 2 < len(first)) <= math.isinf(told.median)


def test_median_interval_covers() -> None:
    """Protects the interval's level: it misses the true median in at most 5 % of samples."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(2000):
        told = reached(rng.exponential(size=16))
        missed += not told.low <= math.log(2) <= told.high
    assert missed / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_outcomes() -> None:
    """Protects the map's rule: lost where most seeds are, useful where half get there."""
    far = math.inf
    assert outcome(np.array([5.0, far]), np.array([True, True])) == USEFUL
    assert outcome(np.array([5.0, far, far]), np.array([False, False, True])) == SLOW
    assert outcome(np.array([5.0, far, far]), np.array([False, True, True])) == DIVERGED
    assert outcome(np.array([far, far]), np.array([True, False])) == SLOW


def test_risen() -> None:
    """Protects "diverged": told of a loss that blows up, not of a high or a noisy one."""
    goal = Target(0.3, 2.3, 0.9, 8.0)
    high = 300 * np.exp(-STEPS / 200)
    noisy = high + 50 * np.random.default_rng(0).normal(size=100)
    spike = np.where(STEPS == 40, 9.0, 2.3)
    blown = np.where(STEPS > 40, 9.0, 2.3)
    broken = np.where(STEPS > 40, np.nan, 2.3)
    told = risen(STEPS, np.stack([high, noisy, spike, blown, broken]), goal)
    assert told.tolist() == [False, False, False, True, True]
    assert risen(STEPS[:0], np.zeros((2, 0)), goal).tolist() == [False, False]


def test_shares() -> None:
    """Protects 1c's measures: weighted by steps, blind to what a diverged trial did not do."""
    steps = np.array([1.0, 2.0, 6.0])
    improving = np.array([[np.nan, 1.0, 0.5], [np.nan, np.nan, np.nan]])
    told = share_improving(steps, improving)
    assert told[0] == pytest.approx((1 * 1 + 0.5 * 4) / 5)
    assert math.isnan(told[1])
    up = np.stack([falling(20.0), falling(20.0)[::-1]])
    np.testing.assert_array_equal(share_falling(STEPS, up), [1.0, 0.0])
    assert np.isnan(share_falling(STEPS[:10], up[:, :10])).all()
