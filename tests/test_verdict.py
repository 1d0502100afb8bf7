"""Verdicts of a family: what is displayed agrees with what is decided, and plans are kept."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from helpers.claims import SPREAD, claim, decide
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.claim import Kind
from convergence.analysis.power import smallest_detectable_effect
from convergence.analysis.verdict import Verdict, compound, decide_family

NAN = math.nan


def _family(
    effects: Sequence[float], kinds: Sequence[Kind], n: int, seed: int, direction: int = 1
) -> list[Verdict]:
    rng = np.random.default_rng(seed)
    control = rng.standard_normal(n)
    treatments = [direction * (effect + rng.standard_normal(n)) for effect in effects]
    claims = [claim(kind, direction) for kind in kinds]
    return decide_family(claims, treatments, [direction * control] * len(claims))


KINDS = st.sampled_from(["superiority", "non-inferiority", "equivalence"])
FAMILY = st.lists(st.tuples(st.floats(-4, 4), KINDS), min_size=1, max_size=7)


def _by_display(verdict: Verdict) -> str:
    """The decision that a reader takes from the interval alone, written anew."""
    low, high, margin = verdict.low, verdict.high, verdict.claim.margin
    if verdict.claim.direction < 0:
        low, high = -high, -low
    if verdict.claim.kind == "superiority":
        return "fails" if high < margin else "holds" if low > 0 else "undecided"
    if verdict.claim.kind == "non-inferiority":
        return "holds" if low > -margin else "fails" if high < -margin else "undecided"
    if low > -margin and high < margin:
        return "holds"
    return "fails" if low > margin or high < -margin else "undecided"


@settings(max_examples=150, deadline=None)
@given(FAMILY, st.integers(2, 14), st.integers(0, 2**32), st.sampled_from([1, -1]))
def test_display_agrees_with_decision(
    family: list[tuple[float, Kind]], n: int, seed: int, direction: int
) -> None:
    """Protects a reader: in any family the interval shown and the corrected decision agree."""
    effects, kinds = zip(*family)
    for verdict in _family(effects, kinds, n, seed, direction):
        assert _by_display(verdict) == verdict.decision
        assert verdict.low <= verdict.effect <= verdict.high


@settings(max_examples=50, deadline=None)
@given(FAMILY, st.integers(2, 14), st.integers(0, 2**32))
def test_decisions_are_holms(family: list[tuple[float, Kind]], n: int, seed: int) -> None:
    """Protects the correction: superiority holds or fails where Holm's adjusted p says so."""
    effects = [effect for effect, _ in family]
    verdicts = _family(effects, ["superiority"] * len(effects), n, seed)
    rng = np.random.default_rng(seed)
    control = rng.standard_normal(n)
    differences = [effect + rng.standard_normal(n) - control for effect in effects]

    def rejected(null: float, side: str) -> list[bool]:
        p = [stats.ttest_1samp(d, null, alternative=side).pvalue for d in differences]
        return [
            max((len(p) - sum(x < q for x in p)) * q for q in p if q <= one) < 0.025 for one in p
        ]

    above, below = rejected(0, "greater"), rejected(1, "less")
    for verdict, beyond_zero, under_margin in zip(verdicts, above, below):
        expected = "fails" if under_margin else "holds" if beyond_zero else "undecided"
        assert verdict.decision == expected


def test_mirrored_claims_get_mirrored_verdicts() -> None:
    """Protects metrics where smaller is better: the same decision, the interval turned around."""
    kinds: list[Kind] = ["superiority", "non-inferiority", "equivalence"] * 2
    up = _family([3, 0, 0, -2, -3, 1], kinds, 9, 4)
    down = _family([3, 0, 0, -2, -3, 1], kinds, 9, 4, direction=-1)
    for one, other in zip(up, down):
        assert (one.decision, one.reason) == (other.decision, other.reason)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert (one.alpha_low, one.alpha_high) == (other.alpha_high, other.alpha_low)


def test_company_costs() -> None:
    """Protects the multiplicity: a lone finding is lost among nine that show nothing."""
    lone = 0.9 + SPREAD
    noise = [np.where(np.arange(10) % 2, 3.0, -3.0)] * 9
    verdicts = decide_family([claim()] * 10, [lone, *noise], [np.zeros(10)] * 10)
    assert decide(lone).decision == "holds"
    assert verdicts[0].decision == "undecided"
    assert verdicts[0].alpha_low == pytest.approx(0.0025)
    assert verdicts[0].comparisons == 10


def test_the_order_of_claims_does_not_matter() -> None:
    """Protects a verdict from its row in the table."""
    kinds: list[Kind] = ["superiority", "equivalence", "superiority", "non-inferiority"]
    arms = [e + np.random.default_rng(i).standard_normal(8) for i, e in enumerate((2, 0, 1, 3))]
    claims, zeros = [claim(kind) for kind in kinds], [np.zeros(8)] * 4
    forward = decide_family(claims, arms, zeros)
    backward = decide_family(claims[::-1], arms[::-1], zeros)
    assert backward[::-1] == forward


