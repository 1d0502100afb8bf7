"""Growth of small differences: a known exponent is found again, and healing is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.analysis.growth import FEWEST, SETTLE, growth, window
from convergence.training.twins import steps as twin_steps

STEPS = np.array(twin_steps(1100))


def grown(
    rate: float, pairs: int, rng: np.random.Generator, top: float = 1.0, spread: float = 0.0
) -> np.ndarray:
    """Distances that grow from 1e-8 at a rate of their own, by a noisy way, and saturate."""
    own = rate + spread * rng.normal(size=(pairs, 1))
    walk = np.cumsum(0.05 * rng.normal(size=(pairs, len(STEPS))), axis=1)
    log = math.log(1e-8) + own * STEPS + walk
    return np.minimum(np.exp(log), top * np.exp(0.2 * rng.normal(size=log.shape)))


@pytest.mark.parametrize("rate", [0.02, 0.06, 0.3])
def test_a_known_exponent_is_covered(rate: float) -> None:
    """Protects the rate and its interval: 95 % of intervals hold the exponent of the simulation."""
    rng = np.random.default_rng(1)
    held, trials = 0, 300
    for _ in range(trials):
        found = growth(STEPS, grown(rate, 12, rng, spread=0.1 * rate)).rate
        held += found.low <= rate <= found.high
    assert 0.915 <= held / trials <= 0.98  # 2.5 standard errors of a proportion about .95


def test_saturation_is_left_out() -> None:
    """Protects against a rate that is the smaller the longer the run: the plateau is not fitted."""
    distance = np.minimum(1e-8 * np.exp(0.1 * STEPS), 1.0)[None]
    found = growth(STEPS, distance)
    assert found.slopes[0] == pytest.approx(0.1, rel=1e-9)
    first, last = found.windows[0]
    assert first == SETTLE
    assert 0.02 < 1e-8 * math.exp(0.1 * last) < 0.1


def test_adding_up_is_no_take_off() -> None:
    """Protects stable runs: what each step's rounding adds grows far slower than a twin does."""
    distance = 1e-8 * np.sqrt(1.0 + STEPS)[None]
    found = growth(STEPS, distance)
    assert found.windows[0] == (SETTLE, 1100)
    assert 0 < found.slopes[0] < math.log(10) / 1100


def test_a_rise_before_it_settles() -> None:
    """Protects fast growth: a difference that has saturated at once still has a rate."""
    distance = np.exp(np.minimum(math.log(1e-8) + 3.0 * STEPS, 0.0))[None]
    found = growth(STEPS, distance)
    assert found.slopes[0] == pytest.approx(3.0, rel=0.1)


def test_falling_and_healing() -> None:
    """Protects the count of healed pairs: for good, for a while, not at all; and their slopes."""
    falling = 1e-3 * np.exp(-0.01 * STEPS)
    healed = np.where(STEPS < 40, 1e-8, 0.0)
    at_once = np.where(STEPS < 1, 1e-8, 0.0)
    passing = np.where((STEPS > 2) & (STEPS < 30), 0.0, 1e-8 * np.exp(0.004 * STEPS))
    diverged = np.where(STEPS < 500, 1.0, np.nan)
    never = np.zeros(len(STEPS))
    found = growth(STEPS, np.stack([falling, healed, at_once, passing, diverged, never]))
    assert (found.pairs, found.trials) == (4, 6)
    assert found.healed.estimate == 0.5
    assert found.passing.estimate == 0.25
    np.testing.assert_array_equal(found.healed_pairs, [False, True, True, False, False, False])
    assert found.slopes[0] == pytest.approx(-0.01, rel=1e-9)
    assert found.slopes[3] == pytest.approx(0.004, rel=1e-6)
    assert np.isnan(found.slopes[[2, 4, 5]]).all()
    assert found.windows[4] == (-1, -1)
    assert found.rate.n == 3


@given(
    st.lists(st.floats(-30, 3), min_size=1, max_size=40),
    st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_windows_are_windows(logs: list[float], zero: list[bool]) -> None:
    """Protects the fit from its data: whatever came, a window has points enough, in order."""
    steps = np.arange(len(logs))
    distance = np.where(zero[: len(logs)], 0.0, np.exp(logs))
    found = window(steps, distance)
    if found is None:
        return
    first, last = found
    assert 0 <= first < last < len(logs)
    assert (distance[first : last + 1] > 0).sum() >= FEWEST


def test_nothing_to_fit() -> None:
    """Protects small studies: no pair, or a run of no step, is told and not an error."""
    nothing = growth(STEPS, np.zeros((0, len(STEPS))))
    assert nothing.pairs == 0
    assert math.isnan(nothing.rate.estimate)
    assert growth([0], np.full((3, 1), 1e-8)).healed.estimate == 0
