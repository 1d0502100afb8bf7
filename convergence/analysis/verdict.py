"""Verdicts: a family of claims, decided together by the rules fixed before training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from convergence.analysis import telling
from convergence.analysis.claim import Claim, Kind
from convergence.analysis.correction import holm
from convergence.analysis.evidence import Evidence, weigh
from convergence.analysis.power import CAP, POWER, SeedsNeeded, detectable, seeds_to_show
from convergence.analysis.rules import Decision, Ruling, by_interval, rule
from convergence.analysis.statistics import SpeaksOf, few_warning, from_strict, strict_number
from convergence.analysis.telling import Unit

__all__ = ["Claim", "Compound", "Decision", "Verdict", "compound", "decide_family", "verdict_on"]


_NUMBERS = ("effect", "low", "high", "alpha_low", "alpha_high", "smallest_detectable")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim with its effect, interval and decision.

    Attributes:
        claim: what was claimed.
        decision: 'holds', 'fails', 'undecided' or 'not applicable'.
        reason: '' or why: 'reversed', 'negligible', 'worse', 'different', 'diverges', 'control
            diverges', 'one of a pair diverges', or a sentence.
        effect: mean of treatment minus control over the pairs that finished, in the metric's units
            (not turned by the claim's direction).
        low, high: the corrected bounds of the effect, the ones the decision rests on.
        alpha_low, alpha_high: the one-sided levels of these bounds after correction.
        n: pairs of trials that finished, of ``seeds``.
        comparisons: how many claims share the correction.
        speaks_of: whether the interval is for other 'seeds' or other 'seeds and rows'.
        method: how the interval was computed.
        smallest_detectable: the distance from the tested value that these data would have shown
            with power .8 at the corrected level, in the metric's units.
        seeds_needed: for an undecided claim, the seeds that would settle it, were the effect what
            it seems to be.
        diverged_treatment, diverged_control: trials that diverged, of ``seeds`` each.
        warnings: what a reader should know before trusting it.
    """

    claim: Claim
    decision: Decision
    reason: str
    effect: float
    low: float
    high: float
    alpha_low: float
    alpha_high: float
    n: int
    seeds: int
    comparisons: int
    speaks_of: SpeaksOf
    method: str
    smallest_detectable: float
    seeds_needed: SeedsNeeded
    diverged_treatment: int
    diverged_control: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: NaN becomes None, an infinity its name."""
        plain = {f.name: strict_number(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return plain | {
            "claim": self.claim.to_json(),
            "seeds_needed": self.seeds_needed.to_json(),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict that ``to_json`` wrote (a number of seeds above the cap is not known again).

        Raises:
            KeyError, TypeError, ValueError: a field is missing, unknown or of another kind.
        """
        numbers = {name: from_strict(data[name]) for name in _NUMBERS}
        needed = data["seeds_needed"]
        return cls(
            **dict(data)
            | numbers
            | {
                "claim": Claim.from_json(data["claim"]),
                "seeds_needed": SeedsNeeded(needed["to_hold"], needed["to_fail"]),
                "warnings": tuple(map(str, data["warnings"])),
            }
        )


def decide_family(
    claims: Sequence[Claim],
    treatments: Sequence[ArrayLike],
    controls: Sequence[ArrayLike],
    *,
    alpha: float = 0.05,
    speaks_of: SpeaksOf | None = None,
    units: Sequence[Unit] | None = None,
) -> list[Verdict]:
    """Decide claims that share one correction.

    With effects turned so that positive supports the claim, and the margin d:

    - superiority holds where the interval lies above 0 and not wholly below d; it fails where it
      lies wholly below d: 'reversed' if wholly below 0, 'negligible' otherwise;
    - non-inferiority holds above -d and fails below -d ('worse');
    - equivalence holds inside (-d, d) (two one-sided tests, Schuirmann 1987) and fails outside
      ('different').

    Two step-downs of Holm run over the whole family, each at one-sided alpha / 2: one over the
    hypotheses that must go for a claim to hold (effect <= 0; effect <= -d; |effect| >= d), one over
    those that must go for it to fail (effect >= d; effect >= -d; |effect| <= d). So any false
    'holds' in the family has probability at most alpha / 2, and any false 'fails' likewise. Each
    bound is shown at the level its hypothesis was tested at: the interval and the decision agree.
    ('reversed' and 'negligible' describe a failure already found and are not corrected again.)

    Trials that diverged enter no mean. Where one arm diverged and the other did not, the exact
    test of those pairs decides first if it is significant ('diverges', 'control diverges'); if it
    is not but points away from what the interval says, the claim stays undecided.

    Args:
        claims: [m] of one family.
        treatments, controls: [m] arrays [seeds], not finite where a trial diverged, or
            [seeds, rows] for inference over seeds and rows.
        alpha: two-sided family-wise level.
        speaks_of: see ``weigh``.
        units: [m] what a pair of trials of each claim is, for what is said of it (default: seeds).

    Returns:
        [m] verdicts in the order of the claims.

    Raises:
        ValueError: lengths or shapes do not match, or the claims are of several families.
    """
    if not len(claims) == len(treatments) == len(controls):
        raise ValueError(
            f"{len(claims)} claims, {len(treatments)} treatments and {len(controls)} controls"
        )
    told: Sequence[Unit] = units or ["seed"] * len(claims)
    families = {claim.family for claim in claims}
    if len(families) > 1:
        raise ValueError(f"claims of one family are decided together, got {sorted(families)}")
    family = [
        weigh(claim, treatment, control, alpha / 2, speaks_of, unit)
        for claim, treatment, control, unit in zip(claims, treatments, controls, told, strict=True)
    ]
    holds = holm([evidence.p_holds() for evidence in family], alpha / 2)
    fails = holm([evidence.p_fails() for evidence in family], alpha / 2)
    return [
        _verdict(evidence, hold.alpha, fail.alpha, len(family))
        for evidence, hold, fail in zip(family, holds, fails)
    ]


