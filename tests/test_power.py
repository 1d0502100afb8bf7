"""What a sample could have shown, and the seeds that would settle a question."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from convergence.analysis.power import (
    CAP,
    SeedsNeeded,
    detectable,
    project_sample,
    seeds_to_show,
    smallest_detectable_effect,
)
from convergence.analysis.statistics import StudentMean


@pytest.mark.parametrize("n", [2, 8, 64])
def test_the_smallest_detectable_effect_is_found_with_its_power(n: int) -> None:
    """Protects 'these data could have shown': by simulation, 80 % of the time."""
    effect = smallest_detectable_effect(n, 2.0, 0.01)
    samples = effect + 2 * np.random.default_rng(n).standard_normal((40_000, n))
    t = samples.mean(1) / (samples.std(1, ddof=1) / math.sqrt(n))
    assert (t > stats.t.isf(0.01, n - 1)).mean() == pytest.approx(0.8, abs=0.01)


def test_one_seed_detects_nothing() -> None:
    """Protects from a promise made on no spread."""
    assert smallest_detectable_effect(1, 2.0, 0.01) == math.inf
    assert detectable(StudentMean(0.0, 0.0, 4.0, 5), 0.025) == math.inf
    assert detectable(StudentMean(0.0, 0.0, 5.0, 6), 0.025) == 0


@pytest.mark.parametrize("distance", [4.0, 1.0, 0.4, 0.21])
@pytest.mark.parametrize("alpha", [0.025, 0.00025])
def test_seeds_to_show_is_the_fewest(distance: float, alpha: float) -> None:
    """Protects the advice on seeds: as many detect the effect, fewer do not."""
    at = project_sample(StudentMean(0.0, 1 / math.sqrt(8), 7.0, 8))
    n = seeds_to_show(distance, at, alpha)
    assert smallest_detectable_effect(n, 1.0, alpha) <= distance
    spare = 1 if n <= 100 else 2  # above 100 the count may be one too many
    assert n == 2 or smallest_detectable_effect(n - spare, 1.0, alpha) > distance


def test_too_many_seeds_are_not_counted() -> None:
    """Protects from a number nobody can train, and from one for no effect at all."""
    at = project_sample(StudentMean(0.0, 1 / math.sqrt(8), 7.0, 8))
    assert seeds_to_show(0.001, at, 0.025) == CAP + 1
    assert seeds_to_show(0.0, at, 0.025) == CAP + 1
    assert 2_000 < seeds_to_show(0.06, at, 0.025) < 2_400
    assert str(SeedsNeeded(CAP + 1, None)) == "more than 10,000"
    assert SeedsNeeded(CAP + 1, 40).to_json() == {"to_hold": None, "to_fail": 40, "text": "40"}
    assert str(SeedsNeeded(None, None)) == "unknown"
