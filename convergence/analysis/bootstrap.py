"""Intervals by resampling: bootstrap-t for a mean of skewed numbers, BCa for the IQM.

Neither decides a claim: decisions are by Student t and two-way inference (see ``verdict``).
"""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from convergence.analysis.statistics import (
    RELIABLE_FROM,
    Interval,
    few_warning,
    finite_sample,
    student_interval,
    student_mean,
    tail,
)

# Resamples are drawn so many numbers at a time: it bounds memory at any n.
_NUMBERS_AT_ONCE = 2**22

# From so many seeds on the mean of a sample with rare failures (1 in 20) is covered at 93 %, by
# the simulation in tests/test_statistics_simulation.py.
RARE_FAILURES_FROM = 60

# A quarter of fewer values, rounded down, is none: their IQM is their mean.
_CUT_FROM = 4

# A value so many scaled median absolute deviations from the median is called extreme: a normal
# sample of 8 shows one in 1 case of 250, a lognormal one in 1 of 7.
_EXTREME = 10.0


def bootstrap_t(
    sample: ArrayLike,
    level: float,
    rng: np.random.Generator,
    replicates: int = 9_999,
) -> Interval:
    """Bootstrap-t interval of a mean (Efron & Tibshirani 1993, section 12.5; Hall 1988).

    The quantiles of (mean* - mean) / error* over resamples stand in for Student's, so that the
    interval leans as the data do. Where such a quantile reaches less far than Student's it is
    moved halfway to it, which is our own addition: the plain method covers only 92.3 to 92.7 % of
    heavy-tailed symmetric samples (t with 3 degrees of freedom, Laplace) of 12 to 16, this one 94
    to 96 % of them, and no less of skewed ones.

    Resamples without spread count as infinite t; where they fill a tail, the data have too few
    distinct values for the method and Student's interval is given instead, with a warning. So it
    is below n = 5, where there are too few resamples.

    Args:
        sample: [n] finite numbers of one arm.
        level: two-sided confidence level.
        rng: consumed.
        replicates: how many resamples.

    Raises:
        ValueError: a bad sample or level, or too few replicates to have the tail asked for.
    """
    values = finite_sample(sample)
    mean = student_mean(values)
    if mean.n < 2 or mean.error == 0:
        return student_interval(mean, level, "bootstrap-t")
    low, high = -math.inf, math.inf
    if mean.n >= RELIABLE_FROM["bootstrap-t"]:
        low, high = map(float, bootstrap_t_bounds(values, tail(level), rng, replicates))
    if not (math.isfinite(low) and math.isfinite(high)):
        few = f"n = {mean.n}: too few distinct values for bootstrap-t, this is Student's t"
        return dataclasses.replace(student_interval(mean, level), warning=few)
    warning = extreme_warning(values)
    return Interval(mean.estimate, low, high, level, mean.n, "bootstrap-t", warning=warning)


