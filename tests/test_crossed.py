"""A source's part of the variance: estimators, and intervals by simulation with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.crossed import components, crossed, shares
from convergence.analysis.two_way import mean_squares_of

SHAPES = ((4, 8), (4, 32), (8, 8), (12, 16))
# Standard deviations of others, source and what only both together explain.
MIXES = ((1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.0, 2.0, 1.0), (0.2, 0.1, 3.0), (3.0, 1.0, 0.1))
ZERO = {"others": 0, "alone": 1}


def drawn(
    sds: tuple[float, float, float], shape: tuple[int, int], count: int, skewed: bool = False
) -> np.ndarray:
    """Tables [count, settings, draws] of a model with these standard deviations."""
    rng = np.random.default_rng([*shape, *(int(10 * sd) for sd in sds)])

    def effects(*size: int) -> np.ndarray:
        if skewed:
            return rng.standard_exponential((count, *size)) - 1
        return rng.standard_normal((count, *size))

    others, source, both = sds
    parts = effects(shape[0], 1) * others, effects(1, shape[1]) * source, effects(*shape) * both
    return sum(parts)  # type: ignore[return-value]


def truth(sds: tuple[float, float, float]) -> dict[str, float]:
    others, source, both = (sd**2 for sd in sds)
    return {
        "alone": source,
        "others": others,
        "together": both,
        "total": others + source + both,
        "effect": source + both,
    }


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
    tables = drawn((1.0, 2.0, 1.0), (5, 7), 4)
    squares = mean_squares_of(tables)
    found = components(squares, 5, 7, 0.025)
    for k, table in enumerate(tables):
        one = crossed(table, np.random.default_rng(0))
        for name, told in found.items():
            interval = getattr(one, name)
            assert [v[k] for v in told] == pytest.approx(
                [interval.estimate, interval.low, interval.high]
            )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sds", MIXES)
def test_unclipped_parts_are_unbiased(
    sds: tuple[float, float, float], shape: tuple[int, int]
) -> None:
    """Protects the estimates: bias below 5 % of the total variance, skewed effects as well."""
    true = truth(sds)
    for skewed in (False, True):
        squares = mean_squares_of(drawn(sds, shape, 10_000, skewed))
        for name, (estimate, _, _) in components(squares, *shape, 0.025).items():
            assert abs(estimate.mean() - true[name]) < 0.05 * true["total"], name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sds", MIXES)
def test_parts_are_covered(sds: tuple[float, float, float], shape: tuple[int, int]) -> None:
    """Protects the intervals: 93 to 97 % of normal effects, at least 95 % (less chance) at 0."""
    true = truth(sds)
    squares = mean_squares_of(drawn(sds, shape, 10_000))
    for name, (_, low, high) in components(squares, *shape, 0.025).items():
        coverage = float(((low <= true[name]) & (true[name] <= high)).mean())
        if true[name] == 0:
            assert coverage >= 0.945, (name, coverage)
        else:
            assert 0.93 <= coverage <= 0.975, (name, coverage)


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("sds", MIXES)
def test_shares_are_covered(sds: tuple[float, float, float], shape: tuple[int, int]) -> None:
    """Protects the shares: at least 93 % of normal effects."""
    true = truth(sds)
    squares = mean_squares_of(drawn(sds, shape, 2_000))
    found = shares(squares, *shape, 0.025, np.random.default_rng(1), pivots=1_000)
    for name, (_, low, high) in found.items():
        share = true[name] / true["total"]
        coverage = float(((low <= share) & (share <= high)).mean())
        assert coverage >= 0.93, (name, coverage)


def test_interval_of_what_is_left_is_the_chi_square() -> None:
    """Protects `together`, a single mean square: its interval is the exact one."""
    table = drawn((1.0, 1.0, 1.0), (4, 6), 1)[0]
    found = crossed(table, np.random.default_rng(0)).together
    assert found.low == pytest.approx(15 * found.estimate / stats.chi2.ppf(0.975, 15))
    assert found.high == pytest.approx(15 * found.estimate / stats.chi2.ppf(0.025, 15))
