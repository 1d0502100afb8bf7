"""What a sample of this size could have shown, and how many seeds would settle a question."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from scipy import special

from convergence.analysis.statistics import StudentMean

# Beyond this many seeds a report says only 'more than 10,000'.
CAP = 10_000

# The power at which effects are called detectable, by convention.
POWER = 0.8


def smallest_detectable_effect(n: int, sd: float, alpha: float, power: float = POWER) -> float:
    """The true mean difference that a one-sided paired t-test would find with the given power.

    Args:
        n: pairs.
        sd: standard deviation of the differences, in the metric's units.
        alpha: one-sided level of the test, after any correction.
        power: probability of finding it.

    Returns:
        The effect in the metric's units; inf for fewer than two pairs. By the noncentral t
        distribution, so exact for normal differences.
    """
    if n < 2:
        return math.inf
    return detectable(StudentMean(0.0, sd / math.sqrt(n), n - 1.0, n), alpha, power)


def detectable(mean: StudentMean, alpha: float, power: float = POWER) -> float:
    """The distance from the tested value that a mean of this precision would show.

    For a sample without spread: 0 where its bounds are finite, inf where they are not.
    """
    if not math.isfinite(mean.error):
        return math.inf
    if mean.error == 0:
        return 0.0 if 0.5**mean.n < alpha else math.inf
    critical = -float(special.stdtrit(mean.df, alpha))
    return mean.error * float(special.nctdtrinc(mean.df, 1 - power, critical))


def seeds_to_show(
    distance: float,
    at: Callable[[int], StudentMean],
    alpha: float,
    power: float = POWER,
) -> int:
    """The fewest seeds that show an effect this far from the tested value with the given power.

    Args:
        distance: from the tested value, in the metric's units.
        at: the precision of the mean for a number of seeds.
        alpha: one-sided level.
        power: probability of showing it.

    Returns:
        Between 2 and ``CAP``, or ``CAP + 1`` when more are needed. The exact count up to 100
        degrees of freedom, above them at most one too many.
    """
    if not distance > 0:
        return CAP + 1
    critical = -float(special.ndtri(alpha))
    reach = critical + float(special.ndtri(power))
    if at(CAP).error * reach > distance:
        return CAP + 1
    low, n = 1, CAP
    while n - low > 1:
        middle = (low + n) // 2
        low, n = (low, middle) if at(middle).error * reach <= distance else (middle, n)
    # The normal distribution in place of t asks for too few, in large samples by
    # critical**2 / 2 (Guenther 1981); in small ones the exact count is a few steps away.
    n = min(n + math.ceil(critical**2 / 2), CAP + 1)
    if n > CAP or at(n).df > 100:
        return n
    while n <= CAP and detectable(at(n), alpha, power) > distance:
        n += 1
    while n > 2 and detectable(at(n - 1), alpha, power) <= distance:
        n -= 1
    return n


@dataclasses.dataclass(frozen=True)
class SeedsNeeded:
    """How many seeds would settle an undecided claim, were the effect what it now seems to be.

    An effect between 0 and the margin lies on the way to both answers of a superiority claim: it
    can be shown to be above 0, and it can be shown to be below the margin, which prevails.

    Attributes:
        to_hold: seeds at which the bound would clear the value that must be cleared for the claim
            to hold, with power .8; None when the estimate lies on its other side.
        to_fail: the same for failing.
    """

    to_hold: int | None
    to_fail: int | None

    @property
    def fewest(self) -> int | None:
        """The smaller of the two, which settles the claim; None when neither is in sight."""
        known = [count for count in (self.to_hold, self.to_fail) if count is not None]
        return min(known, default=None)

    def __str__(self) -> str:
        if self.fewest is None:
            return "unknown"
        return f"more than {CAP:,}" if self.fewest > CAP else f"{self.fewest:,}"

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON; a count above the cap is None, its text says so."""
        return {
            "to_hold": _capped(self.to_hold),
            "to_fail": _capped(self.to_fail),
            "text": str(self),
        }


def _capped(count: int | None) -> int | None:
    return None if count is None or count > CAP else count


def project_sample(mean: StudentMean) -> Callable[[int], StudentMean]:
    """How the precision of a plain mean would change with the number of seeds."""

    def at(n: int) -> StudentMean:
        error = mean.error * math.sqrt(mean.n / n) if n > 1 else math.inf
        return StudentMean(mean.estimate, error, n - 1.0, n)

    return at
