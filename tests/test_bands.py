"""Bands over seeds, and curves thinned to be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.analysis.bands import FEWEST_FOR_PERCENTILES, band, bands, thinned


def test_both_ways_agree() -> None:
    """Protects the fast way: with every value there, it gives what the way round NaN gives."""
    values = np.random.default_rng(0).normal(size=(9, 20))
    holed = np.concatenate([values, np.full((1, 20), np.nan)])
    for name, one in bands(values).items():
        np.testing.assert_allclose(one, bands(holed)[name], rtol=1e-12)


@pytest.mark.parametrize("seeds", [1, 2, FEWEST_FOR_PERCENTILES - 1])
def test_few_seeds_have_no_percentiles(seeds: int) -> None:
    """Protects from pretended percentiles: a band of few seeds reaches from lowest to highest."""
    values = np.random.default_rng(0).normal(size=(seeds, 7))
    low, middle, high = band(values)
    assert np.array_equal(low, values.min(axis=0))
    assert np.array_equal(high, values.max(axis=0))
    assert np.allclose(middle, np.median(values, axis=0))


def test_many_seeds_have() -> None:
    """Protects the caption: from five seeds on the edges are the 10th and 90th percentile."""
    values = np.random.default_rng(0).normal(size=(FEWEST_FOR_PERCENTILES, 7))
    values[0, 3] = np.nan
    low, _, high = band(values)
    assert np.allclose(low, np.nanpercentile(values, 10, axis=0))
    assert np.allclose(high, np.nanpercentile(values, 90, axis=0))


@given(st.integers(1, 500), st.integers(1, 120))
@settings(max_examples=100, deadline=None)
def test_thinned(count: int, points: int) -> None:
    """Protects drawn curves: never more points, the last step stays, and the mean is kept."""
    steps = np.arange(1, count + 1)
    values = np.random.default_rng(count).normal(size=(3, count))
    at, means = thinned(steps, values, points)
    assert len(at) == min(count, points)
    assert at[-1] == count
    weights = np.diff(at, prepend=0)
    np.testing.assert_allclose(means @ weights / count, values.mean(axis=1), atol=1e-12)


def test_thinned_stops_where_a_trial_did() -> None:
    """Protects diverged trials: after their end nothing is drawn."""
    values = np.ones((2, 100))
    values[1, 37:] = np.nan
    at, means = thinned(np.arange(1, 101), values, 10)
    assert np.isfinite(means[0]).all()
    assert np.isfinite(means[1]).tolist() == [True] * 4 + [False] * 6
    assert at.tolist() == list(range(10, 101, 10))
