"""The rules of the three kinds of claims, to the letter."""

from __future__ import annotations

import pytest
from helpers.claims import SPREAD, decide

from convergence.analysis.claim import Kind
from convergence.analysis.statistics import paired_t

RULES = [
    # Half of the 95 % interval is .754. kind, effect, decision, reason
    ("superiority", 5.0, "holds", ""),
    ("superiority", 0.9, "holds", ""),
    ("superiority", 0.6, "undecided", ""),
    ("superiority", 0.2, "fails", "negligible"),
    ("superiority", -0.7, "fails", "negligible"),
    ("superiority", -0.9, "fails", "reversed"),
    ("non-inferiority", 0.5, "holds", ""),
    ("non-inferiority", -0.2, "holds", ""),
    ("non-inferiority", -0.5, "undecided", ""),
    ("non-inferiority", -1.7, "undecided", ""),
    ("non-inferiority", -1.8, "fails", "worse"),
    ("equivalence", 0.0, "holds", ""),
    ("equivalence", 0.5, "undecided", ""),
    ("equivalence", -1.8, "undecided", ""),
    ("equivalence", 2.0, "fails", "different"),
    ("equivalence", -2.0, "fails", "different"),
]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("kind", "effect", "decision", "reason"), RULES)
def test_rules(kind: Kind, effect: float, decision: str, reason: str, direction: int) -> None:
    """Protects each rule as it is written, in both directions."""
    verdict = decide(direction * (effect + SPREAD), kind, direction)
    assert (verdict.decision, verdict.reason) == (decision, reason)
    assert verdict.effect == pytest.approx(direction * effect)


def test_beyond_zero_but_below_the_margin_is_negligible() -> None:
    """Protects from calling a real but useless difference a success."""
    verdict = decide(0.9 + SPREAD, margin=2.0)
    assert verdict.low > 0
    assert (verdict.decision, verdict.reason) == ("fails", "negligible")


def test_a_claim_alone_shows_the_paired_t() -> None:
    """Protects the display: with one comparison nothing is corrected."""
    verdict, interval = decide(0.9 + SPREAD), paired_t(0.9 + SPREAD)
    assert (verdict.low, verdict.high) == pytest.approx((interval.low, interval.high))
    assert (verdict.alpha_low, verdict.alpha_high) == (0.025, 0.025)
    assert (verdict.n, verdict.comparisons, verdict.speaks_of) == (10, 1, "seeds")
