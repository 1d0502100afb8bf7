"""Where a curve is heading: a law with a limit, with an interval from its noise.

``limit + height * law(step)``, the law a power of the step or an exponential (those of
`analysis.descent`), is fitted to the later part of the curve by weighted least squares. The
interval: noise of the size of the residuals, widened for their autocorrelation (as of an AR(1))
and for the law's misfit, is added to the fits and the laws are fitted again.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence.analysis.curves.series import Series
from convergence.analysis.descent import LAWS, laws

DRAWS = 200
TAILS = (0.75, 0.85)  # of the bins, which grow geometrically: the fitted part begins there
FITS = 2.0  # times the noise: a law that scatters less fits; else a later part is tried
BETTER = 1.3  # times less scatter is a reason to believe in the later part
BINS = 48
FEWEST = 5  # bins
EXACT = 1e-12  # of the largest level: no level is known better
TINY = 1e-60  # nor than this: fourth powers of its inverse must be finite
AHEAD = 10.0  # times the run's length: how far the remaining gain looks
TAIL_SHARES = (0.025, 0.975)
WIDER, OFF = 2.0, 0.5  # of the draws' interval; of the change that is promised


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Laws that a curve may follow: each draw is one of them, fitted to the curve with new noise.

    Attributes:
        at: [bins] steps from the curve's start.
        law: of most draws: power, exponential or constant.
        limits, heights: [draws]; the height is that at the first bin.
        chosen: int [draws] the law's index; below `LAWS` a power.
        scatter: standard deviation of the residuals over that which noise alone would make.
    """

    at: np.ndarray
    law: str
    limits: np.ndarray
    heights: np.ndarray
    chosen: np.ndarray
    scatter: float

    def values(self, step: float) -> np.ndarray:
        """[draws] values at a step (from the curve's start)."""
        return self.course(np.array([step]))[0]

    def course(self, steps: np.ndarray) -> np.ndarray:
        """[steps, draws] values at some steps (from the curve's start)."""
        here = laws(np.concatenate([self.at[:1], steps]), self.at[-1])[:, 1:]
        return np.asarray(self.limits + self.heights * here[self.chosen].T)


