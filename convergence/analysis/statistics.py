"""The interval every report shows, and the Student inference most of them come from.

Everything here is a function of the numbers given: no generator, no state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

SpeaksOf = Literal["seeds", "seeds and rows"]

# From this n on each method's 95 % interval covers at least 93 % of every population tried: normal,
# t with 3 to 5 degrees of freedom, Laplace and gamma of skewness 1 (for two-way inference, normal
# effects in several proportions, n being the smaller of seeds and rows). More skewed populations
# need more. Measured and checked by tests/test_statistics_simulation.py; exact methods are absent.
RELIABLE_FROM: Mapping[str, int] = MappingProxyType(
    {"Student t": 2, "bootstrap-t": 5, "IQM BCa": 12, "two-way t": 4}
)


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval and everything needed to read it.

    Attributes:
        estimate: the point estimate, in the metric's units.
        low, high: the bounds, in the same units; infinite where the data set no bound.
        level: the two-sided confidence level, for example .95.
        n: how many independent observations (usually seeds) it rests on.
        method: how it was computed, in words.
        speaks_of: what the interval generalises to: other 'seeds' on the same test rows, or other
            'seeds and rows'.
        warning: why the interval should not be taken at its word; '' when there is no reason.
        df: degrees of freedom, NaN where the method has none.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: str
    speaks_of: SpeaksOf = "seeds"
    warning: str = ""
    df: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: NaN becomes None, an infinity its name."""
        return {key: strict_number(value) for key, value in dataclasses.asdict(self).items()}


def strict_number(value: Any) -> Any:
    """The value, made safe for strict JSON: NaN is None, infinities are 'inf' and '-inf'."""
    if isinstance(value, (np.floating, np.integer, np.bool_)):
        value = value.item()
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    return "inf" if value > 0 else "-inf"


def from_strict(value: Any) -> float:
    """The number behind a strict-JSON value: None is NaN, 'inf' and '-inf' are infinities.

    Raises:
        ValueError, TypeError: it is no number.
    """
    return math.nan if value is None else float(value)


@dataclasses.dataclass(frozen=True)
class StudentMean:
    """A mean with its standard error: gives bounds and p-values at any one-sided level.

    A sample without any spread has no t statistic; a zero-width interval from two identical values
    would be a lie. For such a sample the bounds are those of the order statistics: n identical
    values bound the population's *median* on either side at one-sided level 0.5**n, whatever the
    distribution. So the interval has zero width where 0.5**n < alpha (n >= 6 for a 95 % interval)
    and is infinite below.

    Attributes:
        estimate: the mean.
        error: its standard error; inf when n < 2, 0 when the sample has no spread.
        df: degrees of freedom (not an integer for two-way inference).
        n: independent observations; for two-way inference the smaller of seeds and rows.
    """

    estimate: float
    error: float
    df: float
    n: int

    def low(self, alpha: float) -> float:
        """The lower bound that the true value undercuts with probability alpha."""
        return self.estimate - self._reach(alpha)

    def high(self, alpha: float) -> float:
        """The upper bound that the true value exceeds with probability alpha."""
        return self.estimate + self._reach(alpha)

    def p_at_most(self, value: float) -> float:
        """One-sided p of the hypothesis 'the true value is at most ``value``'."""
        return self._p(self.estimate - value)

    def p_at_least(self, value: float) -> float:
        """One-sided p of the hypothesis 'the true value is at least ``value``'."""
        return self._p(value - self.estimate)

    def _reach(self, alpha: float) -> float:
        if not math.isfinite(self.error):
            return math.inf
        if self.error == 0:
            return 0.0 if 0.5**self.n < alpha else math.inf
        return -float(special.stdtrit(self.df, alpha)) * self.error

    def _p(self, distance: float) -> float:
        if not math.isfinite(self.error) or math.isnan(distance):
            return 1.0
        if self.error == 0:
            return 0.5**self.n if distance > 0 else 1.0
        return float(special.stdtr(self.df, -distance / self.error))


def student_mean(sample: ArrayLike, resolution: float = 0.0) -> StudentMean:
    """Mean and standard error of a sample, for Student's t.

    Args:
        sample: [n] finite numbers.
        resolution: a standard deviation not above it counts as no spread at all (rounding of the
            differences of equal numbers).

    Raises:
        ValueError: the sample is not one-dimensional or holds a number that is not finite.
    """
    values = finite_sample(sample)
    n = len(values)
    if n == 0:
        return StudentMean(math.nan, math.inf, math.nan, 0)
    mean = float(values.mean())
    if n == 1:
        return StudentMean(mean, math.inf, 0.0, 1)
    sd = float(values.std(ddof=1))
    floor = max(resolution, 4 * np.finfo(np.float64).eps * float(np.abs(values).max()))
    if sd <= floor:
        return StudentMean(float(np.median(values)), 0.0, n - 1.0, n)
    return StudentMean(mean, sd / math.sqrt(n), n - 1.0, n)


def paired_t(differences: ArrayLike, level: float = 0.95, resolution: float = 0.0) -> Interval:
    """Student t interval of the mean of paired differences (Student 1908).

    One pair gives an infinite interval, none gives NaN, both with a warning. Differences without
    spread: see ``StudentMean``.

    Args:
        differences: [n] treatment minus control, seed by seed; finite.
        level: two-sided confidence level.
        resolution: see ``student_mean``.

    Raises:
        ValueError: as ``student_mean``, or the level is not between 0 and 1.
    """
    return student_interval(student_mean(differences, resolution), level)


def student_interval(
    mean: StudentMean, level: float, method: str = "Student t", speaks_of: SpeaksOf = "seeds"
) -> Interval:
    """The two-sided interval of a ``StudentMean``, with the warnings that belong to it.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    alpha = tail(level)
    if mean.n == 0:
        low, high = math.nan, math.nan
    else:
        low, high = mean.low(alpha), mean.high(alpha)
    warning = few_warning(method, mean.n)
    if mean.n > 1 and mean.error == 0:
        warning = f"all {mean.n} values are the same: the interval is that of the median"
    return Interval(mean.estimate, low, high, level, mean.n, method, speaks_of, warning, mean.df)


def proportion_exact(k: int, n: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson interval of a proportion, k of n (Clopper & Pearson 1934, by beta quantiles).

    It covers at least the level at every n and proportion, usually more.

    Raises:
        ValueError: k is not between 0 and n, or the level is not between 0 and 1.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k must be between 0 and n, got {k} of {n}")
    alpha = tail(level)
    if n == 0:
        warning = "no observation at all"
        return Interval(math.nan, 0.0, 1.0, level, 0, "Clopper-Pearson", warning=warning)
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, alpha))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - alpha))
    return Interval(k / n, low, high, level, n, "Clopper-Pearson")


def few_warning(method: str, n: int) -> str:
    """What to say of an interval by ``method`` from n observations; '' when n is enough."""
    if n == 0:
        return "no observation at all"
    if n == 1:
        return "one seed says nothing about spread"
    needed = RELIABLE_FROM.get(method, 2)
    if n < needed:
        return f"n = {n}: a 95 % interval by {method} covers 93 % only from n = {needed}"
    return ""


def finite_sample(sample: ArrayLike) -> NDArray[np.float64]:
    """The sample as [n] float64.

    Raises:
        ValueError: it is not one-dimensional or holds a number that is not finite.
    """
    values = np.asarray(sample, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"a sample must have the shape [n], got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a sample must be finite: count diverged trials apart")
    return values


def tail(level: float) -> float:
    """The one-sided tail probability of a two-sided level.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level}")
    return (1 - level) / 2
