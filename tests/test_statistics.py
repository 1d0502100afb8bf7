"""Student's interval and the exact proportion, against scipy and at their edges."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.statistics import paired_t, proportion_exact, strict_number, student_mean

SAMPLE = np.array([0.3, -0.1, 0.8, 0.25, 1.9, 0.4, 0.05, 0.6])


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_paired_t_is_scipys(level: float) -> None:
    """Protects the interval that decides claims, against scipy's own."""
    ours = paired_t(SAMPLE, level)
    theirs = stats.ttest_1samp(SAMPLE, 0).confidence_interval(level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert (ours.estimate, ours.n, ours.df) == (pytest.approx(SAMPLE.mean()), 8, 7)
    assert ours.warning == ""


def test_student_p_values_are_scipys() -> None:
    """Protects the p-values that Holm's step-down orders."""
    mean = student_mean(SAMPLE)
    upper = stats.ttest_1samp(SAMPLE, 0.2, alternative="greater").pvalue
    lower = stats.ttest_1samp(SAMPLE, 0.2, alternative="less").pvalue
    assert mean.p_at_most(0.2) == pytest.approx(upper)
    assert mean.p_at_least(0.2) == pytest.approx(lower)


def test_one_seed_and_none_say_nothing() -> None:
    """Protects a reader from an interval where there is no spread to see."""
    one, none = paired_t([0.5]), paired_t([])
    assert (one.low, one.high) == (-math.inf, math.inf)
    assert one.warning == "one seed says nothing about spread"
    assert math.isnan(none.estimate)
    assert math.isnan(none.low)
    assert math.isnan(none.high)
    assert none.warning


def test_equal_values_give_the_interval_of_the_median() -> None:
    """Protects from zero-width intervals out of a few equal values: 6 are needed at 95 %."""
    few, enough = paired_t([0.2] * 5), paired_t([0.2] * 6)
    assert (few.low, few.high) == (-math.inf, math.inf)
    assert (enough.low, enough.high) == (0.2, 0.2)
    assert enough.estimate == 0.2
    assert "same" in few.warning
    assert "same" in enough.warning
    stricter = paired_t([0.2] * 6, level=0.99)
    assert stricter.high == math.inf


def test_rounding_is_not_spread() -> None:
    """Protects from tiny intervals: .9 - .8 and .3 - .2 differ in the last bit only."""
    differences = np.array([0.9, 0.3, 0.7, 0.4]) - np.array([0.8, 0.2, 0.6, 0.3])
    assert len(set(differences)) > 1
    assert student_mean(differences, resolution=1e-15).error == 0
    assert student_mean([1e-9, 2e-9, 3e-9]).error > 0


@pytest.mark.parametrize("bad", [[1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_samples_are_finite_and_flat(bad: list) -> None:
    """Protects from a diverged trial that slips into a mean."""
    with pytest.raises(ValueError, match="sample must"):
        paired_t(bad)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_levels_are_between_0_and_1(level: float) -> None:
    """Protects from a level in percent."""
    with pytest.raises(ValueError, match="level"):
        paired_t(SAMPLE, level)


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=12),
    st.floats(-10, 10),
    st.sampled_from([0.2, 0.025, 0.0025]),
)
def test_bounds_and_p_values_agree(sample: list[float], value: float, alpha: float) -> None:
    """Protects the duality that verdicts rest on: p < alpha where the bound excludes the value."""
    mean = student_mean(sample)
    if not math.isclose(mean.low(alpha), value, rel_tol=1e-9, abs_tol=1e-9):
        assert (mean.p_at_most(value) < alpha) == (mean.low(alpha) > value)
    if not math.isclose(mean.high(alpha), value, rel_tol=1e-9, abs_tol=1e-9):
        assert (mean.p_at_least(value) < alpha) == (mean.high(alpha) < value)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (1, 8), (8, 8), (3, 100), (1, 1)])
def test_proportions_are_scipys(k: int, n: int) -> None:
    """Protects the exact interval of diverged trials, also at its ends."""
    ours, theirs = proportion_exact(k, n, 0.9), stats.binomtest(k, n).proportion_ci(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_proportions_of_nothing_and_nonsense() -> None:
    """Protects from a share where there are no trials, and from counts out of range."""
    nothing = proportion_exact(0, 0)
    assert math.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (0, 1)
    with pytest.raises(ValueError, match="between 0 and n"):
        proportion_exact(5, 4)


def test_strict_json() -> None:
    """Protects summary.json: strict parsers refuse NaN and Infinity."""
    text = json.dumps([paired_t([]).to_json(), paired_t([1.0]).to_json()], allow_nan=False)
    none, one = json.loads(text)
    assert none["estimate"] is None
    assert (one["low"], one["high"]) == ("-inf", "inf")
    assert strict_number(np.float32(0.5)) == 0.5
    assert isinstance(strict_number(np.int64(3)), int)
