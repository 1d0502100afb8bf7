"""A curve made fit to judge: in order, finite, without repeated steps, its noise and spikes known.

Nothing is repaired silently: what was dropped or replaced is said in `Series.warnings`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

MIXED = 0.1  # of the points step backwards: that is no restart but several curves in one
SPIKE = 8.0  # robust standard deviations above its neighbours' median
OFTEN = 0.05  # of the points: so many are no spikes
GAP = 0.2  # of all steps between two neighbouring points, and GAP_TIMES the usual distance
GAP_TIMES = 10.0
PIECES, SHORTEST = 8, 10  # of the later part, for the noise; and points of a piece
LARGEST = 1e100  # beyond, squares overflow; as good as infinite
AT_ONCE = 2**14  # windows
MAD = 1.4826  # from a median absolute deviation to a normal's standard deviation


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A curve that is lower where it is better.

    Attributes:
        steps: float64[n] ascending, finite, those of finite values.
        values: float64[n]; a score's are negated.
        calm: float64[n], spikes replaced by their neighbours' median.
        noise: standard deviation of a point about its neighbours, at most a few off.
        correlation: of neighbouring residuals, between 0 and .95.
        spikes: how many points were spikes.
        ended: the last recorded step, finite value or not; NaN without any.
        broke_at: the first step of the non-finite values with which the curve ends; None without.
        warnings: sentences on what is odd about the curve.
    """

    steps: np.ndarray
    values: np.ndarray
    calm: np.ndarray
    noise: float
    correlation: float
    spikes: int
    ended: float
    broke_at: float | None
    warnings: tuple[str, ...]


def prepare(steps: np.ndarray, values: np.ndarray) -> Series:
    """The series of a curve as it was recorded.

    Args:
        steps: [n]; where one is not larger than those before, the run was started again from
            there, and what it says from there on counts.
        values: [n], lower is better; NaN and infinite ones are set aside.

    Raises:
        ValueError: the arrays are not one-dimensional or of different lengths.
    """
    steps, values = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if steps.ndim != 1 or steps.shape != values.shape:
        raise ValueError(f"steps {steps.shape} and values {values.shape} must be one row each")
    told: list[str] = []
    lost = ~(np.abs(steps) < LARGEST)
    if lost.any():
        told.append(f"{int(lost.sum())} points without a step left out")
        steps, values = steps[~lost], values[~lost]
    steps, values, said = in_order(steps, values)
    told += said
    broke_at, ended = None, float(steps[-1]) if len(steps) else math.nan
    finite = np.abs(values) < LARGEST
    if not finite.all():
        told.append(f"{int((~finite).sum())} of {len(values)} values not finite")
        if not finite[-1]:
            there = np.flatnonzero(finite)
            broke_at = float(steps[there[-1] + 1 if len(there) else 0])
    steps, values = steps[finite], values[finite]
    if len(steps) > 2:
        told += _gaps(steps)
    calm, spikes = _without_spikes(values)
    if spikes:
        told.append(f"{spikes} spike{'s' if spikes > 1 else ''} left out of fits")
    noise, correlation = _noise(calm)
    return Series(steps, values, calm, noise, correlation, spikes, ended, broke_at, tuple(told))


def in_order(
    steps: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Steps strictly ascending: after a restart from a smaller step, the later run counts.

    Where so many steps go backwards that this is no restart, points are sorted, and those of one
    step averaged.
    """
    back = np.flatnonzero(np.diff(steps) <= 0)
    if not len(back):
        return steps, values, ()
    if len(back) > max(3.0, MIXED * len(steps)):
        at, place, count = np.unique(steps, return_inverse=True, return_counts=True)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(place, values, len(at)) / count
        why = "steps are not in order: sorted"
        if count.max() > 1:
            why = "steps are repeated (several curves in one?): points of one step averaged"
        return at, mean, (why,)
    keep = np.ones(len(steps), bool)
    for k in back:
        keep[: k + 1] &= steps[: k + 1] < steps[k + 1]
    first = float(steps[back + 1].min())
    times = f"{len(back)} times, first " if len(back) > 1 else ""
    why = f"started again {times}at step {first:.15g}: what came later counts"
    if first <= steps.min():
        why += " (or several curves in one?)"
    return steps[keep], values[keep], (why,)


def _gaps(steps: np.ndarray) -> list[str]:
    apart = np.diff(steps)
    widest = int(np.argmax(apart))
    usual = float(np.median(apart))
    if apart[widest] > GAP * (steps[-1] - steps[0]) and apart[widest] > GAP_TIMES * usual:
        return [f"no points between steps {steps[widest]:.15g} and {steps[widest + 1]:.15g}"]
    return []


def running(values: np.ndarray, half: int) -> np.ndarray:
    """Running medians over 2 half + 1 points; at the ends over those that are there."""
    if half < 1 or len(values) < 2 * half + 1:
        return np.full(len(values), np.median(values)) if half and len(values) else values.copy()
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1)
    pieces = range(0, len(windows), AT_ONCE)  # a median copies its windows
    middle = np.concatenate([np.median(windows[k : k + AT_ONCE], axis=1) for k in pieces])
    head = [np.median(values[: 2 * k + 1]) for k in range(half)]
    tail = [np.median(values[len(values) - 2 * k - 1 :]) for k in range(half - 1, -1, -1)]
    return np.concatenate([head, middle, tail])


def _without_spikes(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Points far above their neighbours replaced (Hampel's filter); a plunge's start is none."""
    if len(values) < 9:
        return values, 0
    half = min(max(len(values) // 50, 3), 25)
    middle = running(values, half)
    off = values - middle
    scale = running(np.abs(off), min(len(values) // 4, 4 * half)) * MAD
    late = MAD * float(np.median(np.abs(off[len(off) // 2 :])))
    high = off > SPIKE * np.maximum(scale, max(late, 1e-3 * float(np.ptp(middle))))
    high[: half + 1] = False  # there a fall is no spike
    high[-2:] = False  # nor is what may be the start of a divergence
    if high.mean() > OFTEN:
        return values, 0
    return np.where(high, middle, values), int((np.diff(high.astype(int), prepend=0) == 1).sum())


def _noise(calm: np.ndarray) -> tuple[float, float]:
    """Standard deviation and neighbours' correlation of the later half about its local trends.

    Straight lines are taken out of some pieces, and the middle piece's variance counts: so neither
    a rise at the end nor a fall at the start passes for noise.
    """
    if len(calm) < 5:
        return 0.0, 0.0
    late = calm[len(calm) // 3 :] if len(calm) >= 16 else calm
    size = max(len(late) // PIECES, min(len(late), SHORTEST))
    count = len(late) // size
    pieces = late[len(late) - count * size :].reshape(count, size)
    at = np.linspace(-1, 1, size)
    slope = (pieces @ at) / (at @ at)
    rest = pieces - pieces.mean(axis=1, keepdims=True) - slope[:, None] * at
    power = (rest * rest).sum(axis=1)
    noise = math.sqrt(float(np.median(power)) / max(size - 2, 1))
    usual = power <= 4 * np.median(power)  # a piece with a jump or a blow-up says nothing
    whole = float(power[usual].sum())
    if whole <= 0 or size < 5:
        return noise, 0.0
    raw = float((rest[usual, 1:] * rest[usual, :-1]).sum()) / whole
    # Taking a line out of so few points lowers the correlation (Kendall's bias, two parameters).
    raw += (2 + 4 * raw) / size
    rho = float(np.clip(raw, 0.0, 0.95))
    return noise * math.sqrt(1 / (1 - min(rho, 0.9) ** 2 * min(4 / size, 0.5))), rho
