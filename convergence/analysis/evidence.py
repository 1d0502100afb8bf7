"""What the paired trials of two arms say about one claim: p-values and bounds at any level.

Throughout, the effect is *oriented*: positive supports the claim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from convergence.analysis import two_way
from convergence.analysis.claim import Claim
from convergence.analysis.divergence import Discordance
from convergence.analysis.power import project_sample
from convergence.analysis.statistics import SpeaksOf, StudentMean, student_mean
from convergence.analysis.telling import Unit


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One claim's data, reduced to what the decision needs.

    Two routes can decide a claim: the exact test of discordant divergences and the interval of the
    mean. Where the first could be significant at half of the level, which depends only on the
    number of discordant pairs, each route gets half (Bonferroni), so that together they err no more
    often; where it could not, the interval keeps the whole.

    Attributes:
        claim: what is claimed.
        mean: the oriented effect over the pairs that finished.
        projected: ``mean`` for another number of seeds.
        seeds: pairs of trials, finished or not.
        pairs: those of which both finished.
        diverged_treatment, diverged_control: trials of each arm that did not finish.
        discordance: pairs of which one diverged.
        split: whether both routes are open.
        speaks_of: what the interval generalises to.
        method: how the interval is computed.
        unit: what a pair of trials is, for what is said of it.
    """

    claim: Claim
    mean: StudentMean
    projected: Callable[[int], StudentMean]
    seeds: int
    pairs: int
    diverged_treatment: int
    diverged_control: int
    discordance: Discordance
    split: bool
    speaks_of: SpeaksOf
    method: str
    unit: Unit = "seed"

    def p_holds(self) -> float:
        """p of the hypothesis that must be rejected for the claim to hold."""
        claim, mean = self.claim, self.mean
        if claim.kind == "superiority":
            p = mean.p_at_most(0)
        elif claim.kind == "non-inferiority":
            p = mean.p_at_most(-claim.margin)
        else:
            return max(mean.p_at_most(-claim.margin), mean.p_at_least(claim.margin))
        return min(1.0, 2 * min(p, self.discordance.p_control_no_worse())) if self.split else p

    def p_fails(self) -> float:
        """p of the hypothesis that must be rejected for the claim to fail."""
        claim, mean, sign = self.claim, self.mean, self.discordance
        if claim.kind == "superiority":
            p, p_sign = mean.p_at_least(claim.margin), sign.p_treatment_no_worse()
        elif claim.kind == "non-inferiority":
            p, p_sign = mean.p_at_least(-claim.margin), sign.p_treatment_no_worse()
        else:
            p = 2 * min(mean.p_at_most(claim.margin), mean.p_at_least(-claim.margin))
            p_sign = 2 * min(sign.p_treatment_no_worse(), sign.p_control_no_worse())
        return min(1.0, 2 * min(p, p_sign) if self.split else p)

    def hold_level(self, alpha: float) -> float:
        """The one-sided level of the bounds behind 'holds', of the level alpha given to it."""
        return alpha / 2 if self.split and self.claim.kind != "equivalence" else alpha

    def fail_level(self, alpha: float) -> float:
        """The one-sided level of the bounds behind 'fails', of the level alpha given to it."""
        sides = 2 if self.claim.kind == "equivalence" else 1
        return alpha / (sides * (2 if self.split else 1))

    def sign_decides(
        self, alpha_holds: float, alpha_fails: float
    ) -> tuple[Literal["holds", "fails"], str] | None:
        """The decision and reason of the exact test of divergences; None where it gives none."""
        if not self.split:
            return None
        more_treatment = self.discordance.p_treatment_no_worse()
        more_control = self.discordance.p_control_no_worse()
        if self.claim.kind == "equivalence":
            if more_treatment < alpha_fails / 4:
                return "fails", "diverges"
            return ("fails", "control diverges") if more_control < alpha_fails / 4 else None
        if more_treatment < alpha_fails / 2:
            return "fails", "diverges"
        return ("holds", "control diverges") if more_control < alpha_holds / 2 else None

    def contradicts(self, decision: str) -> bool:
        """Whether the divergences, though too few to decide, point away from a decision."""
        treatment, control = self.discordance.treatment, self.discordance.control
        if self.claim.kind == "equivalence":
            return decision == "holds" and treatment != control
        if decision == "holds":
            return treatment > control
        return decision == "fails" and control > treatment


def weigh(
    claim: Claim,
    treatment: ArrayLike,
    control: ArrayLike,
    alpha: float,
    speaks_of: SpeaksOf | None = None,
    unit: Unit = "seed",
) -> Evidence:
    """Pair the trials of two arms seed by seed.

    Args:
        claim: gives direction, kind and margin.
        treatment, control: [seeds] metrics, or [seeds, rows] scores of each test row. A trial with
            any number that is not finite has diverged and enters no mean.
        alpha: the one-sided level of the whole family.
        speaks_of: 'seeds' averages the rows first; 'seeds and rows' needs them. By default what
            the shape allows.
        unit: what a pair of trials is.

    Raises:
        ValueError: the arms differ in shape, have another number of dimensions, or have no rows
            to speak of.
    """
    arms = [np.asarray(arm) for arm in (treatment, control)]
    if arms[0].shape != arms[1].shape or arms[0].ndim not in (1, 2):
        shapes = " and ".join(str(arm.shape) for arm in arms)
        raise ValueError(f"claim {claim.id}: arms are [seeds] or [seeds, rows], got {shapes}")
    if arms[0].ndim == 2 and arms[0].shape[1] == 0:
        raise ValueError(f"claim {claim.id}: the arms have no rows")
    if speaks_of == "seeds and rows" and arms[0].ndim == 1:
        raise ValueError(f"claim {claim.id}: nothing can be said of rows without [seeds, rows]")
    # Numbers that came as float32 agree only to its digits.
    eps = max(float(np.finfo(arm.dtype).eps) if arm.dtype.kind == "f" else 0.0 for arm in arms)
    finite = [np.isfinite(arm).all(axis=tuple(range(1, arm.ndim))) for arm in arms]
    both = finite[0] & finite[1]
    first, second = (arm[both].astype(np.float64) for arm in arms)
    if first.ndim == 2 and speaks_of == "seeds":
        first, second = first.mean(1), second.mean(1)
    differences = claim.direction * (first - second)
    projected: Callable[[int], StudentMean]
    if differences.ndim == 1:
        size = max(float(np.abs(arm).max(initial=0)) for arm in (first, second))
        mean = student_mean(differences, resolution=4 * eps * size)
        projected = project_sample(mean)
    else:
        squares = two_way.mean_squares(differences)
        mean, projected = squares.mean(), squares.with_seeds
    discordance = Discordance(
        treatment=int((finite[1] & ~finite[0]).sum()), control=int((finite[0] & ~finite[1]).sum())
    )
    return Evidence(
        claim=claim,
        mean=mean,
        projected=projected,
        seeds=len(arms[0]),
        pairs=int(both.sum()),
        diverged_treatment=int((~finite[0]).sum()),
        diverged_control=int((~finite[1]).sum()),
        discordance=discordance,
        split=discordance.can_decide(alpha / 2),  # the half it would get
        speaks_of="seeds" if differences.ndim == 1 else "seeds and rows",
        method="Student t" if differences.ndim == 1 else two_way.METHOD,
        unit=unit,
    )