def test_families_are_not_mixed() -> None:
    """Protects the number of comparisons that was fixed before training."""
    other = dataclasses.replace(claim(), family="secondary")
    with pytest.raises(ValueError, match="one family"):
        decide_family([claim(), other], [SPREAD] * 2, [SPREAD] * 2)
    with pytest.raises(ValueError, match="1 claims"):
        decide_family([claim()], [SPREAD] * 2, [SPREAD])
    assert decide_family([], [], []) == []


def test_undecided_says_what_would_settle_it() -> None:
    """Protects the use of 'undecided': the effect these data could show, and how many seeds."""
    verdict = decide(0.6 + SPREAD)
    needed = verdict.seeds_needed
    assert verdict.smallest_detectable == pytest.approx(1.05, abs=0.01)  # (2.26 + .88) / 3
    assert needed.to_hold is not None
    assert needed.to_fail is not None
    assert 20 <= needed.to_hold <= 30  # .6 from 0
    assert 45 <= needed.to_fail <= 60  # .4 below the margin
    assert needed.fewest == needed.to_hold
    beyond = decide(1.2 + 3 * SPREAD).seeds_needed
    assert beyond.to_fail is None
    assert decide(0.9 + SPREAD).seeds_needed.fewest is None


def test_equivalence_must_succeed_twice() -> None:
    """Protects the plan of an equivalence claim: each of its two tests needs power .9."""
    verdict = decide(0.1 + 2 * SPREAD, "equivalence")
    sd = 2 * SPREAD.std(ddof=1)
    assert verdict.smallest_detectable == pytest.approx(
        smallest_detectable_effect(10, sd, 0.025, power=0.9)
    )
    assert verdict.seeds_needed.to_fail is None
    assert verdict.seeds_needed.to_hold is not None


def test_planned_seeds_do_settle() -> None:
    """Protects the promise: with the seeds asked for, 4 of 5 such studies are decided."""
    n = decide(0.6 + SPREAD).seeds_needed.fewest
    assert n is not None
    rng = np.random.default_rng(0)
    sd = SPREAD.std(ddof=1)
    again = [decide(0.6 + sd * rng.standard_normal(n)) for _ in range(800)]
    assert np.mean([verdict.low > 0 for verdict in again]) == pytest.approx(0.8, abs=0.04)
    assert np.mean([verdict.decision != "undecided" for verdict in again]) >= 0.8


HOLDS, FAILS, UNDECIDED = (decide(effect + SPREAD) for effect in (5.0, -5.0, 0.6))
(NOT_APPLICABLE,) = decide_family([claim()], [[NAN]], [[NAN]])


@pytest.mark.parametrize(
    ("parts", "decision"),
    [
        ([HOLDS, HOLDS], "holds"),
        ([HOLDS, UNDECIDED], "undecided"),
        ([HOLDS, FAILS, UNDECIDED], "fails"),
        ([UNDECIDED, NOT_APPLICABLE], "not applicable"),
        ([FAILS, NOT_APPLICABLE], "fails"),
    ],
)
def test_a_compound_claim_needs_every_part(parts: list[Verdict], decision: str) -> None:
    """Protects 'and' from becoming 'or'."""
    whole = compound(parts, "3", "Both.")
    assert whole.decision == decision
    assert len(whole.to_json()["parts"]) == len(parts)
    assert ("3b: reversed" in whole.reason) == (decision == "fails")


def test_a_compound_claim_has_parts() -> None:
    """Protects from a claim that holds for want of anything to refute it."""
    with pytest.raises(ValueError, match="part"):
        compound([])


@pytest.mark.parametrize("verdict", [HOLDS, FAILS, UNDECIDED, NOT_APPLICABLE, decide([1.0])])
def test_verdicts_are_strict_json(verdict: Verdict) -> None:
    """Protects summary.json, and that no field is left out of it."""
    found = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert str(Verdict.from_json(found)) == str(verdict)  # as text, where NaN equals itself
    assert Verdict.from_json(found).to_json() == verdict.to_json()
    with pytest.raises(KeyError):
        Verdict.from_json({name: value for name, value in found.items() if name != "claim"})
    with pytest.raises(TypeError):
        Verdict.from_json(found | {"colour": "red"})
    with pytest.raises(ValueError, match="wide"):
        Verdict.from_json(found | {"low": "wide"})
    assert set(found) == {field.name for field in dataclasses.fields(Verdict)}
    assert found["claim"] == claim().to_json()
    assert found["decision"] == verdict.decision
