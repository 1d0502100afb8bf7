"""Was the learning rate lowered too early, held too long, or lowered in time?

The run as it was is held against the same run (its seeds, its first steps, its budget) with the
rate lowered earlier and lowered later. Each branch is a claim that it ends better, decided with the
others of its run: Holm over all of them, `verdict.decide_family`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convergence.analysis.claim import Claim
from convergence.analysis.verdict import Verdict, decide_family

EARLY = "lowered too early"
LONG = "held too long"
TIMELY = "in time"
UNDECIDED = "undecided"
IMPOSSIBLE = "not applicable"
VERDICTS = (EARLY, LONG, TIMELY, UNDECIDED, IMPOSSIBLE)
OWN = "as it was"


@dataclasses.dataclass(frozen=True)
class BranchVerdict:
    """What the branches say of the run they leave.

    Attributes:
        verdict: one of `VERDICTS`.
        reason: why none of the first three could be given, or "".
        best: which branch ends best of those that the verdict rests on (index into `branches`);
            None where the verdict is another than too early or too long.
        branches: [branches] each one's claim to end better than the run as it was.
        seeds_needed: for an undecided one, the seeds that would settle it if all effects were what
            they seem to be; None where that is not known, or more than is worth telling.
    """

    verdict: str
    reason: str
    best: int | None
    branches: tuple[Verdict, ...]
    seeds_needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return plain | {"branches": [one.to_json() for one in self.branches]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BranchVerdict:
        """What `to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        told = {field.name: data[field.name] for field in dataclasses.fields(cls)}
        return cls(**told | {"branches": tuple(map(Verdict.from_json, data["branches"]))})


def name_of(kind: str, point: int, steps: int) -> str:
    """A branch in words: "lowered at 30", "held to 270", "never lowered"."""
    if kind == "earlier":
        return f"lowered at {point}"
    return "never lowered" if point >= steps else f"held to {point}"


def answered(decision: str) -> str:
    """A decision on a branch's claim ("fails (reversed)") as an answer to "does it end better?"."""
    return decision.replace("holds", "yes", 1).replace("fails", "no", 1)


def claim_of(
    kind: str, point: int, steps: int, *, metric: str, margin: float, direction: int
) -> Claim:
    """The claim that a branch ends better than the run as it was: 3c of later ones, 3d of earlier.

    Args:
        kind: ``earlier`` or ``later``.
        point: where the branch lowers the rate.
        steps: the run's.
        metric, margin: what is compared, and the smallest difference worth acting on.
        direction: 1 where more of the metric is better, else -1.
    """
    name = name_of(kind, point, steps)
    return Claim(
        id="3d" if kind == "earlier" else "3c",
        statement=f"{name}, the run ends better",
        treatment=name,
        control=OWN,
        kind="superiority",
        direction=direction,
        metric=metric,
        margin=margin,
        family="branches",
        challenge=3,
    )


def judge_branches(
    claims: Sequence[Claim], branches: np.ndarray, own: np.ndarray, alpha: float = 0.05
) -> BranchVerdict:
    """The verdict on a run.

    Lowered too early: some branch that lowers later ends better. Held too long: some branch that
    lowers earlier does. ("Better" as claims go: the corrected interval lies above 0 and not wholly
    below the margin.) In time: every branch is shown not to end better by the margin. Where
    branches of both sides end better, the side of the better one has it if the two differ by a
    paired interval, too; else it is undecided.

    Args:
        claims: [branches] of `claim_of`.
        branches: [branches, seeds] the metric where each ended; not finite where it diverged.
        own: [seeds] of the run as it was, paired.
        alpha: two-sided level of the family of branches.

    Raises:
        ValueError: shapes do not match.
    """
    branches, own = np.asarray(branches, np.float64), np.asarray(own, np.float64)
    if branches.shape != (len(claims), len(own)):
        raise ValueError(f"{len(claims)} claims on {branches.shape} scores beside {own.shape}")
    if not len(claims):
        return BranchVerdict(IMPOSSIBLE, "there is no other point to lower the rate at", None, ())
    told = tuple(decide_family(claims, list(branches), [own] * len(claims), alpha=alpha))
    if not np.isfinite(own).any():
        return BranchVerdict(IMPOSSIBLE, "every seed of the run diverged", None, told)
    sides = {
        side: _best([k for k, one in enumerate(told) if one.claim.id == id and _holds(one)], told)
        for side, id in ((EARLY, "3c"), (LONG, "3d"))
    }
    found = {side: best for side, best in sides.items() if best is not None}
    if len(found) == 2:
        return _of_two(found, claims, branches, told, alpha)
    for side, best in found.items():
        return BranchVerdict(side, "", best, told)
    if all(one.decision == "fails" for one in told):
        return BranchVerdict(TIMELY, "", None, told)
    return BranchVerdict(UNDECIDED, _open(told), None, told, _seeds_needed(told))


def _holds(one: Verdict) -> bool:
    return one.decision == "holds"


def _best(places: Sequence[int], told: Sequence[Verdict]) -> int | None:
    """The branch of these that ends best; one that decided by divergences alone counts last."""

    def gain(place: int) -> float:
        effect = told[place].effect * told[place].claim.direction
        return effect if math.isfinite(effect) else -math.inf

    return max(places, key=gain) if places else None


def _of_two(
    found: Mapping[str, int],
    claims: Sequence[Claim],
    branches: np.ndarray,
    told: tuple[Verdict, ...],
    alpha: float,
) -> BranchVerdict:
    """Where a later and an earlier branch end better, the side of the better one, if it is."""
    later, earlier = found[EARLY], found[LONG]
    for side, mine, other in ((EARLY, later, earlier), (LONG, earlier, later)):
        apart = dataclasses.replace(claims[mine], control=claims[other].treatment)
        (one,) = decide_family([apart], [branches[mine]], [branches[other]], alpha=alpha)
        if _holds(one):
            return BranchVerdict(side, "", mine, told)
    reason = (
        f"{claims[later].treatment} and {claims[earlier].treatment} both end better, and do not"
        " differ"
    )
    return BranchVerdict(UNDECIDED, reason, None, told)


def _open(told: Sequence[Verdict]) -> str:
    names = [one.claim.treatment for one in told if one.decision != "fails"]
    return f"not settled whether it ends better {' or '.join(names)}"


def _seeds_needed(told: Sequence[Verdict]) -> int | None:
    """The fewest seeds with which one branch holds, or all fail."""
    unsettled = [one.seeds_needed for one in told if one.decision != "fails"]
    to_hold = [one.to_hold for one in unsettled if one.to_hold is not None]
    to_fail = [one.to_fail for one in unsettled]
    ways = [min(to_hold)] if to_hold else []
    known = [count for count in to_fail if count is not None]
    if len(known) == len(to_fail):
        ways.append(max(known))
    return min(ways) if ways else None
