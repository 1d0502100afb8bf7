"""Simulations, with fixed seeds, of how often intervals cover and verdicts err."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special, stats

from convergence.analysis import bootstrap, statistics, two_way, variance
from convergence.analysis.claim import Claim, Kind
from convergence.analysis.verdict import decide_family

Array = NDArray[np.float64]
SEEDS = (8, 16, 32)

# Standard deviations of seeds, rows and rest for two-way tables.
MIXES = ((1.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 0.1), (0.5, 0.1, 5.0), (0.1, 1.0, 3.0))

# What ten comparisons with one control may be: none true, some true, some worse than the control.
FAMILIES: dict[str, tuple[list[float], float]] = {
    "none true, margin .1": ([0.0] * 10, 0.1),
    "none true, margin .5": ([0.0] * 10, 0.5),
    "none true, margin 2": ([0.0] * 10, 2.0),
    "3 true, margin .5": ([0.0] * 7 + [2.0] * 3, 0.5),
    "7 true, margin 2": ([0.0] * 3 + [4.0] * 7, 2.0),
    "3 true, 4 worse, margin .5": ([0.0] * 3 + [2.0] * 3 + [-0.5] * 4, 0.5),
}


# --- populations ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Population:
    """A distribution to draw seeds' metrics from, with the quantities that intervals estimate."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    mean: float
    iqm: float


def _scipy(distribution: stats.distributions.rv_frozen) -> Population:
    """A population whose IQM is the integral of the middle half of its quantiles."""
    iqm = 2 * integrate.quad(distribution.ppf, 0.25, 0.75)[0]
    return Population(
        lambda rng, shape: distribution.rvs(shape, random_state=rng), distribution.mean(), iqm
    )