def bootstrap_t_bounds(
    samples: NDArray[np.float64],
    alpha: float,
    rng: np.random.Generator,
    replicates: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of many samples at once, each at one-sided level alpha.

    The samples share their resampling counts, so a resample of all of them is a matrix product.
    See ``bootstrap_t`` for the method.

    Args:
        samples: [..., n] with n >= 2; a sample without spread gets bounds equal to its mean.
        alpha: one-sided tail probability.
        rng: consumed.
        replicates: how many resamples; a bound is the order statistic (replicates + 1) * alpha.

    Returns:
        low [...] and high [...]; infinite where resamples without spread fill the tail.

    Raises:
        ValueError: too few replicates to have a tail of alpha.
    """
    rank = math.floor((replicates + 1) * alpha + 1e-9)
    if rank < 1:
        raise ValueError(f"a tail of {alpha} needs at least {math.ceil(1 / alpha)} replicates")
    n = samples.shape[-1]
    mean = samples.mean(-1, keepdims=True)
    sd = samples.std(-1, ddof=1, keepdims=True)
    # Unit variance first: the sum of squares below then loses no digits that matter.
    scaled = (samples - mean) / np.where(sd > 0, sd, 1.0)
    squares = scaled**2
    pieces = []
    for count in _pieces(replicates, n):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=count).T / n
        shift = scaled @ weights
        variance = np.maximum(squares @ weights - shift**2, 0.0) / (n - 1)
        # A shift that is rounding alone must not become an infinite t.
        flat = variance < 1e-14
        t = shift / np.sqrt(np.where(flat, 1.0, variance))
        infinite = np.where(np.abs(shift) < 1e-12, 0.0, np.copysign(np.inf, shift))
        pieces.append(np.where(flat, infinite, t))
    order = np.concatenate(pieces, axis=-1)
    order.partition([rank - 1, replicates - rank], axis=-1)
    student = -float(special.stdtrit(n - 1, alpha))
    to_low = _guarded(order[..., replicates - rank], student)
    to_high = _guarded(-order[..., rank - 1], student)
    error = (sd / math.sqrt(n))[..., 0]
    # 0 for a sample without spread, whose quantiles mean nothing.
    low = mean[..., 0] - np.where(error > 0, to_low, 0.0) * error
    high = mean[..., 0] + np.where(error > 0, to_high, 0.0) * error
    return low, high


def _guarded(reach: NDArray[np.float64], student: float) -> NDArray[np.float64]:
    """A quantile of t*, moved halfway to Student's where it reaches less far."""
    return np.maximum(reach, (reach + student) / 2)


def iqm_bca(
    sample: ArrayLike,
    level: float,
    rng: np.random.Generator,
    replicates: int = 9_999,
) -> Interval:
    """Interquartile mean with a BCa bootstrap interval (Agarwal et al. 2021; Efron 1987).

    The quarter of the sample at either end (rounded down) is left out. For display only: the
    decision on a claim never rests on it. Below n = 4 nothing is left out, and a bootstrap would
    reach from the least to the greatest value whatever the level: it is Student's interval of the
    mean, with a warning.

    Args:
        sample: [n] finite numbers of one arm.
        level: two-sided confidence level.
        rng: consumed.
        replicates: how many resamples.

    Raises:
        ValueError: a bad sample or level.
    """
    values = finite_sample(sample)
    whole = student_mean(values)
    if whole.n < 2 or whole.error == 0:
        return student_interval(whole, level, "IQM BCa")
    if whole.n < _CUT_FROM:
        few = f"n = {whole.n}: too few values for an IQM, this is the mean with Student's t"
        return dataclasses.replace(student_interval(whole, level), warning=few)
    low, high = map(float, iqm_bca_bounds(values, level, rng, replicates))
    warning = few_warning("IQM BCa", whole.n)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = -math.inf, math.inf
        warning = f"n = {whole.n}: too few distinct values for a bootstrap of the IQM"
    estimate = float(interquartile_mean(values))
    return Interval(estimate, low, high, level, whole.n, "IQM BCa", warning=warning)


def iqm_bca_bounds(
    samples: NDArray[np.float64],
    level: float,
    rng: np.random.Generator,
    replicates: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """BCa bounds of the interquartile means of samples [..., n]: low [...] and high [...].

    NaN where the resamples have too few distinct values.
    """
    from scipy import stats  # half a second to import

    # Samples that BCa cannot serve get NaN; the caller says so in its own words.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (samples,),
            interquartile_mean,
            n_resamples=replicates,
            batch=max(1, _NUMBERS_AT_ONCE // samples.size),
            axis=-1,
            confidence_level=level,
            method="BCa",
            rng=rng,
        )
    return result.confidence_interval.low, result.confidence_interval.high


def interquartile_mean(samples: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Mean of the middle half of samples [..., n], a quarter (rounded down) cut at either end."""
    from scipy import stats

    return np.asarray(stats.trim_mean(samples, 0.25, axis=axis))


def extreme_warning(values: NDArray[np.float64]) -> str:
    """What to say of a mean that a few extreme values dominate; '' when none does.

    A sample with rare failures looks like this when it caught one; when it caught none, nothing
    in it can tell, and only more seeds help.
    """
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    count = int((np.abs(values - middle) > _EXTREME * spread).sum()) if spread > 0 else 0
    if count == 0 or len(values) >= RARE_FAILURES_FROM:
        return ""
    said = "1 value is" if count == 1 else f"{count} values are"
    return (
        f"{said} extreme: with rare failures a mean is covered at 93 % only from "
        f"n = {RARE_FAILURES_FROM}; read the IQM and the list of seeds"
    )


def _pieces(replicates: int, n: int) -> list[int]:
    """Split a count of resamples into parts of bounded size."""
    size = max(1, _NUMBERS_AT_ONCE // n)
    full, rest = divmod(replicates, size)
    return [size] * full + ([rest] if rest else [])
