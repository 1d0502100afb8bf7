"""A source's part of the variance: estimators, and intervals by simulation with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.components import DESIGNS, MIXES, Sds, share_coverage, simulated
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.crossed import components, crossed
from convergence.analysis.two_way import mean_squares_of


def test_estimators_are_those_of_the_analysis_of_variance() -> None:
    """Protects the parts from a wrong mean square: a table whose parts are known by hand."""
    others, source = np.array([[-1.0], [0.0], [1.0]]), np.array([[-3.0, -1.0, 1.0, 3.0]])
    found = crossed(others + source, np.random.default_rng(0))
    assert found.together.estimate == pytest.approx(0, abs=1e-12)
    assert found.others.estimate == pytest.approx(np.var(others, ddof=1))
    assert found.alone.estimate == pytest.approx(np.var(source, ddof=1))
    assert found.total.estimate == pytest.approx(1 + 20 / 3)
    assert found.share.estimate == pytest.approx((20 / 3) / (1 + 20 / 3))
    assert found.effect.estimate == pytest.approx(found.alone.estimate)


@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_parts_add_up(rows: int, columns: int, seed: int) -> None:
    """Protects the decomposition: parts add up, turning the table turns the roles."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1))
    found = crossed(table, np.random.default_rng(0))
    parts = found.alone.estimate + found.others.estimate + found.together.estimate
    assert found.total.estimate == pytest.approx(parts)
    assert found.effect.estimate == pytest.approx(parts - found.others.estimate)
    assert found.effect.estimate == pytest.approx(table.var(axis=1, ddof=1).mean())
    turned = crossed(table.T, np.random.default_rng(0))
    assert turned.alone.estimate == pytest.approx(found.others.estimate)
    shifted = crossed(3.0 * table + 5.0, np.random.default_rng(0))
    assert shifted.total.estimate == pytest.approx(9 * found.total.estimate)
    assert shifted.share.estimate == pytest.approx(found.share.estimate)
    assert 0 <= found.share.low <= found.share.high <= 1
    assert found.total_share.low <= found.total_share.high


def test_equal_numbers_have_no_shares() -> None:
    """Protects from shares of nothing: no variance, no part of it."""
    found = crossed(np.full((3, 4), 0.1), np.random.default_rng(0))
    assert found.total.estimate == found.effect.high == 0
    assert np.isnan([found.share.estimate, found.total_share.low]).all()


@pytest.mark.parametrize("bad", [np.ones((1, 4)), np.ones(4), np.full((3, 3), np.inf)])
def test_a_table_is_needed(bad: np.ndarray) -> None:
    """Protects from components of what is no crossed table."""
    with pytest.raises(ValueError, match="table"):
        crossed(bad, np.random.default_rng(0))


def test_the_batch_is_the_shipped_function() -> None:
    """Protects the simulations below from measuring other intervals than `crossed` gives."""
    tables = np.random.default_rng(2).normal(size=(4, 5, 7)).cumsum(axis=1)
    found = components(mean_squares_of(tables), 5, 7, 0.025)
    for k, table in enumerate(tables):
        one = crossed(table, np.random.default_rng(0))
        for name, told in found.items():
            interval = getattr(one, name)
            assert [v[k] for v in told] == pytest.approx(
                [interval.estimate, interval.low, interval.high]
            )


SOME = pytest.mark.parametrize(
    "design", [pytest.param(d, marks=[pytest.mark.slow] * (d not in DESIGNS[::2])) for d in DESIGNS]
)


@SOME
@pytest.mark.parametrize("effects", ["gamma, skewness 1", "exponential", "t, 5 df"])
def test_unclipped_parts_are_unbiased(effects: str, design: tuple[int, int]) -> None:
    """Protects the estimates: bias below 5 % of the total variance, whatever the effects."""
    for sds in MIXES:
        for name, found in simulated(sds, design, 5_000, effects).items():
            assert abs(found.bias) < 0.05, (sds, name, found)


@SOME
@pytest.mark.parametrize("sds", MIXES)
def test_parts_are_covered(sds: Sds, design: tuple[int, int]) -> None:
    """Protects the intervals: 93 to 97 % of normal effects, 95 % (less chance) of a part of 0."""
    for name, found in simulated(sds, design, 10_000).items():
        assert abs(found.bias) < 0.05, (name, found)
        lowest = 0.944 if found.true == 0 else 0.93
        assert lowest <= found.coverage <= 0.97, (name, found)


@SOME
@pytest.mark.parametrize("sds", MIXES[::2])
def test_shares_are_covered(sds: Sds, design: tuple[int, int]) -> None:
    """Protects the shares: at least 93 % of normal effects."""
    for name, coverage in share_coverage(sds, design, 1_000).items():
        assert coverage >= 0.93, (name, coverage)


def test_skewed_effects_are_covered_too_seldom() -> None:
    """Protects the warning: intervals of variances lean on normal effects, however many seeds."""
    found = simulated((0.0, 0.0, 1.0), (4, 32), 2_000, "exponential")
    assert found["effect"].coverage < 0.85
    assert found["alone"].coverage > 0.93  # where a part is zero, they hold


def test_interval_of_what_is_left_is_the_chi_square() -> None:
    """Protects `together`, a single mean square: its interval is the exact one."""
    table = np.random.default_rng(5).normal(size=(4, 6))
    found = crossed(table, np.random.default_rng(0)).together
    assert found.low == pytest.approx(15 * found.estimate / stats.chi2.ppf(0.975, 15))
    assert found.high == pytest.approx(15 * found.estimate / stats.chi2.ppf(0.025, 15))