def _rare_failures(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A metric with standard deviation 1 that falls by 40 in 1 seed of 20."""
    return rng.standard_normal(shape) - 40.0 * (rng.random(shape) < 0.05)


# Treatments with the control's mean but a tail of bad seeds: the hardest case for Student's t.
LEFT_TAILS = {
    "gamma, skewness -1": Population(
        lambda rng, shape: 2 - 0.5 * rng.gamma(4, size=shape), 0.0, math.nan
    ),
    "exponential, negative": Population(
        lambda rng, shape: 1 - rng.exponential(size=shape), 0.0, math.nan
    ),
    "rare failures": Population(lambda rng, shape: _rare_failures(rng, shape) + 2.0, 0.0, math.nan),
}


def populations() -> dict[str, Population]:
    """All populations by name. The rare failures' IQM is found from a large sample."""
    large = np.sort(_rare_failures(np.random.default_rng(9), (2_000_000,)))
    return {
        "normal": _scipy(stats.norm()),
        "t, 3 df": _scipy(stats.t(3)),
        "t, 4 df": _scipy(stats.t(4)),
        "t, 5 df": _scipy(stats.t(5)),
        "Laplace": _scipy(stats.laplace()),
        "gamma, skewness 1": _scipy(stats.gamma(4)),
        "exponential": _scipy(stats.expon()),
        "lognormal": _scipy(stats.lognorm(1)),
        "rare failures": Population(_rare_failures, -2.0, float(large[500_000:1_500_000].mean())),
    }


ORDINARY = ("normal", "t, 3 df", "t, 4 df", "t, 5 df", "Laplace", "gamma, skewness 1")


# --- coverage ------------------------------------------------------------------------------------


def student_bounds(samples: Array, level: float = 0.95) -> tuple[Array, Array]:
    """``paired_t`` for samples [replications, n] at once; a test checks that it is the same."""
    n = samples.shape[-1]
    reach = -special.stdtrit(n - 1, (1 - level) / 2) * samples.std(-1, ddof=1) / math.sqrt(n)
    return samples.mean(-1) - reach, samples.mean(-1) + reach


def student_coverage(population: Population, n: int, replications: int) -> float:
    """Share of 95 % Student intervals that hold the population's mean."""
    samples = population.draw(np.random.default_rng(n), (replications, n))
    low, high = student_bounds(samples)
    return float(((low <= population.mean) & (population.mean <= high)).mean())


def bootstrap_t_coverage(population: Population, n: int, replications: int) -> float:
    """The same for the bootstrap-t, with its fall back to Student; resamples drawn per 100."""
    rng = np.random.default_rng(n)
    samples = population.draw(rng, (replications, n))
    if n < statistics.RELIABLE_FROM["bootstrap-t"]:
        return student_coverage(population, n, replications)
    covered = []
    for part in np.split(samples, replications // 100):
        low, high = bootstrap.bootstrap_t_bounds(part, 0.025, rng, 999)
        usable = np.isfinite(low) & np.isfinite(high)
        student = student_bounds(part)
        low, high = np.where(usable, low, student[0]), np.where(usable, high, student[1])
        covered.append((low <= population.mean) & (population.mean <= high))
    return float(np.mean(covered))


def iqm_coverage(population: Population, n: int, replications: int) -> float:
    """The same for the BCa interval of the population's interquartile mean."""
    rng = np.random.default_rng(n)
    samples = population.draw(rng, (replications, n))
    covered = []
    for part in np.split(samples, replications // 100):
        low, high = bootstrap.iqm_bca_bounds(part, 0.95, rng, 999)
        covered.append((low <= population.iqm) & (population.iqm <= high))
    return float(np.mean(covered))


def proportion_coverage(share: float, n: int) -> float:
    """Exact coverage of the Clopper-Pearson interval, summed over all counts."""
    covered = 0.0
    for k in range(n + 1):
        interval = statistics.proportion_exact(k, n)
        if interval.low <= share <= interval.high:
            covered += float(stats.binom.pmf(k, n, share))
    return covered


def two_way_coverage(
    sds: tuple[float, float, float], seeds: int, rows: int, replications: int
) -> float:
    """Coverage of the two-way interval for normal seed, row and rest effects with these sds."""
    rng = np.random.default_rng(seeds)
    covered = []
    for _ in range(replications):
        table = sds[0] * rng.standard_normal((seeds, 1)) + sds[1] * rng.standard_normal(rows)
        table = table + sds[2] * rng.standard_normal((seeds, rows))
        interval = two_way.two_way(table)
        covered.append(interval.low <= 0 <= interval.high)
    return float(np.mean(covered))


def between_coverage(
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array],
    sd: float,
    groups: int,
    replications: int,
) -> float:
    """Coverage of the between-groups variance sd**2 with 5 in a group and unit noise."""
    rng = np.random.default_rng(groups)
    effects = sd * draw(rng, (replications, groups, 1))
    table = effects + rng.standard_normal((replications, groups, 5))
    means = table.mean(2)
    between = 5 * means.var(1, ddof=1)
    within = ((table - means[..., None]) ** 2).sum((1, 2)) / (groups * 4)
    low, high = variance.difference_bounds(between, within, (groups - 1, groups * 4), 0.025)
    return float(((low <= 5 * sd**2) & (5 * sd**2 <= high)).mean())


# --- errors of verdicts --------------------------------------------------------------------------


def family(count: int, margin: float, kind: Kind = "superiority") -> list[Claim]:
    """Claims that arms 0, 1, … beat one control."""
    return [
        Claim(str(i), f"Arm {i} beats the control.", f"arm {i}", "control", kind, 1, "score",
              margin, "simulation")
        for i in range(count)
    ]  # fmt: skip


def false_decisions(
    effects: Sequence[float],
    margin: float,
    n: int,
    replications: int,
    *,
    kind: Kind = "superiority",
    population: Population | None = None,
    treated: Population | None = None,
    divergence: float = 0.0,
) -> tuple[float, float]:
    """Share of families with a false 'holds' and with a false 'fails', of arms sharing a control.

    Args:
        effects: [m] true effects in standard deviations of one arm.
        population: of every arm, normal by default.
        treated: of the treatments, with mean 0, where it is another than the control's.
        divergence: probability that a trial of any arm diverges.

    A 'holds' is false where the claim's hypothesis is false: effect <= 0 (superiority), <= -margin
    (non-inferiority) or beyond the margins (equivalence); a 'fails' where effect >= margin,
    >= -margin, or within the margins.
    """
    rng = np.random.default_rng(n)
    draw = population.draw if population else lambda r, shape: r.standard_normal(shape)
    claims = family(len(effects), margin, kind)
    true = np.asarray(effects)
    if kind == "superiority":
        untrue, worthy = true <= 0, true >= margin
    elif kind == "non-inferiority":
        untrue, worthy = true <= -margin, true >= -margin
    else:
        untrue, worthy = np.abs(true) >= margin, np.abs(true) <= margin
    errors = np.zeros(2)
    for _ in range(replications):
        arms = draw(rng, (len(effects) + 1, n))
        if treated:
            arms[1:] = treated.draw(rng, (len(effects), n))
        if divergence:
            arms[rng.random(arms.shape) < divergence] = np.nan
        control, treatments = arms[0], arms[1:] + true[:, None]
        verdicts = decide_family(claims, list(treatments), [control] * len(claims))
        decisions = np.array([verdict.decision for verdict in verdicts])
        errors += [((decisions == "holds") & untrue).any(), ((decisions == "fails") & worthy).any()]
    return float(errors[0] / replications), float(errors[1] / replications)


def row_errors(replications: int, seeds: int = 32, rows: int = 360) -> tuple[float, float]:
    """How often two arms that are equal in the population are called different.

    Every test row has a difficulty shared by both arms (its logit is normal, 2 with sd 2) and each
    arm its own leaning on it (sd 1.7); each seed its own luck (sd .1). Rows are drawn anew, so
    over all rows there is no difference. Called different: 'holds' or 'reversed'.

    Returns:
        The share with seeds alone and with seeds and rows.
    """
    rng = np.random.default_rng(0)
    claims = family(1, 1e-6)
    errors = np.zeros(2)
    for _ in range(replications):
        logit = 2 + 2 * rng.standard_normal(rows) + 1.7 * rng.standard_normal((2, 1, rows))
        logit = logit + 0.1 * rng.standard_normal((2, seeds, 1))
        right = (rng.random((2, seeds, rows)) < special.expit(logit)).astype(np.float64)
        for i, speaks_of in enumerate(get_args(statistics.SpeaksOf)):
            (verdict,) = decide_family(claims, [right[0]], [right[1]], speaks_of=speaks_of)
            errors[i] += verdict.decision == "holds" or verdict.reason == "reversed"
    return float(errors[0] / replications), float(errors[1] / replications)
