"""The exact test of discordant pairs, against scipy's binomial test."""

from __future__ import annotations

import pytest
from scipy import stats

from convergence.analysis.divergence import Discordance


@pytest.mark.parametrize(("treatment", "control"), [(0, 0), (3, 0), (0, 6), (7, 2), (50, 30)])
def test_discordance_is_the_binomial_test(treatment: int, control: int) -> None:
    """Protects the exact McNemar test, against scipy's binomial test."""
    pairs = Discordance(treatment, control)
    n = treatment + control
    if n == 0:
        assert pairs.p_treatment_no_worse() == pairs.p_control_no_worse() == 1
        return
    expected = [stats.binomtest(k, n, alternative="greater").pvalue for k in (treatment, control)]
    assert pairs.p_treatment_no_worse() == pytest.approx(expected[0])
    assert pairs.p_control_no_worse() == pytest.approx(expected[1])


def test_discordance_can_decide_only_with_enough_pairs() -> None:
    """Protects the level of the other route: five pairs can never be significant at .025."""
    assert not Discordance(5, 0).can_decide(0.025)
    assert Discordance(3, 3).can_decide(0.025)
    assert not Discordance(0, 0).can_decide(0.025)
