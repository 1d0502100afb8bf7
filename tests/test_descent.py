"""The cost of each further drop: limits and halvings of curves whose laws are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.analysis.descent import Limit, halvings, limit, smoothed

STEPS = np.arange(1, 1001)


def noisy(curve: np.ndarray, share: float = 0.05, seeds: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return curve * np.exp(share * rng.normal(size=(seeds, len(curve))))


@pytest.mark.parametrize(("floor", "power"), [(0.1, 0.5), (0.3, 1.0), (0.02, 0.7)])
def test_limit_of_a_power_law(floor: float, power: float) -> None:
    """Protects the limit: it is found to within a tenth of the fall that is left."""
    found = limit(STEPS, noisy(floor + 2.0 * STEPS**-power))
    assert found.reason == ""
    assert found.low <= found.estimate <= found.high
    assert found.estimate == pytest.approx(floor, abs=0.02)


def test_costs_of_a_power_law_grow_by_its_factor() -> None:
    """Protects the message: of 2 / sqrt(step) each halving takes four times the one before."""
    losses = np.tile(2.0 / np.sqrt(STEPS), (6, 1))
    found = halvings(STEPS, losses, Limit(0.0, 0.0, 0.0, 6))
    costs = [step.cost for step in found]
    assert len(costs) == 4
    assert [step.step for step in found] == pytest.approx([4, 16, 64, 256], rel=0.1)
    assert costs[2] / costs[1] == pytest.approx(4, rel=0.1)
    assert costs[3] / costs[2] == pytest.approx(4, rel=0.1)


def test_costs_of_an_exponential_are_constant() -> None:
    """Protects the other law: each halving of exp(-step / 100) takes 69 steps."""
    losses = noisy(0.2 + 2.0 * np.exp(-STEPS / 100), 0.01)
    towards = limit(STEPS, losses)
    assert towards.estimate == pytest.approx(0.2, abs=0.01)
    found = halvings(STEPS, losses, towards)
    assert len(found) >= 4
    for step in found[:4]:
        assert step.cost == pytest.approx(100 * math.log(2), rel=0.15)
        assert step.low <= step.cost <= step.high


@pytest.mark.parametrize(
    ("steps", "losses", "said"),
    [
        (STEPS, np.ones((8, 1000)), "does not fall"),
        (STEPS, noisy(0.1 + STEPS / 1000), "does not fall"),
        (STEPS, noisy(2.0 / STEPS, seeds=1), "two seeds"),
        (STEPS[:4], noisy(2.0 / STEPS[:4]), "too short"),
        (STEPS[:0], np.zeros((3, 0)), "too short"),
    ],
)
def test_no_limit_is_told_where_none_shows(
    steps: np.ndarray, losses: np.ndarray, said: str
) -> None:
    """Protects honesty: a flat, rising, single or short curve has no limit, and a reason."""
    found = limit(steps, losses)
    assert said in found.reason
    assert math.isnan(found.estimate)
    assert halvings(steps, losses, found) == []


def test_an_uncertain_limit_shortens_and_widens() -> None:
    """Protects from false precision: nothing is told within the limit's own uncertainty."""
    losses = np.tile(0.1 + 2.0 / STEPS, (6, 1))
    sure = halvings(STEPS, losses, Limit(0.1, 0.1, 0.1, 6))
    unsure = halvings(STEPS, losses, Limit(0.1, 0.0, 0.12, 6))
    assert len(unsure) < len(sure)
    assert unsure[-1].high - unsure[-1].low > sure[len(unsure) - 1].high - sure[len(unsure) - 1].low
    last = float(losses[0, 0]) / 2.0 ** len(unsure)
    assert last >= 0.12 / 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_any_curve_is_survived(seed: int, count: int, seeds: int) -> None:
    """Protects the report: whatever the losses, costs are above 0 and in their interval."""
    rng = np.random.default_rng(seed)
    losses = np.abs(rng.normal(size=(seeds, count)).cumsum(axis=1)) * 10.0 ** rng.integers(-6, 6)
    steps = np.arange(1, count + 1)
    found = limit(steps, losses)
    for step in halvings(steps, losses, found):
        assert 0 <= step.low <= step.cost <= step.high
    middle, means = smoothed(steps, losses)
    assert middle.shape == means.shape[1:]
    assert np.all(np.diff(middle) > 0)
