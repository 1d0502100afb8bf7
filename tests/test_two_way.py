"""Inference over seeds and rows, against the analysis of variance written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from convergence.analysis.statistics import paired_t
from convergence.analysis.two_way import mean_squares, two_way

SAMPLE = np.array([0.3, -0.1, 0.8, 0.25, 1.9, 0.4, 0.05, 0.6])

TABLE = np.random.default_rng(5).standard_normal((4, 7)) + np.arange(7) + np.arange(4)[:, None]


def test_mean_squares_by_hand() -> None:
    """Protects the analysis of variance, against the sums written out."""
    found = mean_squares(TABLE)
    grand, by_seed, by_row = TABLE.mean(), TABLE.mean(1), TABLE.mean(0)
    ss_seed = sum(7 * (m - grand) ** 2 for m in by_seed)
    ss_row = sum(4 * (m - grand) ** 2 for m in by_row)
    ss_rest = ((TABLE - grand) ** 2).sum() - ss_seed - ss_row
    assert found.ms_seed == pytest.approx(ss_seed / 3)
    assert found.ms_row == pytest.approx(ss_row / 6)
    assert found.ms_inter == pytest.approx(ss_rest / 18)


def test_two_way_error_and_degrees_of_freedom() -> None:
    """Protects the documented formula of the variance and Satterthwaite's degrees of freedom."""
    m, found = mean_squares(TABLE), mean_squares(TABLE).mean()
    size = m.ms_seed + m.ms_row - m.ms_inter
    assert m.ms_inter < min(m.ms_seed, m.ms_row)
    assert found.error == pytest.approx(math.sqrt(size / 28))
    spent = m.ms_seed**2 / 3 + m.ms_row**2 / 6 + m.ms_inter**2 / 18
    assert found.df == pytest.approx(max(3.0, size**2 / spent))
    interval = two_way(TABLE)
    assert interval.speaks_of == "seeds and rows"
    assert interval.high - interval.estimate == pytest.approx(
        stats.t.ppf(0.975, found.df) * found.error
    )


def test_without_row_effects_two_way_is_the_paired_t() -> None:
    """Protects the meaning: rows that all agree add nothing to the spread of the seeds."""
    table = np.repeat(SAMPLE[:, None], 20, axis=1)
    both, alone = two_way(table), paired_t(SAMPLE)
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))


def test_components_of_variance_are_floored() -> None:
    """Protects from a variance made small by subtracting a large interaction."""
    checkers = np.indices((6, 8)).sum(0) % 2 * 2.0 - 1.0
    found = mean_squares(checkers + 0.1 * np.arange(8))
    assert found.ms_inter > found.ms_row > found.ms_seed
    mean = found.mean()
    assert mean.error == pytest.approx(math.sqrt(found.ms_row / 48))
    assert mean.df >= 5


def test_degrees_of_freedom_have_a_floor() -> None:
    """Protects from absurdly wide intervals where nothing but noise is in the table."""
    found = mean_squares(np.random.default_rng(0).standard_normal((4, 7)))
    inter = min(found.ms_seed, found.ms_row, found.ms_inter)
    spent = found.ms_seed**2 / 3 + found.ms_row**2 / 6 + inter**2 / 18
    assert (found.ms_seed + found.ms_row - inter) ** 2 / spent < 3
    assert found.mean().df == 3


def test_more_seeds_leave_the_spread_of_rows() -> None:
    """Protects the planning of seeds: their number cannot buy what only rows can."""
    found = mean_squares(TABLE)
    assert found.with_seeds(4) == found.mean()
    rows = (found.ms_row - found.ms_inter) / 4
    assert found.with_seeds(10**9).error == pytest.approx(math.sqrt(rows / 7), rel=1e-4)
    assert found.with_seeds(8).error < found.mean().error


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_one_seed_or_one_row_say_nothing(shape: tuple[int, int]) -> None:
    """Protects from inference over a factor that was seen once."""
    assert two_way(np.arange(9.0).reshape(shape)).high == math.inf


def test_two_way_needs_finite_tables() -> None:
    """Protects from diverged seeds and flat arrays."""
    with pytest.raises(ValueError, match="finite"):
        two_way([[1.0, math.nan], [1.0, 2.0]])
    with pytest.raises(ValueError, match="shape"):
        two_way([1.0, 2.0])
