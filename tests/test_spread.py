"""How far seeds spread: Bonett's interval, what it covers, and what too few seeds are told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.spread import spread

SAMPLE = np.array([0.961, 0.972, 0.958, 0.969, 0.975, 0.964, 0.951, 0.970])


def test_the_formula() -> None:
    """Protects the interval: Bonett (2006), equation 3, worked out step by step."""
    n, z = 8, 1.959964
    centre = np.sort(SAMPLE)[2:6].mean()  # a share of 1 / (2 sqrt(4)) cut off at each end
    squares = ((SAMPLE - SAMPLE.mean()) ** 2).sum()
    kurtosis = n * ((SAMPLE - centre) ** 4).sum() / squares**2
    error = math.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    scale = n / (n - z)
    middle = scale * SAMPLE.var(ddof=1)
    found = spread(SAMPLE)
    assert found.sd == pytest.approx(SAMPLE.std(ddof=1))
    assert found.low == pytest.approx(math.sqrt(middle * math.exp(-z * scale * error)), rel=1e-5)
    assert found.high == pytest.approx(math.sqrt(middle * math.exp(z * scale * error)), rel=1e-5)
    assert (found.n, found.trials, found.warning) == (8, 8, "")
    assert found.low < found.sd < found.high


CASES: list[tuple[str, int, float, float]] = [
    ("normal", 4, 0.95, 1.0),
    ("normal", 8, 0.95, 1.0),
    ("normal", 32, 0.93, 0.97),
    ("skewness 1", 16, 0.90, 0.98),
    ("t of 5", 8, 0.93, 1.0),
    ("t of 5", 32, 0.86, 0.95),
]
DRAWS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 1.0),
    "skewness 1": (lambda rng, n: rng.gamma(4, size=n), 2.0),
    "t of 5": (lambda rng, n: rng.standard_t(5, size=n), math.sqrt(5 / 3)),
}


@pytest.mark.parametrize(("shape", "n", "low", "high"), CASES)
def test_coverage(shape: str, n: int, low: float, high: float) -> None:
    """Protects the docstring's figures: how often the interval holds the true spread."""
    rng = np.random.default_rng(7)
    draw, truth = DRAWS[shape]
    found = [spread(draw(rng, n)) for _ in range(800)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert low <= covered <= high


def test_it_approaches_the_chi_square_interval() -> None:
    """Protects from a factor: on a large normal sample both intervals are the same."""
    sample = np.random.default_rng(3).normal(size=20_000)
    found = spread(sample)
    chi = stats.chi2.ppf([0.975, 0.025], 19_999)
    expected = np.sqrt(19_999 * sample.var(ddof=1) / chi)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=2e-3)


@example([0.0, 0.0, 0.0, 2.7e-150], 1.0, 0.0, 0.5)  # its fourth power underflows
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=12),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
    st.floats(0.5, 0.999),
)
def test_units(values: list[float], scale: float, shift: float, level: float) -> None:
    """Protects margins: the spread has the metric's unit and does not depend on where it lies."""
    sample = np.array(values)
    one, other = spread(sample, level), spread(scale * sample + shift, level)
    if one.sd > 1e-6 * (1 + abs(shift) / scale):
        assert 0 < one.low <= one.sd * 3
        assert (other.sd, other.low, other.high) == pytest.approx(
            (scale * one.sd, scale * one.low, scale * one.high), rel=1e-3
        )
        assert spread(sample, 0.4).high <= one.high


def test_diverged_seeds_are_left_out_and_counted() -> None:
    """Protects the spread from NaN: it is that of the seeds that finished, and says how many."""
    mixed = np.concatenate([SAMPLE[:4], [np.nan, np.inf, -np.inf], SAMPLE[4:]])
    found, expected = spread(mixed), spread(SAMPLE)
    assert (found.sd, found.low, found.high) == (expected.sd, expected.low, expected.high)
    assert (found.n, found.trials) == (8, 11)


@pytest.mark.parametrize(
    ("values", "sd", "words"),
    [
        ([], math.nan, "one seed says nothing about spread"),
        ([0.5], math.nan, "one seed says nothing about spread"),
        ([math.nan, 0.5], math.nan, "one seed says nothing about spread"),
        ([0.5, 0.7], math.sqrt(0.02), "n = 2: .* needs at least 4"),
        ([0.5, 0.6, 0.7], 0.1, "n = 3: .* needs at least 4"),
        ([0.5] * 9, 0.0, "all 9 values are the same"),
    ],
)
def test_too_little_to_say(values: list[float], sd: float, words: str) -> None:
    """Protects readers from an interval out of two seeds, or a width of zero out of equal ones."""
    found = spread(values)
    assert found.sd == pytest.approx(sd, nan_ok=True)
    assert (found.low, found.high) == (0.0, math.inf)
    assert re.search(words, found.warning)
    assert found.trials == len(values)


def test_levels_that_few_seeds_cannot_reach() -> None:
    """Protects from the logarithm of a negative number at n = 4 and a level of 99.999 %."""
    found = spread([1.0, 2.0, 3.0, 5.0], 0.99999)
    assert (found.low, found.high) == (0.0, math.inf)
    assert "needs at least 5" in found.warning
    assert spread([1.0, 2.0, 3.0, 5.0, 6.0], 0.99999).high < math.inf