def _verdict(
    evidence: Evidence, alpha_holds: float, alpha_fails: float, comparisons: int
) -> Verdict:
    """One verdict, given the levels that the step-downs left for holding and for failing."""
    claim, mean = evidence.claim, evidence.mean
    ruling = rule(evidence, alpha_holds, alpha_fails)
    # Equivalence needs two tests to succeed at once.
    power = (1 + POWER) / 2 if claim.kind == "equivalence" else POWER
    level_holds, level_fails = evidence.hold_level(alpha_holds), evidence.fail_level(alpha_fails)
    needed = SeedsNeeded(None, None)
    if ruling.decision == "undecided":
        needed = _seeds_needed(evidence, level_holds, level_fails, power)
    effect, low, high = mean.estimate, ruling.low, ruling.high
    alpha_low, alpha_high = ruling.alpha_low, ruling.alpha_high
    if claim.direction < 0:
        effect, low, high = -effect, -high, -low
        alpha_low, alpha_high = alpha_high, alpha_low
    return Verdict(
        claim=claim,
        decision=ruling.decision,
        reason=ruling.reason,
        effect=effect,
        low=low,
        high=high,
        alpha_low=alpha_low,
        alpha_high=alpha_high,
        n=evidence.pairs,
        seeds=evidence.seeds,
        comparisons=comparisons,
        speaks_of=evidence.speaks_of,
        method=evidence.method,
        smallest_detectable=detectable(mean, level_holds, power),
        seeds_needed=needed,
        diverged_treatment=evidence.diverged_treatment,
        diverged_control=evidence.diverged_control,
        warnings=tuple(_warnings(evidence, ruling, needed)),
    )


def _seeds_needed(
    evidence: Evidence, level_holds: float, level_fails: float, power: float
) -> SeedsNeeded:
    """Seeds that would settle an undecided claim if the true effect were the estimate."""
    if not math.isfinite(evidence.mean.error):
        return SeedsNeeded(None, None)
    margin, effect = evidence.claim.margin, evidence.mean.estimate
    if evidence.claim.kind == "superiority":
        to_hold, to_fail = effect, margin - effect
    elif evidence.claim.kind == "non-inferiority":
        to_hold, to_fail = effect + margin, -margin - effect
    else:
        to_hold, to_fail = margin - abs(effect), abs(effect) - margin
    at = evidence.projected
    return SeedsNeeded(
        seeds_to_show(to_hold, at, level_holds, power) if to_hold > 0 else None,
        seeds_to_show(to_fail, at, level_fails) if to_fail > 0 else None,
    )


def _warnings(evidence: Evidence, ruling: Ruling, needed: SeedsNeeded) -> Iterator[str]:
    few = few_warning(evidence.method, evidence.mean.n)
    if few and evidence.pairs > 1:  # else the reason says it
        yield few
    if evidence.pairs > 1 and evidence.mean.error == 0:
        yield f"all {evidence.pairs} differences are the same: the interval is that of the median"
    if evidence.diverged_treatment or evidence.diverged_control:
        counts = evidence.diverged_treatment, evidence.diverged_control
        yield telling.diverged(evidence.unit, evidence.seeds, *counts, evidence.pairs)
    alone, _ = by_interval(evidence, ruling.low, ruling.high)
    if ruling.reason in telling.SIGNS and alone != ruling.decision:
        yield f"decided by divergences; the pairs that finished say: {alone}"
    if evidence.speaks_of == "seeds and rows" and (needed.fewest or 0) > CAP:
        yield "more seeds alone will not settle this: test on more rows"


def verdict_on(
    verdicts: Sequence[Verdict], treatment: str, control: str, kind: Kind
) -> Verdict | None:
    """The verdict on one contrast, or None where it was not claimed."""
    for one in verdicts:
        claim = one.claim
        if (claim.treatment, claim.control, claim.kind) == (treatment, control, kind):
            return one
    return None


@dataclasses.dataclass(frozen=True)
class Compound:
    """A claim made of parts, each with its own verdict."""

    id: str
    statement: str
    decision: Decision
    reason: str
    parts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON, with the parts' verdicts."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return plain | {"parts": [part.to_json() for part in self.parts]}


def compound(parts: Sequence[Verdict], id: str = "", statement: str = "") -> Compound:
    """A compound claim needs every part: it holds if all hold, and fails if any fails.

    Holding needs no correction among the parts (intersection-union test, Berger 1982). Failing
    does, since one part suffices: decide the parts in one family, or accept that a false 'fails'
    is as likely as all of theirs together. A part that cannot be asked leaves the whole 'not
    applicable' unless another part fails.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("a compound claim needs at least one part")
    order: tuple[Decision, ...] = ("fails", "not applicable", "undecided", "holds")
    decision = min((part.decision for part in parts), key=order.index)
    guilty = [part for part in parts if part.decision == decision]
    reason = ""
    if decision != "holds":
        reason = "; ".join(f"{part.claim.id}: {part.reason or decision}" for part in guilty)
    return Compound(id, statement, decision, reason, tuple(parts))
