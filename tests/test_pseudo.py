"""Spreads as samples: pseudo-values are what the jackknife says, and cover what they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.analysis.pseudo import (
    jackknifed,
    pooled_sd,
    pseudo_values,
    slope_of_sd,
    twin_sd,
)
from convergence.analysis.statistics import student_mean


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=20))
def test_of_a_mean_they_are_the_values(sample: list[float]) -> None:
    """Protects the jackknife: for the one statistic whose answer is known."""
    values = np.array(sample)
    found = pseudo_values(lambda i: float(values[i].mean()), len(values))
    np.testing.assert_allclose(found, values, atol=1e-9)


def test_two_seeds_tell_nothing() -> None:
    """Protects small studies: no pseudo-value of two seeds is made up."""
    assert np.isnan(pseudo_values(lambda i: 1.0, 2)).all()


@pytest.mark.parametrize(("seeds", "settings"), [(8, 4), (16, 1), (32, 4)])
def test_of_a_spread_they_cover_it(seeds: int, settings: int) -> None:
    """Protects verdicts on spreads: Student's interval of the logarithm holds the true value."""
    rng = np.random.default_rng(4)
    held, trials = 0, 400
    for _ in range(trials):
        table = rng.normal(size=(settings, seeds))
        values = pseudo_values(lambda i, t=table: math.log(pooled_sd(t[:, i])), seeds)
        mean = student_mean(values)
        held += mean.low(0.025) <= 0 <= mean.high(0.025)
    assert 0.915 <= held / trials <= 0.985


def test_interval_of_a_spread() -> None:
    """Protects what is shown: the estimate is the plain one, its bounds above 0 or 0."""
    values = np.random.default_rng(5).normal(size=16)
    found = jackknifed(lambda i: pooled_sd(values[i]), 16)
    assert found.estimate == pytest.approx(values.std(ddof=1))
    assert 0 < found.low < found.estimate < found.high
    flat = jackknifed(lambda i: 0.0, 16)
    assert (flat.low, flat.estimate, flat.high) == (0, 0, 0)
    lone = np.eye(1, 16)[0]  # without that seed there is no spread at all
    assert jackknifed(lambda i: pooled_sd(lone[i]), 16).low == 0


def test_a_twin_that_is_a_new_seed_has_its_spread() -> None:
    """Protects the ratio of a bit to a seed: where twins are as good as new seeds it is 1."""
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 20_000))
    ratio = twin_sd(first, second) / pooled_sd([first, second])
    assert ratio == pytest.approx(1, abs=0.03)
    assert twin_sd(first, first) == 0


def test_slope_of_a_spread() -> None:
    """Protects claim 4c: the slope of standard deviations that grow by a known amount."""
    base = np.random.default_rng(7).normal(size=12)
    doses = np.array([0.0, 0.1, 0.4])
    table = np.stack([(2 + 5 * dose) * base for dose in doses])
    assert slope_of_sd(doses, table) == pytest.approx(5 * base.std(ddof=1))
