"""How often the intervals cover and the verdicts err, by simulation with fixed seeds.

helpers/simulation_table.py prints all the figures.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers.simulation import (
    FAMILIES,
    LEFT_TAILS,
    MIXES,
    ORDINARY,
    SEEDS,
    Population,
    between_coverage,
    bootstrap_t_coverage,
    false_decisions,
    iqm_coverage,
    populations,
    proportion_coverage,
    row_errors,
    student_bounds,
    student_coverage,
    two_way_coverage,
)

from convergence.analysis import bootstrap, statistics
from convergence.analysis.claim import Kind

FULL = 10_000
QUICK = 2_000

REPLICATIONS = pytest.mark.parametrize(
    "replications", [QUICK, pytest.param(FULL, marks=pytest.mark.slow)]
)


@pytest.fixture(scope="module")
def population() -> dict[str, Population]:
    return populations()


def test_the_batched_student_interval_is_the_shipped_one() -> None:
    """Protects the simulations from measuring another interval than ``paired_t``."""
    samples = np.random.default_rng(3).standard_exponential((5, 11))
    low, high = student_bounds(samples)
    shipped = [statistics.paired_t(sample) for sample in samples]
    np.testing.assert_allclose([interval.low for interval in shipped], low, rtol=1e-12)
    np.testing.assert_allclose([interval.high for interval in shipped], high, rtol=1e-12)


@pytest.mark.parametrize("n", SEEDS)
def test_student_covers_paired_differences(population: dict[str, Population], n: int) -> None:
    """Protects the interval that decides claims: 93 to 97 % on every ordinary population."""
    for name in ORDINARY:
        assert 0.93 <= student_coverage(population[name], n, FULL) <= 0.97, name


@REPLICATIONS
@pytest.mark.parametrize("n", SEEDS)
def test_bootstrap_t_covers_single_arms(
    population: dict[str, Population], n: int, replications: int
) -> None:
    """Protects the interval of an arm's mean: 93 to 97 % on ordinary populations, and skew."""
    for name in ORDINARY:
        assert 0.93 <= bootstrap_t_coverage(population[name], n, replications) <= 0.97, name
    assert bootstrap_t_coverage(population["exponential"], n, replications) >= 0.92
    assert bootstrap_t_coverage(population["lognormal"], n, replications) >= 0.87


def test_student_would_not_do_for_skewed_arms(population: dict[str, Population]) -> None:
    """Protects the choice of method: Student's interval of a lognormal mean covers too little."""
    assert student_coverage(population["lognormal"], 8, FULL) < 0.87
    assert student_coverage(population["exponential"], 8, FULL) < 0.92


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDINARY)
def test_reliable_from(population: dict[str, Population], name: str) -> None:
    """Protects the table behind the warnings: from the n it names, 93 % are covered."""
    start = statistics.RELIABLE_FROM
    for n in (2, 3, 4, 5, 6, 8):
        assert n < start["Student t"] or student_coverage(population[name], n, FULL) >= 0.93
    for n in (5, 6, 7, 12, 24):
        assert bootstrap_t_coverage(population[name], n, FULL) >= 0.93
    for n in (start["IQM BCa"], 13, 16, 32):
        assert iqm_coverage(population[name], n, FULL) >= 0.93


@pytest.mark.slow
def test_reliable_from_is_no_larger_than_needed(population: dict[str, Population]) -> None:
    """Protects reports from warning without need: just below the table 93 % are missed.

    Between 9 and 12 the IQM's coverage of a normal population is too close to 93 % to tell.
    """
    assert iqm_coverage(population["normal"], 9, FULL) < 0.93
    start = statistics.RELIABLE_FROM["two-way t"]
    assert two_way_coverage((1, 1, 0.1), start - 1, 30, FULL) < 0.93


