"""The summary of one arm: what diverged is counted, never averaged."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from convergence.analysis.arms import arm_summary

SAMPLE = np.array([0.3, -0.1, 0.8, 0.25, 1.9, 0.4, 0.05, 0.6])


def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def test_arm_summary_counts_what_diverged() -> None:
    """Protects means from diverged trials, which are a proportion of their own."""
    values = np.array([*SAMPLE, math.nan, math.inf])
    summary = arm_summary(values, rng(), replicates=999)
    assert summary.mean.estimate == pytest.approx(SAMPLE.mean())
    assert (summary.n, summary.mean.n, summary.diverged_count) == (10, 8, 2)
    assert summary.diverged.high == pytest.approx(stats.binomtest(2, 10).proportion_ci().high)
    assert (summary.minimum, summary.maximum) == (-0.1, 1.9)
    assert summary.sd == pytest.approx(SAMPLE.std(ddof=1))
    assert any("2 of 10 trials diverged" in warning for warning in summary.warnings)


@pytest.mark.parametrize("values", [[], [math.nan] * 3, [0.5], [0.5, 0.5], [0.1, 0.2, 0.3, 0.4]])
def test_arm_summaries_are_strict_json(values: list[float]) -> None:
    """Protects summary.json from arms of which little or nothing finished."""
    told = json.dumps(arm_summary(values, rng(), replicates=999).to_json(), allow_nan=False)
    finished = sum(math.isfinite(value) for value in values)
    read = json.loads(told)
    assert (read["n"], read["diverged_count"]) == (len(values), len(values) - finished)


def test_copies_have_no_interval() -> None:
    """Protects from an interval of no width: one run made five times is one run."""
    for value, diverged in ((0.4, 0), (math.nan, 5)):
        summary = arm_summary([value] * 5, rng(), copies=True)
        assert (summary.n, summary.mean.n, summary.diverged_count) == (
            5,
            int(not diverged),
            diverged,
        )
        assert not math.isfinite(summary.mean.low)
        assert not math.isfinite(summary.mean.high)
        assert math.isnan(summary.sd)
        assert summary.warnings == (summary.mean.warning,)
        assert "all 5 seeds are the same run" in summary.mean.warning