def bins(series: Series, count: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps from the start, means and numbers of points, in bins that grow geometrically."""
    apart = np.diff(series.steps)
    unit = float(np.median(apart)) if len(apart) else 1.0
    x = series.steps - series.steps[0] + unit
    growth = max((x[-1] / unit) ** (1 / count), 1.0 + 1e-9)
    place = np.floor(np.log(x / unit) / np.log(growth) + 1e-9).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
    sizes = np.diff(np.append(starts, len(x)))
    return (
        np.exp(np.add.reduceat(np.log(x), starts) / sizes),
        np.add.reduceat(series.calm, starts) / sizes,
        sizes,
    )


def fit(
    series: Series, rng: np.random.Generator, floor: float = -np.inf, draws: int = DRAWS
) -> Fit | None:
    """The law that the later part of the curve follows; None where there are too few points.

    Args:
        series: of at least `FEWEST` points.
        rng: for the redraws.
        floor: no limit lies below it.
        draws: how many fits to the curve with new noise.
    """
    at, means, sizes = bins(series)
    if len(at) < FEWEST:
        return None
    widened = (1 + series.correlation) / (1 - series.correlation)
    error = series.noise * np.sqrt(np.minimum(widened / sizes, 1.0))
    error = np.maximum(error, max(EXACT * float(np.abs(means).max()), TINY))
    top = int(np.argmax(means))  # what came before the highest point was warm-up
    starts = [min(int(len(at) * tail), len(at) - 2 * FEWEST) for tail in TAILS]
    if top < len(at) - 2 * FEWEST:
        starts = [max(start, top) for start in starts]
    best: Fit | None = None
    for first in dict.fromkeys(max(start, 0) for start in starts):
        found = _of_part(at[first:], means[first:], error[first:], rng, floor, draws)
        if best is None or found.scatter < best.scatter / BETTER:
            best = found
        if best.scatter < FITS:
            break
    return best


def _of_part(
    at: np.ndarray,
    means: np.ndarray,
    error: np.ndarray,
    rng: np.random.Generator,
    floor: float,
    draws: int,
) -> Fit:
    """The laws of a part of the bins.

    Powers with a limit, powers down to the floor and exponentials are fitted apart. Where they fit
    alike they promise very different things; so each kind has a share of the draws by its
    likelihood (errors scaled to the best kind's scatter).
    """
    span = float(np.ptp(means))
    error = np.maximum(error, 2e-3 * span)
    falls = laws(at)
    base = float(means[-1])  # squared errors are differences of large numbers unless centred
    means, floor = means - base, floor - base
    kinds = [(0, LAWS, False), (LAWS, 2 * LAWS, False)]
    if np.isfinite(floor):
        kinds.append((0, LAWS, True))
    fits = [
        _fitted(falls[a:b], means[None], 1 / error, floor, at_floor) for a, b, at_floor in kinds
    ]
    misfits = np.array([max(float(one[3][0]), 0.0) for one in fits])
    scatter = float(np.sqrt(max(misfits.min() / max(len(at) - 3, 1), 1.0)))
    weight = np.exp(-0.5 * (misfits - misfits.min()) / scatter**2)
    counts = np.round(draws * weight / weight.sum()).astype(int)
    drawn = []
    for (a, b, at_floor), one, count in zip(kinds, fits, counts):
        if not count:
            continue
        shape = one[0][0] + one[1][0] * falls[a:b][one[2][0]]
        redrawn = shape + scatter * error * rng.standard_normal((count, len(at)))
        again = _fitted(falls[a:b], redrawn, 1 / error, floor, at_floor)
        drawn.append((again[0] + base, again[1], again[2] + a))
    limits, heights, chosen = (np.concatenate(part) for part in zip(*drawn))
    shares = {
        "constant": float((heights == 0).mean()),
        "power": float(((heights > 0) & (chosen < LAWS)).mean()),
        "exponential": float(((heights > 0) & (chosen >= LAWS)).mean()),
    }
    law = max(shares, key=lambda name: shares[name])
    return Fit(at, law, limits, heights, chosen, scatter)


def _fitted(
    falls: np.ndarray, curves: np.ndarray, weight: np.ndarray, floor: float, at_floor: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Limits, heights, laws and squared errors of the best law of each curve [curves, bins]."""
    weighted, y = falls * weight, curves * weight
    ww, wl, ll = weight @ weight, weighted @ weight, (weighted * weighted).sum(axis=1)
    wy, ly, yy = y @ weight, y @ weighted.T, (y * y).sum(axis=1)
    below = np.maximum(ww * ll - wl * wl, np.finfo(float).tiny)
    limits = np.maximum((wy[:, None] * ll - ly * wl) / below, floor)
    if at_floor:
        limits = np.full_like(limits, floor)
    heights = np.maximum((ly - limits * wl) / ll, 0.0)
    limits = np.where(heights > 0, limits, wy[:, None] / ww)
    errors = (
        yy[:, None]
        + limits**2 * ww
        + heights**2 * ll
        - 2 * limits * wy[:, None]
        - 2 * heights * ly
        + 2 * limits * heights * wl
    )
    best = np.argmin(errors, axis=1)
    rows = np.arange(len(curves))
    return limits[rows, best], heights[rows, best], best, errors[rows, best]


def interval(draws: np.ndarray, now: float, floor: float = -np.inf) -> tuple[float, float, float]:
    """The middle of the draws, and an interval of 95 % for what they promise.

    The draws know of noise and of a few laws; real curves follow none of them exactly. Their middle
    part is therefore widened, by factors under which the level at twice the length was covered in
    95 % of setting cases.

    Args:
        draws: [draws] of a value to come.
        now: its value at the end of the curve: the further off, the less it is known.
        floor: it is not below it.
    """
    middle, low, high = (float(x) for x in np.quantile(draws, [0.5, *TAIL_SHARES]))
    off = OFF * abs(middle - now)
    low, high = (
        min(middle - WIDER * (middle - low), middle - off),
        max(middle + WIDER * (high - middle), middle + off),
    )
    return middle, max(low, min(floor, middle)), high