def test_rare_failures(population: dict[str, Population]) -> None:
    """Protects the warning about rare failures: below its n a mean is not covered at 93 %."""
    rare, start = population["rare failures"], bootstrap.RARE_FAILURES_FROM
    assert bootstrap_t_coverage(rare, start, QUICK) >= 0.93
    assert bootstrap_t_coverage(rare, start - 12, QUICK) < 0.93
    assert bootstrap_t_coverage(rare, 8, QUICK) < 0.5


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5])
def test_proportions_are_covered_at_every_n(share: float) -> None:
    """Protects the interval of diverged trials: exact, so never below its level."""
    for n in (1, 2, 5, 8, 16, 32, 100):
        assert proportion_coverage(share, n) >= 0.95


@REPLICATIONS
def test_two_way_covers(replications: int) -> None:
    """Protects the interval over seeds and rows: at least 93 % from the n in the table."""
    for mix in MIXES:
        for seeds in (statistics.RELIABLE_FROM["two-way t"], 8):
            assert two_way_coverage(mix, seeds, 60, replications) >= 0.93, (mix, seeds)


@REPLICATIONS
def test_seeds_alone_err_half_the_time_about_rows(replications: int) -> None:
    """Protects advice about a user's data: with rows counted, equal arms stay equal."""
    alone, both = row_errors(replications // 2)
    assert 0.4 < alone < 0.6
    assert both <= 0.055


@pytest.mark.parametrize("n", SEEDS)
def test_between_variance_of_normal_effects_is_covered(n: int) -> None:
    """Protects the formula of the modified-large-sample interval, also where the truth is 0."""
    for sd in (0.0, 0.5, 2.0):
        coverage = between_coverage(lambda rng, shape: rng.standard_normal(shape), sd, n, FULL)
        assert 0.94 <= coverage <= 0.96, sd


@pytest.mark.parametrize("n", SEEDS)
def test_false_holds_over_ten_comparisons(n: int) -> None:
    """Protects the first promise of a verdict: at most 5.5 % of families hold a false 'holds'."""
    effects, margin = FAMILIES["3 true, margin .5"]
    assert false_decisions(effects, margin, n, QUICK // 2)[0] <= 0.055


@pytest.mark.slow
@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_false_holds_in_full(name: str, n: int) -> None:
    """The same with every family, 10,000 times."""
    effects, margin = FAMILIES[name]
    assert false_decisions(effects, margin, n, FULL)[0] <= 0.055


@REPLICATIONS
@pytest.mark.parametrize("kind", ["superiority", "non-inferiority", "equivalence"])
def test_false_decisions_at_the_margin(kind: Kind, replications: int) -> None:
    """Protects 'fails', and the other kinds: effects at their margin are called wrong in 5.5 %."""
    edge = -1.0 if kind == "non-inferiority" else 1.0
    holds, fails = false_decisions([edge] * 4, 1.0, 12, replications // 4, kind=kind)
    assert holds <= 0.055
    assert fails <= 0.055


@REPLICATIONS
def test_divergences_add_no_error(replications: int) -> None:
    """Protects the shared level of the two routes: equal arms that diverge stay undecided."""
    holds, fails = false_decisions([0.0] * 4, 1e-9, 24, replications // 4, divergence=0.3)
    assert holds <= 0.055
    assert fails <= 0.055


@pytest.mark.slow
@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("name", ["t, 3 df", "gamma, skewness 1", "lognormal"])
def test_false_holds_without_normality(
    population: dict[str, Population], name: str, n: int
) -> None:
    """Protects verdicts on metrics that are not normal: differences of equal arms are symmetric."""
    assert false_decisions([0.0] * 10, 0.5, n, FULL // 4, population=population[name])[0] <= 0.055


@pytest.mark.slow
@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("name", ["gamma, skewness -1", "exponential, negative"])
def test_false_holds_against_a_tail_of_bad_seeds(name: str, n: int) -> None:
    """Protects verdicts on treatments with a tail of bad seeds (rare failures are beyond help)."""
    assert false_decisions([0.0] * 10, 0.5, n, FULL // 4, treated=LEFT_TAILS[name])[0] <= 0.055
