"""How the later part of a curve swings about its trend: regularly, in spikes, or as noise does."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves.numbers import UNMEASURED, log10
from convergence.analysis.curves.series import MAD, Series

LATE = 0.6  # of the points are looked at
FEWEST = 9  # points of the later part
CHANCE = 2.6  # standard errors of an autocorrelation: what mere noise reaches somewhere
TROUGH = 0.2  # autocorrelation below minus this at half a period
CYCLES = 2.5  # fewest of a swing in the part looked at
REGULAR = 0.35  # autocorrelation one period apart of a regular swing
SPIKE = 6.0  # robust standard deviations above the middle
MIDDLE = (5.0, 95.0)  # percentiles: the swing without its rarest points
NAMES = (
    *("swing", "swing, regular", "swing, one frequency", "swing, few frequencies"),
    *("swing, rough", "swing, neighbours", "swing, skew", "swing, tails", "swing, jumps up"),
    *("swing, spikes", "swing, rises"),
)


@dataclasses.dataclass(frozen=True)
class Swing:
    """How the later part of a curve swings about its trend.

    Attributes:
        amplitude: half the range of all but the rarest residuals, in the curve's unit.
        regularity: autocorrelation of the residuals one period apart; 0 where there is no period.
        chance: what mere noise of this length would reach.
        period: steps of one swing; NaN without.
    """

    amplitude: float = 0.0
    regularity: float = 0.0
    chance: float = 1.0
    period: float = math.nan

    @property
    def regular(self) -> bool:
        """Whether it swings with a period."""
        return self.regularity > max(REGULAR, self.chance)


def residuals(series: Series) -> tuple[np.ndarray, float]:
    """The later part, evenly spaced, about a cubic; and the steps between two of its points.

    Spikes stay in: they may be all that swings.
    """
    n = int(len(series.values) * LATE)
    late, steps = series.values[-n:], series.steps[-n:]
    if n < FEWEST or np.ptp(late) <= 0:
        return np.zeros(0), math.nan
    even = np.linspace(steps[0], steps[-1], n)
    at = np.linspace(-1, 1, n)
    values = np.interp(even, steps, late)
    rest = values - np.polynomial.Polynomial.fit(at, values, 3, domain=[-1, 1])(at)
    return rest, float(even[1] - even[0])


def swing(rest: np.ndarray, apart: float) -> Swing:
    """The swing of residuals that are ``apart`` steps from each other.

    Of a swing the autocorrelation falls clearly below 0 at half a period and rises again at a
    whole one; that of noise, however correlated, does not.
    """
    n = len(rest)
    if n < FEWEST:
        return Swing()
    low, high = np.percentile(rest, MIDDLE)
    amplitude = float(high - low) / 2
    lags = int(n / CYCLES)
    power = np.abs(np.fft.rfft(rest / (np.abs(rest).max() or 1.0), 2 * n)) ** 2
    pairs = np.fft.irfft(power)[: lags + 1] / (n - np.arange(lags + 1))
    if pairs[0] <= 0:
        return Swing(amplitude)
    like = pairs / pairs[0]
    below = np.flatnonzero(like < -TROUGH)
    if not len(below):
        return Swing(amplitude)
    peak = int(below[0]) + int(np.argmax(like[below[0] :]))
    regular = max(float(like[peak]), 0.0)
    return Swing(amplitude, regular, CHANCE / math.sqrt(n - peak), peak * apart)


def measures(series: Series, descent: float) -> dict[str, float]:
    """What tells a swing from noise, by name (`NAMES`).

    Args:
        series: the curve.
        descent: the unit of its size.
    """
    rest, apart = residuals(series)
    size = float(np.abs(rest).max(initial=0.0))
    if not size > 0:
        return dict.fromkeys(NAMES, UNMEASURED)
    found = swing(rest, apart)
    rest = rest / size
    off, steps = rest - rest.mean(), np.diff(rest)
    deviation = max(float(off.std()), 1e-12)
    jump = max(float(np.sqrt((steps * steps).mean())), 1e-12)
    power = np.abs(np.fft.rfft(off))[1:] ** 2
    total = max(float(power.sum()), 1e-300)
    middle = float(np.median(rest))
    spread = MAD * float(np.median(np.abs(rest - middle)))
    rough = float(np.median(np.abs(np.diff(rest, 2)))) * size
    return {
        "swing": log10(found.amplitude / descent, 1e-5),
        "swing, regular": found.regularity,
        "swing, one frequency": float(power.max()) / total,
        # The power's geometric mean over its mean: 1 if all frequencies are as strong.
        "swing, few frequencies": float(np.exp(np.log(power + 1e-12 * total).mean()))
        / (total / len(power)),
        "swing, rough": log10(rough / max(found.amplitude, 1e-300), 1e-4),
        "swing, neighbours": (jump / deviation) ** 2,  # 2 of white noise (von Neumann, 1941)
        "swing, skew": float(np.clip((off**3).mean() / deviation**3, -5, 5)),
        "swing, tails": log10(float((off**4).mean()) / deviation**4),
        "swing, jumps up": float(np.clip((steps**3).mean() / jump**3, -5, 5)),
        "swing, spikes": float((rest > middle + SPIKE * spread + 1e-12).mean()),
        "swing, rises": float((steps > 0).mean()),
    }
