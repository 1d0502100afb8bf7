"""How far seeds spread: a standard deviation with its interval."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


@dataclasses.dataclass(frozen=True)
class Spread:
    """The standard deviation of a metric over seeds.

    Attributes:
        sd: in the metric's units; NaN with fewer than two trials that finished.
        low, high: interval; see `spread`.
        n: trials that finished, of ``trials``.
        warning: what a reader should know before trusting it.
    """

    sd: float
    low: float
    high: float
    n: int
    trials: int
    warning: str


def spread(values: ArrayLike, level: float = 0.95) -> Spread:
    """Standard deviation over seeds, with an interval that does not lean on normality.

    The interval is Bonett's (2006, "Approximate confidence interval for standard deviation of
    nonnormal distributions", eq. 3): log-variance plus or minus z times a standard error that uses
    the sample's kurtosis about a trimmed mean, where the chi-square interval would assume a normal
    sample's. Simulated at 95 % it covers 95 to 99 % for normal samples of 4 and more, 92 to 98 %
    at skewness 1, but only about 90 % for samples of 16 and more with tails as heavy as those of t
    with 5 degrees of freedom.

    Args:
        values: [seeds] of a metric, not finite where the trial diverged.
        level: two-sided.
    """
    array = np.asarray(values, np.float64)
    finished = array[np.isfinite(array)]
    n, trials = len(finished), len(array)
    if n < 2:
        return Spread(math.nan, 0.0, math.inf, n, trials, "one seed says nothing about spread")
    sd = float(finished.std(ddof=1))
    z = float(special.ndtri(0.5 + level / 2))
    if sd == 0 or n < 4 or n <= z:
        few = f"n = {n}: an interval of the spread needs at least {max(4, math.floor(z) + 1)}"
        warning = f"all {n} values are the same" if sd == 0 else few
        return Spread(sd, 0.0, math.inf, n, trials, warning)
    from scipy import stats  # half a second to import

    trim = 1 / (2 * math.sqrt(n - 4)) if n > 4 else 0.49
    centre = float(stats.trim_mean(finished, min(trim, 0.49)))
    # In units of the SD: fourth powers of tiny values would underflow.
    kurtosis = n * float((((finished - centre) / sd) ** 4).sum()) / (n - 1) ** 2
    error = math.sqrt(max((kurtosis - (n - 3) / n), 0.0) / (n - 1))
    small = n / (n - z)
    half = z * small * error
    middle = math.log(small) + 2 * math.log(sd)
    low, high = math.exp((middle - half) / 2), math.exp((middle + half) / 2)
    return Spread(sd, low, high, n, trials, "")
