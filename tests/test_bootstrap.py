"""Bootstrap-t and BCa: against resamples drawn out one by one, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from convergence.analysis.bootstrap import bootstrap_t, bootstrap_t_bounds, iqm_bca
from convergence.analysis.statistics import paired_t

SAMPLE = np.array([0.3, -0.1, 0.8, 0.25, 1.9, 0.4, 0.05, 0.6])


def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def test_bootstrap_t_is_the_textbooks() -> None:
    """Protects the matrix form of the bootstrap-t: the same resamples drawn out one by one."""
    low, high = bootstrap_t_bounds(SAMPLE, 0.05, rng(), 199)
    counts = rng().multinomial(8, np.full(8, 1 / 8), size=199)
    t = []
    for count in counts:
        again = np.repeat(SAMPLE, count)
        t.append((again.mean() - SAMPLE.mean()) / (again.std(ddof=1) / math.sqrt(8)))
    t.sort()
    error, student = SAMPLE.std(ddof=1) / math.sqrt(8), stats.t.ppf(0.95, 7)
    reaches = [max(q, (q + student) / 2) for q in (t[189], -t[9])]
    assert float(low) == pytest.approx(SAMPLE.mean() - reaches[0] * error)
    assert float(high) == pytest.approx(SAMPLE.mean() + reaches[1] * error)


def test_bootstrap_t_leans_as_the_data_do() -> None:
    """Protects the reason for the method: a long right tail makes a long upper side."""
    skewed = np.exp(2 * stats.norm.ppf((np.arange(16) + 0.5) / 16))
    interval = bootstrap_t(skewed, 0.95, rng())
    assert interval.method == "bootstrap-t"
    assert interval.high - interval.estimate > 2 * (interval.estimate - interval.low)
    mirrored = bootstrap_t(-skewed, 0.95, rng())
    assert mirrored.low == pytest.approx(-interval.high)


def test_bootstrap_t_ignores_units() -> None:
    """Protects from resampling that loses digits: a shift of a million moves only the place."""
    plain = bootstrap_t(SAMPLE, 0.95, rng(), 999)
    moved = bootstrap_t(1e6 + 3 * SAMPLE, 0.95, rng(), 999)
    assert moved.low - 1e6 == pytest.approx(3 * plain.low, abs=1e-6)
    assert moved.high - 1e6 == pytest.approx(3 * plain.high, abs=1e-6)


@pytest.mark.parametrize("sample", [[1.0] * 7 + [0.0], [0.1, 0.4, 0.3], [0.1, 0.4]])
def test_bootstrap_t_falls_back_to_student(sample: list[float]) -> None:
    """Protects from infinite intervals where too many resamples have no spread, and says so."""
    interval, student = bootstrap_t(sample, 0.95, rng()), paired_t(sample)
    assert (interval.low, interval.high) == (student.low, student.high)
    assert interval.method == "Student t"
    assert "too few distinct" in interval.warning


def test_bootstrap_t_of_equal_values_and_of_one() -> None:
    """Protects the edge cases that have no t at all."""
    assert bootstrap_t([0.5] * 8, 0.95, rng()).high == 0.5
    assert bootstrap_t([0.5], 0.95, rng()).high == math.inf
    assert math.isnan(bootstrap_t([], 0.95, rng()).high)


def test_a_tail_needs_replicates() -> None:
    """Protects from the extreme of too few resamples standing in for a quantile."""
    with pytest.raises(ValueError, match="at least 100"):
        bootstrap_t(SAMPLE, 0.98, rng(), replicates=50)


def test_large_samples_are_resampled_in_pieces() -> None:
    """Protects memory, and the number of replicates when they are split."""
    large = np.random.default_rng(0).standard_normal(5_000)
    interval, student = bootstrap_t(large, 0.95, rng(), 1_999), paired_t(large)
    assert interval.low == pytest.approx(student.low, abs=0.1 * (student.high - student.low))


def test_extreme_values_are_told() -> None:
    """Protects a reader of a mean that one failed seed has moved."""
    calm = np.random.default_rng(1).standard_normal(60)
    assert "1 value is extreme" in bootstrap_t([*calm[:15], -40.0], 0.95, rng()).warning
    assert bootstrap_t(calm[:16], 0.95, rng()).warning == ""
    assert bootstrap_t([*calm, -40.0], 0.95, rng()).warning == ""


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    """Protects the IQM, its interval's place and its warning about small samples."""
    interval = iqm_bca(SAMPLE, 0.95, rng(), 999)
    assert interval.estimate == pytest.approx(np.sort(SAMPLE)[2:6].mean())
    assert interval.low < interval.estimate < interval.high
    assert "n = 8" in interval.warning
    assert iqm_bca(np.tile(SAMPLE, 2), 0.95, rng(), 999).warning == ""


def test_iqm_resists_one_wild_seed() -> None:
    """Protects the reason for showing it: one failure moves the mean, not the IQM."""
    sample = np.random.default_rng(2).standard_normal(20)
    wild = np.where(np.arange(20) == sample.argmin(), -1e6, sample)
    assert iqm_bca(wild, 0.95, rng(), 999).estimate == iqm_bca(sample, 0.95, rng(), 999).estimate


def test_iqm_edge_cases() -> None:
    """Protects against NaN bounds from samples that scipy's BCa cannot bootstrap."""
    assert iqm_bca([0.5], 0.95, rng()).high == math.inf
    assert iqm_bca([0.5] * 8, 0.95, rng()).high == 0.5
    nearly = iqm_bca([1.0] * 7 + [0.0], 0.95, rng(), 999)
    assert not math.isnan(nearly.low)
    assert not math.isnan(nearly.high)


def test_generators_decide_the_draws() -> None:
    """Protects repeatability: the same generator state gives the same interval."""
    assert bootstrap_t(SAMPLE, 0.95, rng()) == bootstrap_t(SAMPLE, 0.95, rng())
    assert iqm_bca(SAMPLE, 0.95, rng(), 999) == iqm_bca(SAMPLE, 0.95, rng(), 999)


@pytest.mark.parametrize("sample", [[0.2, 0.5], [0.2, 0.5, 0.9]])
def test_an_iqm_of_few_values_is_their_mean(sample: list[float]) -> None:
    """Protects from an interval that is the range of two values, whatever its level."""
    interval, student = iqm_bca(sample, 0.95, rng()), paired_t(sample)
    assert interval.estimate == pytest.approx(np.mean(sample))
    assert (interval.low, interval.high) == (student.low, student.high)
    assert interval.method == "Student t"
    assert f"n = {len(sample)}: too few values for an IQM" in interval.warning
    assert iqm_bca([*sample, 1.0, 1.4], 0.95, rng()).method == "IQM BCa"
