"""The rules that turn evidence into a decision, given the levels that the correction leaves."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from convergence.analysis import telling
from convergence.analysis.evidence import Evidence

Decision = Literal["holds", "fails", "undecided", "not applicable"]


@dataclasses.dataclass(frozen=True)
class Ruling:
    """A decision with the oriented bounds it rests on and their one-sided levels."""

    decision: Decision
    reason: str
    low: float
    high: float
    alpha_low: float
    alpha_high: float


def rule(evidence: Evidence, alpha_holds: float, alpha_fails: float) -> Ruling:
    """Decide one claim: divergences first, then the interval.

    Args:
        evidence: of one claim, positive supporting it.
        alpha_holds, alpha_fails: the one-sided levels at which Holm's step-downs tested the
            hypotheses that must be rejected for the claim to hold and to fail.
    """
    alpha_low, alpha_high = _levels(evidence, alpha_holds, alpha_fails)
    low, high = -math.inf, math.inf
    if evidence.mean.n > 0:
        low, high = evidence.mean.low(alpha_low), evidence.mean.high(alpha_high)
    decision, reason = _decision(evidence, low, high, alpha_holds, alpha_fails)
    return Ruling(decision, reason, low, high, alpha_low, alpha_high)


def by_interval(evidence: Evidence, low: float, high: float) -> tuple[Decision, str]:
    """The decision and reason that the oriented interval alone gives."""
    margin = evidence.claim.margin
    if evidence.claim.kind == "superiority":
        if high < margin:
            return "fails", "reversed" if high < 0 else "negligible"
        return ("holds", "") if low > 0 else ("undecided", "")
    if evidence.claim.kind == "non-inferiority":
        if low > -margin:
            return "holds", ""
        return ("fails", "worse") if high < -margin else ("undecided", "")
    if -margin < low and high < margin:
        return "holds", ""
    return ("fails", "different") if low > margin or high < -margin else ("undecided", "")


def _levels(evidence: Evidence, alpha_holds: float, alpha_fails: float) -> tuple[float, float]:
    """The one-sided levels at which the two bounds are shown."""
    holds, fails = evidence.hold_level(alpha_holds), evidence.fail_level(alpha_fails)
    if evidence.claim.kind != "equivalence":
        return holds, fails
    # Both bounds serve both questions, each at its level: the level of the question that is
    # answered is shown, or the smaller when neither is. The intervals are nested, so they never
    # give two answers, and the wider one gives none that the narrower does not.
    for level, answer in ((holds, "holds"), (fails, "fails")):
        interval = evidence.mean.low(level), evidence.mean.high(level)
        if by_interval(evidence, *interval)[0] == answer:
            return level, level
    return min(holds, fails), min(holds, fails)


def _decision(
    evidence: Evidence, low: float, high: float, alpha_holds: float, alpha_fails: float
) -> tuple[Decision, str]:
    seeds, unit = evidence.seeds, evidence.unit
    if seeds == 0:
        return "not applicable", telling.none_there(unit)
    if evidence.diverged_treatment == evidence.diverged_control == seeds:
        return "not applicable", "every trial diverged"
    by_sign = evidence.sign_decides(alpha_holds, alpha_fails)
    if by_sign is not None:
        return by_sign[0], telling.by_divergences(unit, by_sign[1])
    if seeds == 1:
        return "undecided", telling.one_there(unit)
    if evidence.pairs < 2:
        return "undecided", telling.too_few(unit, evidence.pairs)
    if evidence.mean.n < 2:
        return "undecided", "one test row cannot tell"
    decision, reason = by_interval(evidence, low, high)
    if evidence.contradicts(decision):
        counts = evidence.diverged_treatment, evidence.diverged_control
        return "undecided", telling.contradicted(unit, decision, seeds, *counts)
    return decision, reason
