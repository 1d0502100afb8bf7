"""Predictions of two studies: churn between them against churn between seeds."""

from __future__ import annotations

import numpy as np
import pytest

from convergence.analysis.agreement import agreement

RNG = np.random.default_rng


def logits(rng: np.random.Generator, classes: np.ndarray) -> np.ndarray:
    """Outputs whose largest is that of the class."""
    return np.eye(4)[classes] + 0.1 * rng.random((*classes.shape, 4))


def test_shares_are_counted() -> None:
    """Protects the figures: rows with another class, counted by hand on rows that both scored."""
    first = np.array([[0, 1, 2, 3], [0, 1, 2, 2], [0, 0, 0, 0]])
    second = np.array([[0, 1, 2, 0], [0, 1, 1, 2], [1, 0, 0, 0]])
    seen = np.ones((3, 4), bool)
    seen[2, 0] = False  # not scored: does not count
    told = agreement(
        logits(RNG(0), first), logits(RNG(1), second), seen, np.ones((3, 4), bool), True
    )
    assert told.between.estimate == pytest.approx((1 / 4 + 1 / 4 + 0) / 3)
    assert told.within.estimate == pytest.approx((1 / 4 + 3 / 3 + 3 / 3) / 3)
    assert told.ratio.estimate == pytest.approx(told.between.estimate / told.within.estimate)
    assert told.rows == 4


def test_numbers_keep_small_differences() -> None:
    """Protects regressions: a difference of one part in 10⁹ beside large values is not lost."""
    base = 1e6 + RNG(2).normal(0, 100, (5, 30))
    moved = base + 1e-3
    told = agreement(base, moved, np.ones((5, 30), bool), np.ones((5, 30), bool), True)
    assert told.between.estimate == pytest.approx(1e-3, rel=1e-3)
    assert told.largest == pytest.approx(1e-3, rel=1e-3)
    assert told.within.estimate == pytest.approx(100 * np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_another_seed_has_the_ratio_one(paired: bool) -> None:
    """Protects the unit: studies that share nothing but the population differ as its seeds do, and
    the interval covers 1 about as often as it says."""
    rng, inside = RNG(3), 0
    rows = rng.normal(size=60)
    for _ in range(150):
        skill = rng.gamma(20, 0.05, (2, 10, 1))  # seeds differ in how noisy they are
        noise = skill * rng.normal(size=(2, 10, 60))
        outputs = rows + noise
        seen = np.ones((10, 60), bool)
        found = agreement(outputs[0], outputs[1], seen, seen, paired).ratio
        inside += found.low <= 1 <= found.high
    assert inside / 150 >= 0.88


def test_one_seed_says_nothing_of_others() -> None:
    """Protects from a made-up interval: one seed has churn, but no spread of it."""
    outputs = RNG(4).normal(size=(1, 8, 3))
    seen = np.ones((1, 8), bool)
    told = agreement(outputs, outputs, seen, seen, True)
    assert told.between.estimate == 0
    assert np.isinf(told.between.high)
    assert np.isnan(told.ratio.estimate)
