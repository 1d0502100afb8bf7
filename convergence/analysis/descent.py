"""What each further drop of a loss costs: its limit, and the steps in which the excess halves.

The excess is the loss minus its limit. The limit is not seen but extrapolated, by a power law or an
exponential; so each cost is told for the limit's whole interval, and where that reaches the loss
itself, nothing is told.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.statistics import student_mean

GROWTH = 1.1  # each bin of steps is so much longer than the one before: late noise averages out
TAIL = 0.5  # the limit is fitted to this last part of the bins (steps grow geometrically in them)
FEWEST_BINS = 6  # a line of two parameters and a limit need some more points than three
LAWS = 60  # exponents tried of each kind of law
LEVEL = 0.95
NARROW = 0.1  # of the whole fall: a limit known so well is told though the loss has reached it
TRIVIAL = 1e-12


@dataclasses.dataclass(frozen=True)
class Limit:
    """Where a loss is heading.

    Attributes:
        estimate: mean over seeds of the fitted limits; NaN where none can be told.
        low, high: 95 % interval over seeds (Student's t), not below the floor.
        n: seeds.
        reason: why no limit can be told; '' if one can.
    """

    estimate: float
    low: float
    high: float
    n: int
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Halving:
    """One halving of the excess loss.

    Attributes:
        number: 1 for the first.
        step: after which the excess is at most 2^-number of its first value.
        cost: steps since the halving before.
        low, high: the least and the most cost over the limit's interval.
    """

    number: int
    step: float
    cost: float
    low: float
    high: float


def smoothed(steps: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over bins of steps that grow geometrically.

    Args:
        steps: [points] ascending, from 1.
        losses: [seeds, points], finite.

    Returns:
        The bins' middle steps (geometric means) [bins] and means [seeds, bins].
    """
    if not len(steps):
        return np.zeros(0), losses
    place = np.floor(np.log(np.maximum(steps, 1)) / math.log(GROWTH)).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
    counts = np.diff(np.append(starts, len(steps)))
    middle = np.exp(np.add.reduceat(np.log(np.maximum(steps, 1)), starts) / counts)
    return middle, np.add.reduceat(losses, starts, axis=1) / counts


def limit(steps: np.ndarray, losses: np.ndarray) -> Limit:
    """Where the losses of one arm's seeds are heading.

    To each seed's tail ``limit + a * step**-b`` and ``limit + a * exp(-b * step)`` are fitted; the
    best fit decides. The interval is of seeds, not of the form of these laws. Losses that are
    never negative have their floor at 0.

    Args:
        steps: [points] ascending, from 1.
        losses: [seeds, points] of the seeds that finished, finite.
    """
    at, curves = smoothed(steps, losses)
    first = int(len(at) * TAIL)
    at, curves = at[first:], curves[:, first:]
    nothing = math.nan, math.nan, math.nan, len(losses)
    if len(losses) < 2:
        return Limit(*nothing, "an interval of the limit needs two seeds that finish")
    if len(at) < FEWEST_BINS:
        return Limit(*nothing, "the run is too short to see where its loss is heading")
    fitted = np.array([_fitted(at, curve) for curve in curves])
    if np.isnan(fitted).any():
        return Limit(*nothing, "the loss of some seed does not fall at the end")
    mean = student_mean(fitted)
    alpha = (1 - LEVEL) / 2
    floor = 0.0 if (losses >= 0).all() else -math.inf
    low, high = max(mean.low(alpha), floor), mean.high(alpha)
    lowest = curves.mean(axis=0).min()
    settled = high - low <= NARROW * (losses[:, 0].mean() - lowest)
    if not (high < lowest or settled):
        return Limit(*nothing, "the limit's interval reaches up to the loss itself")
    return Limit(mean.estimate, low, high, len(losses))


def laws(at: np.ndarray, last: float | None = None) -> np.ndarray:
    """Falls from 1 at the first step, [laws, bins]: `LAWS` powers of the step and exponentials.

    Args:
        at: [bins] steps, from above 0.
        last: the step by which the exponentials' rates are scaled; the last of ``at`` if None.
    """
    powers = (at / at[0]) ** -np.geomspace(0.05, 5.0, LAWS)[:, None]
    span = (at[-1] if last is None else last) - at[0]
    rates = np.geomspace(0.1, 30.0, LAWS)[:, None] / span
    return np.concatenate([powers, np.exp(-rates * (at - at[0]))])


def _fitted(at: np.ndarray, curve: np.ndarray) -> float:
    """The limit of the law that fits best, by relative errors; NaN where the curve does not fall.

    Limit and height of each law are a linear least-squares problem of two unknowns; where a curve
    that is nowhere negative asks for a negative limit, it is 0.
    """
    span = float(curve.max() - curve.min())
    if span <= TRIVIAL * max(1.0, float(np.abs(curve).max())) or curve[0] <= curve[-1]:
        return math.nan
    floor = 0.0 if curve.min() > 0 else -math.inf
    weight = 1.0 / np.maximum(np.abs(curve), 1e-3 * span)
    falls = laws(at) * weight
    y = curve * weight
    ww, wl, ll = weight @ weight, falls @ weight, (falls * falls).sum(axis=1)
    wy, ly = weight @ y, falls @ y
    limits = (wy * ll - wl * ly) / np.maximum(ww * ll - wl * wl, np.finfo(float).tiny)
    limits = np.maximum(limits, floor)
    heights = (ly - limits * wl) / ll
    errors = ((limits[:, None] * weight + heights[:, None] * falls - y) ** 2).sum(axis=1)
    errors[heights <= 0] = math.inf
    best = int(np.argmin(errors))
    return float(limits[best]) if math.isfinite(errors[best]) else math.nan


def halvings(steps: np.ndarray, losses: np.ndarray, towards: Limit) -> list[Halving]:
    """The cost of each halving of the excess of the mean loss that the run reached.

    Args:
        steps: [points] ascending, from 1.
        losses: [seeds, points] of the seeds that finished, finite.
        towards: as `limit` told it.
    """
    if towards.reason:
        return []
    at, curves = smoothed(steps, losses)
    mean = curves.mean(axis=0)
    unsure = towards.high - towards.low  # an excess below this may be none
    reached = [
        _reached(at, mean - one, unsure) for one in (towards.estimate, towards.low, towards.high)
    ]
    count = min(map(len, reached))
    costs = np.array([np.diff(one[:count], prepend=0.0) for one in reached])
    return [
        Halving(k + 1, float(reached[0][k]), *(float(f(costs[:, k])) for f in (_first, min, max)))
        for k in range(count)
    ]


def _first(costs: np.ndarray) -> float:
    return float(costs[0])


def _reached(at: np.ndarray, excess: np.ndarray, unsure: float) -> np.ndarray:
    """Steps at which the excess first is at most a half, a quarter, … of its first value."""
    lowest = np.minimum.accumulate(excess)
    if not len(lowest) or lowest[0] <= max(unsure, 0.0):
        return np.zeros(0)
    last = max(float(lowest[lowest > 0][-1]), unsure)
    count = int(math.log2(lowest[0] / last) + 1e-9)
    wanted = lowest[0] / 2.0 ** np.arange(1, count + 1)
    places = [int(np.argmax(lowest <= one * (1 + 1e-9))) for one in wanted]
    found = []
    for one, k in zip(wanted, places):
        before, after = lowest[k - 1], max(lowest[k], last)
        share = 1.0 if after >= before else math.log(before / one) / math.log(before / after)
        share = min(max(share, 0.0), 1.0)
        found.append(math.exp(math.log(at[k - 1]) + share * math.log(at[k] / at[k - 1])))
    return np.array(found)
