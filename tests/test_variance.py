"""Components of variance, against the analysis of variance and its F test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from convergence.analysis.variance import one_way


def test_one_way_estimates() -> None:
    """Protects the ANOVA estimators, unclipped: groups more alike than chance go below 0."""
    table = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [9.0, 9.0, 9.0]])
    found = one_way(table)
    assert found.within.estimate == pytest.approx((2 + 8 + 0) / 6)
    assert found.between.estimate == pytest.approx((3 * np.var([2, 4, 9], ddof=1) - 10 / 6) / 3)
    alike = one_way([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert alike.between.estimate == pytest.approx(-1 / 3)
    assert alike.between.low < alike.between.estimate < alike.between.high


@pytest.mark.parametrize("tail", [0.025, 0.975])
def test_between_interval_agrees_with_the_f_test(tail: float) -> None:
    """Protects the modified-large-sample formula: a bound is 0 exactly where F is critical."""
    rest = np.random.default_rng(3).standard_normal((6, 5))
    rest -= rest.mean(1, keepdims=True)
    within = (rest**2).sum() / 24
    effects = np.arange(6.0) / np.std(np.arange(6.0), ddof=1)
    scale = math.sqrt(stats.f.isf(tail, 5, 24) * within / 5)
    between = one_way(rest + scale * effects[:, None]).between
    bound = between.low if tail < 0.5 else between.high
    assert bound == pytest.approx(0, abs=1e-9)
    assert between.high - between.low > 0.1


def test_within_interval_is_the_chi_square() -> None:
    """Protects the interval of the variance within groups."""
    table = np.random.default_rng(4).standard_normal((5, 4))
    within = one_way(table, 0.9).within
    assert within.low == pytest.approx(15 * within.estimate / stats.chi2.ppf(0.95, 15))
    assert within.high == pytest.approx(15 * within.estimate / stats.chi2.ppf(0.05, 15))


@pytest.mark.parametrize("bad", [np.ones((1, 4)), np.ones((4, 1)), np.full((3, 3), np.nan)])
def test_one_way_needs_groups(bad: np.ndarray) -> None:
    """Protects from components where there is nothing to compare."""
    with pytest.raises(ValueError, match="table"):
        one_way(bad)
