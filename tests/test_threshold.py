"""Where something sets in on a grid of rates: the crossing, and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.analysis.threshold import crossing, geometric, isotonic, resampled, threshold

RATES = np.array([0.001, 0.003, 0.01, 0.03])
numbers = st.lists(st.floats(-5, 5), min_size=1, max_size=12)


@given(numbers)
def test_isotonic_is_the_projection(values: list[float]) -> None:
    """Protects the fit: ascending, of the same mean, its own fit, and met by the residuals."""
    fit = isotonic(values)
    assert np.all(np.diff(fit) >= -1e-12)
    assert fit.sum() == pytest.approx(sum(values), abs=1e-9)
    np.testing.assert_allclose(isotonic(fit), fit, atol=1e-12)
    # The projection onto a cone: the residual is orthogonal to the fit, and to no ascent's favour.
    rest = np.asarray(values) - fit
    assert rest @ fit == pytest.approx(0, abs=1e-9)
    assert np.all(np.cumsum(rest[::-1])[::-1] <= 1e-9)


def test_crossing_between_rates() -> None:
    """Protects the estimate: linear in the logarithm of the rate, exact at rates of the grid."""
    assert crossing(RATES, [0, 0, 1, 1], 0.5) == pytest.approx(math.sqrt(0.003 * 0.01))
    assert crossing(RATES, [0, 0.5, 1, 1], 0.5) == pytest.approx(0.003)
    assert crossing(RATES, [0, math.nan, 1, 1], 0.5) == pytest.approx(math.sqrt(0.001 * 0.01))


def test_crossings_off_the_grid() -> None:
    """Protects honesty: what the grid does not show is not a rate of it."""
    assert crossing(RATES, [1, 1, 1, 1], 0.5) == 0
    assert crossing(RATES, [0, 0.1, 0.2, 0.3], 0.5) == math.inf
    assert math.isnan(crossing(RATES, [math.nan] * 4, 0.5))
    assert crossing(RATES, [0, 0, 0, 1], 0.5) > 0.01  # one high value drags no other along
    assert crossing(RATES, [0.4, 0.9, 0.0, 0.2], 0.5) == math.inf  # nor does one low


def test_intervals_cover_the_crossing() -> None:
    """Protects the interval over seeds: near 95 % of them hold the simulation's threshold."""
    rng = np.random.default_rng(2)
    rates = np.geomspace(0.001, 0.1, 9)
    true = 0.0123
    held, trials = 0, 200
    for _ in range(trials):
        shift = 0.4 * rng.normal(size=(1, 24))  # a seed's own threshold
        table = 1 / (1 + np.exp(-3 * (np.log(rates)[:, None] - math.log(true) - shift)))
        table += 0.1 * rng.normal(size=table.shape)

        def values(index: np.ndarray, table: np.ndarray = table) -> np.ndarray:
            return np.asarray(table[:, index].mean(axis=1))

        found = resampled(lambda i: crossing(rates, values(i), 0.5), 24, rng, resamples=300)
        held += found.low <= true <= found.high
    assert 0.88 <= held / trials <= 0.99


def test_replicate_grids() -> None:
    """Protects the interval over grids: each grid's own seeds, pooled by their logarithms."""
    rng = np.random.default_rng(3)
    table = np.zeros((4, 8))
    table[2:] = 1.0
    table[1, :4] = 0.4  # the first grid's threshold lies lower
    found = threshold(RATES, lambda i: table[:, i].mean(axis=1), 8, 0.5, rng, grids=2)
    low, high = found.grids
    assert low < found.rate < high == pytest.approx(math.sqrt(0.003 * 0.01))
    assert found.over_grids is not None
    assert found.over_grids.estimate == pytest.approx(math.sqrt(low * high))
    assert found.over_grids.n == 2
    assert geometric((0.003, math.inf)) is None
    assert geometric((0.0, 0.003)) is None
    assert geometric((0.003,)) is None


def test_one_seed_bounds_nothing() -> None:
    """Protects users of one seed: the interval is without bounds, and says why."""
    found = resampled(lambda i: 1.0, 1, np.random.default_rng(0))
    assert (found.low, found.high) == (0, math.inf)
    assert "one seed" in found.warning
