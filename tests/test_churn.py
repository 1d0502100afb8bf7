"""Churn between seeds and the spread that rows explain, against brute force and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convergence.analysis.churn import (
    disagreement,
    ensemble_gain,
    jackknife,
    mean_of_pairs,
    row_ratio,
    squared_distance,
)


def masks(seeds: int, rows: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(bool, (seeds, rows))


@given(hnp.arrays(np.int64, (4, 7), elements=st.integers(0, 3)), masks(4, 7))
@settings(max_examples=80, deadline=None)
def test_disagreement_is_counted_row_by_row(classes: np.ndarray, scored: np.ndarray) -> None:
    """Protects churn: the share of common rows on which two seeds differ, as a loop counts it."""
    found = disagreement(classes, scored)
    for a, b in itertools.product(range(4), range(4)):
        common = scored[a] & scored[b]
        if not common.any():
            assert np.isnan(found[a, b])
            continue
        expected = (classes[a] != classes[b])[common].mean()
        assert found[a, b] == pytest.approx(expected, abs=1e-12)


@given(hnp.arrays(np.float64, (3, 6), elements=st.floats(-1e3, 1e3)), masks(3, 6))
@settings(max_examples=80, deadline=None)
def test_distance_is_the_mean_square(values: np.ndarray, scored: np.ndarray) -> None:
    """Protects churn of numbers, large ones with small differences included."""
    for shift, slack in ((0.0, 1e-6), (1e6, 1e-6)):
        found = squared_distance(values + shift, scored)
        for a, b in itertools.product(range(3), range(3)):
            common = scored[a] & scored[b]
            if not common.any():
                assert np.isnan(found[a, b])
                continue
            expected = ((values[a] - values[b])[common] ** 2).mean()
            assert found[a, b] == pytest.approx(expected, rel=1e-6, abs=slack)


def test_pairs_that_do_not_meet_are_left_out() -> None:
    """Protects the mean of pairs: the diagonal and NaN pairs count for nothing."""
    table = np.array([[9.0, 0.2, np.nan], [0.2, 9.0, 0.4], [np.nan, 0.4, 9.0]])
    found = mean_of_pairs(table)
    assert found.estimate == pytest.approx(0.3)
    assert (found.low, found.high) == (-math.inf, math.inf)  # one seed left out leaves no pair
    assert math.isnan(mean_of_pairs(np.full((2, 2), np.nan)).estimate)


@pytest.mark.parametrize("seeds", [8, 32])
def test_churn_is_covered(seeds: int) -> None:
    """Protects the interval over seeds: it covers the mean of all pairs in 92 to 98 % of samples.

    A seed predicts the wrong class on a row with its own probability, so that pairs share seeds.
    """
    rng, hits, count = np.random.default_rng(seeds), 0, 1500
    level = 0.05 + 0.1 * rng.random(200_000)
    mean, square = float(level.mean()), float(level.mean()) ** 2
    truth = 2 * mean - 2 * square  # two classes: they differ where exactly one is wrong
    for _ in range(count):
        wrong = rng.random((seeds, 150)) < rng.choice(level, seeds)[:, None]
        found = mean_of_pairs(disagreement(wrong.astype(int)))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / count <= 0.98


@pytest.mark.parametrize(("seeds", "lift"), [(32, 0.0), (100, 0.0), (100, 0.02)])
def test_row_ratio_is_covered(seeds: int, lift: float) -> None:
    """Protects the ratio to √Σp(1−p)/n: 1 for independent rows, above where seeds differ."""
    rng, hits, count, rows = np.random.default_rng(seeds), 0, 600, 200
    chance = np.clip(rng.beta(8, 1, rows), 0.05, 0.95 - 2 * lift)
    variance = (chance * (1 - chance)).sum() / rows**2
    # Each seed's probability is shifted by +lift or -lift on all rows.
    inside = (((chance + lift) * (1 - chance - lift)).sum() / rows**2
              + ((chance - lift) * (1 - chance + lift)).sum() / rows**2) / 2  # fmt: skip
    truth = math.sqrt((inside + lift**2) / variance)
    estimates = []
    for _ in range(count):
        shift = lift * rng.choice([-1, 1], seeds)
        correct = (rng.random((seeds, rows)) < chance + shift[:, None]).astype(float)
        found = row_ratio(correct)
        estimates.append(found.estimate)
        hits += found.low <= truth <= found.high
    assert np.mean(estimates) == pytest.approx(truth, rel=0.02)
    assert 0.92 <= hits / count <= 0.98


def test_row_ratio_of_unequal_rows() -> None:
    """Protects varied splits: seeds scored on different rows, independent ones still give 1."""
    rng = np.random.default_rng(5)
    chance = rng.beta(8, 1, 400)
    found = []
    for _ in range(200):
        correct = (rng.random((40, 400)) < chance).astype(float)
        correct[rng.random((40, 400)) < 0.6] = np.nan
        # Accuracies on different rows differ by the rows' difficulty, too: held equal here.
        found.append(
            row_ratio(np.where(np.isnan(correct), np.nan, correct - chance + 0.8)).estimate
        )
    assert np.mean(found) == pytest.approx(1, rel=0.03)


def test_all_alike_has_no_ratio() -> None:
    """Protects from a ratio of nothing: seeds that are one run have neither spread."""
    found = row_ratio(np.ones((5, 8)))
    assert math.isnan(found.estimate)


def test_jackknife_of_a_mean_is_student() -> None:
    """Protects the jackknife: for a mean it is Student's interval, exactly."""
    from convergence.analysis.statistics import paired_t

    values = np.random.default_rng(2).exponential(size=9)
    without = (values.sum() - values) / 8
    ours, theirs = jackknife(values.mean(), without), paired_t(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_gain_of_the_ensemble() -> None:
    """Protects the gain: no gain of seeds that agree; a constant gain has a narrow interval."""
    scores = np.array([0.8, 0.82, 0.84, 0.86])
    rest = (scores.sum() - scores) / 3
    found = ensemble_gain(scores, scores.mean(), rest)
    assert (found.estimate, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)
    lifted = ensemble_gain(scores, scores.mean() + 0.05, rest + 0.05)
    assert (lifted.low, lifted.high) == pytest.approx((0.05, 0.05))
    assert ensemble_gain(scores[:1], 0.8, [np.nan]).high == math.inf
