"""Where a curve is heading: a law with a limit, with an interval from its noise.

``limit + height * law(step)``, the law a power of the step or an exponential (those of
`analysis.descent`), is fitted to the later part of the curve by weighted least squares. The
interval: noise of the size of the residuals, widened for their autocorrelation (as of an AR(1))
and for the law's misfit, is added to the fit and the laws are fitted again.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence.analysis.curves.series import Series
from convergence.analysis.descent import LAWS, laws

DRAWS = 200
TAILS = (0.5, 0.65, 0.8)  # of the bins, which grow geometrically: the fitted part begins there
FITS = 2.0  # times the noise: a law that scatters less fits; else a later part is tried
BETTER = 1.3  # times less scatter is a reason to believe in the later part
BINS = 48
FEWEST = 5  # bins
AHEAD = 10.0  # times the run's length: how far the remaining gain looks
LEVEL = 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law and its redraws; the first of each array is the fit itself.

    Attributes:
        at: [bins] steps from the curve's start.
        law: the law's name: power, exponential or constant.
        limits, heights: [1 + draws]; the height is that at the first bin.
        chosen: int [1 + draws] the law's index; below `LAWS` a power.
        scatter: standard deviation of the residuals over that which noise alone would make.
    """

    at: np.ndarray
    law: str
    limits: np.ndarray
    heights: np.ndarray
    chosen: np.ndarray
    scatter: float

    def values(self, step: float) -> np.ndarray:
        """[1 + draws] values at a step (from the curve's start)."""
        here = laws(np.concatenate([self.at, [step]]), self.at[-1])[:, -1]
        return np.asarray(self.limits + self.heights * here[self.chosen])


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


def fit(series: Series, rng: np.random.Generator, floor: float = -np.inf) -> Fit | None:
    """The law that the later part of the curve follows; None where there are too few points.

    Args:
        series: of at least `FEWEST` points.
        rng: for the redraws.
        floor: no limit lies below it.
    """
    at, means, sizes = bins(series)
    if len(at) < FEWEST:
        return None
    widened = (1 + series.correlation) / (1 - series.correlation)
    error = series.noise * np.sqrt(np.minimum(widened / sizes, 1.0))
    top = int(np.argmax(means))  # what came before the highest point was warm-up
    starts = [min(int(len(at) * tail), len(at) - 2 * FEWEST) for tail in TAILS]
    if top < len(at) - 2 * FEWEST:
        starts = [max(start, top) for start in starts]
    best: Fit | None = None
    for first in dict.fromkeys(max(start, 0) for start in starts):
        found = _of_part(at[first:], means[first:], error[first:], rng, floor)
        if best is None or found.scatter < best.scatter / BETTER:
            best = found
        if best.scatter < FITS:
            break
    return best


def _of_part(
    at: np.ndarray, means: np.ndarray, error: np.ndarray, rng: np.random.Generator, floor: float
) -> Fit:
    """The law of a part of the bins, and its redraws."""
    span = float(np.ptp(means))
    error = np.maximum(error, max(2e-3 * span, 1e-12 * max(1.0, float(np.abs(means).max()))))
    falls = laws(at)
    base = float(means[-1])  # squared errors are differences of large numbers unless centred
    means, floor = means - base, floor - base
    limits, heights, chosen, misfit = _fitted(falls, means[None], 1 / error, floor)
    scatter = float(np.sqrt(max(misfit[0] / max(len(at) - 3, 1), 1.0)))
    shape = limits[0] + heights[0] * falls[chosen[0]]
    drawn = shape + scatter * error * rng.standard_normal((DRAWS, len(at)))
    redrawn = _fitted(falls, drawn, 1 / error, floor)
    law = "constant" if heights[0] == 0 else "power" if chosen[0] < LAWS else "exponential"
    return Fit(
        at,
        law,
        np.append(limits, redrawn[0]) + base,
        np.append(heights, redrawn[1]),
        np.append(chosen, redrawn[2]),
        scatter,
    )


def _fitted(
    falls: np.ndarray, curves: np.ndarray, weight: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Limits, heights, laws and squared errors of the best law of each curve [curves, bins]."""
    weighted, y = falls * weight, curves * weight
    ww, wl, ll = weight @ weight, weighted @ weight, (weighted * weighted).sum(axis=1)
    wy, ly, yy = y @ weight, y @ weighted.T, (y * y).sum(axis=1)
    below = np.maximum(ww * ll - wl * wl, np.finfo(float).tiny)
    limits = np.maximum((wy[:, None] * ll - ly * wl) / below, floor)
    heights = np.maximum((ly - limits * wl) / ll, 0.0)
    level = wy[:, None] / ww
    limits = np.where(heights > 0, limits, level)
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


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle part of the redraws, reaching at least to the fit itself (the first)."""
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return float(min(low, values[0])), float(max(high, values[0]))
