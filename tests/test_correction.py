"""Holm's step-down: levels that agree with decisions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.analysis.correction import holm

P_VALUES = st.lists(st.sampled_from([0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.3, 1.0]), max_size=8)


def test_holm_by_hand() -> None:
    """Protects levels and order: .05/4, .05/3, then the stop at .05/2 for the rest."""
    fates = holm([0.03, 0.01, 0.9, 0.016], 0.05)
    assert [fate.rejected for fate in fates] == [False, True, False, True]
    assert [fate.alpha for fate in fates] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])


def test_a_bound_that_touches_excludes_nothing() -> None:
    """Protects the agreement at equality: p = level is no rejection, as a bound of 0 is none."""
    assert not holm([0.025], 0.025)[0].rejected


@given(P_VALUES)
def test_holm_levels_agree_with_the_textbook(p_values: list[float]) -> None:
    """Protects display from decision: p < level exactly where Holm's adjusted p rejects."""
    m = len(p_values)
    fates = holm(p_values, 0.025)
    for p, fate in zip(p_values, fates):
        # Adjusted p: the largest (m - rank + 1) * p over the smaller p-values.
        adjusted = max((m - sum(x < q for x in p_values)) * q for q in p_values if q <= p)
        assert fate.rejected == (adjusted < 0.025)
        assert fate.rejected == (p < fate.alpha)
        assert 0.025 / m - 1e-12 <= fate.alpha <= 0.025


@given(P_VALUES, st.randoms())
def test_holm_does_not_care_for_order(p_values: list[float], random: object) -> None:
    """Protects a verdict from its place in the table, also among equal p-values."""
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    fates, shuffled = holm(p_values, 0.025), holm([p_values[i] for i in order], 0.025)
    assert shuffled == [fates[i] for i in order]


@pytest.mark.parametrize("bad", [[math.nan], [-0.1], [1.5]])
def test_holm_refuses_what_is_no_p_value(bad: list[float]) -> None:
    """Protects the order of the step-down from NaN."""
    with pytest.raises(ValueError, match="p-values"):
        holm(bad, 0.05)
