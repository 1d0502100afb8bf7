"""A run's schedule with its rate lowered at another step, as vectors that share its first steps.

A schedule is taken apart where its last descent begins: behind the last step at its highest rate.
The descent is what is moved. Lowered later: the highest rate is held up to the branch point, and
the descent runs through in what is left. Lowered earlier: the descent begins at the branch point,
from the rate that the run has there, and is stretched over what is left. So the factors are the
run's own, and all branches end with the run's own budget.

Two kinds of schedules lack one half. One that never comes down has no descent of its own: it is
lowered tenfold. One that comes down from its first step on (cosine, linear, …) cannot be lowered
before it begins: its rate is cut tenfold at the branch point, and goes on along its own shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from convergence.errors import UserError

Kind = Literal["own", "earlier", "later"]
SHARES = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)  # of the steps after warm-up; 1: never
NEAR = 0.02  # of the steps: closer to the run's own point than that is the run itself
CUT = 0.1  # of the rate, where the run has no descent to be moved
FEWEST_STEPS = 10
LEVEL = 0.01  # of the highest rate: peaks of this height count as high; steps may miss their tops


class Branch(NamedTuple):
    """One course of the rate.

    Attributes:
        kind: the run as it was, or lowered earlier or later than it was.
        point: the step before which the rate comes down; the run's length where it never does.
        start: how many first steps are the run's own.
        factors: float32[steps], multipliers of the peak rate.
    """

    kind: Kind
    point: int
    start: int
    factors: np.ndarray


def onset(factors: np.ndarray, warmup: int = 0) -> int:
    """The step at which the last descent begins: behind the last one at the highest rate.

    Args:
        factors: [steps] of a schedule, more than `warmup`.
        warmup: first steps, which rise.

    Returns:
        A step after the warm-up; the number of steps where the rate never comes down.
    """
    body = np.asarray(factors, np.float64)[warmup:]
    high = body >= body.max() * (1.0 - LEVEL)
    last = int(np.flatnonzero(high)[-1])
    first = last - int(np.argmin(np.append(high[last::-1], False))) + 1  # of the last peak
    peak = body[first : last + 1]
    return warmup + first + int(np.flatnonzero(peak == peak.max())[-1]) + 1


def gradual(factors: np.ndarray, warmup: int = 0) -> bool:
    """Whether the rate comes down from the first steps after the warm-up on."""
    return onset(factors, warmup) - warmup <= max(1, NEAR * (len(factors) - warmup))


def _stretched(descent: np.ndarray, steps: int) -> np.ndarray:
    """A descent run through in another number of steps; drops stay drops."""
    index = np.arange(steps) * len(descent) // max(1, steps)
    return descent[index] if len(descent) else np.full(steps, CUT, np.float32)


def lowered_earlier(factors: np.ndarray, point: int, warmup: int = 0) -> np.ndarray:
    """float32[steps]: the run's rate up to a step before its descent, and lowered from there on."""
    begins, new = onset(factors, warmup), factors.copy()
    if gradual(factors, warmup):
        new[point:] *= np.float32(CUT)
        return new
    level = factors[point] / factors[begins - 1]  # 1 on a plateau, less within an earlier cycle
    new[point:] = _stretched(factors[begins:], len(factors) - point) * level
    return new


def lowered_later(factors: np.ndarray, point: int, warmup: int = 0) -> np.ndarray:
    """float32[steps]: the highest rate held up to a step behind the descent's begin."""
    begins, new = onset(factors, warmup), factors.copy()
    new[begins:point] = factors[begins - 1]
    new[point:] = _stretched(factors[begins:], len(factors) - point)
    return new


def branches(
    factors: np.ndarray, warmup: int = 0, shares: Sequence[float] = SHARES
) -> tuple[Branch, ...]:
    """The run as it was, then its branches: lowered earlier, and later, in order of their points.

    Args:
        factors: float32[steps] of the run's schedule.
        warmup: its first steps, which rise and are left alone.
        shares: branch points, as shares of the steps after the warm-up; 1 never lowers the rate.

    Raises:
        UserError: the run is too short, or its rate is 0 throughout.
    """
    factors = np.asarray(factors, np.float32)
    steps = len(factors)
    if steps - warmup < FEWEST_STEPS:
        raise UserError(
            f"{steps} steps with a warm-up of {warmup} are too few to branch from; at least"
            f" {FEWEST_STEPS} must come after it.",
            "steps",
        )
    if not factors[warmup:].max() > 0:
        raise UserError("the rate is 0 throughout: there is nothing to lower.", "schedule")
    begins = onset(factors, warmup)
    whole = [Branch("own", begins, steps, factors)]
    points = sorted({warmup + round(share * (steps - warmup)) for share in shares})
    near = max(1, NEAR * (steps - warmup))
    downwards = gradual(factors, warmup)
    made: list[tuple[Kind, int, np.ndarray]] = []
    for point in points:
        inside = warmup < point < steps
        if inside and (downwards or point <= begins - near):
            made.append(("earlier", point, lowered_earlier(factors, point, warmup)))
    for point in points:
        if begins + near <= point <= steps or (point == steps > begins):
            made.append(("later", point, lowered_later(factors, point, warmup)))
    for kind, point, new in made:
        differs = np.flatnonzero(new != factors)
        if len(differs) and not any(np.array_equal(new, one.factors) for one in whole):
            whole.append(Branch(kind, point, int(differs[0]), new))
    return tuple(whole)
