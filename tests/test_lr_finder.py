"""The learning-rate finder's rule: known optima found, ranges that hold none told, no ratios."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import finder_made as made
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.analysis.lr_finder import FOUND, Runs, find, fine_rates, outlook, verdict
from convergence.analysis.lr_finder.optimum import joined, least


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_best_rate_is_found() -> None:
    """Protects the suggestion: near the known optimum, below the edge, with both told."""
    found = find(*made.search(8, rng()), rng())
    assert found.verdict == FOUND
    assert abs(np.log2(found.rate / made.best(200))) < 0.25
    assert found.low < found.rate < found.high
    assert found.divergence_low <= made.EDGE <= found.divergence_high
    assert found.margin == pytest.approx(found.divergence / found.rate)
    assert f"{found.rate:.3g}" in found.sentence
    assert "200 steps" in found.sentence


@pytest.mark.slow
def test_its_interval_covers() -> None:
    """Protects the interval: with noise enough to make it wide, it holds the known optimum over
    searches with seeds of their own."""
    inside = 0
    for seed in range(150):
        found = find(*made.search(6, rng(seed), noise=1.5), rng(seed))
        inside += found.low <= made.best(200) <= found.high
    assert inside >= 0.88 * 150


def test_a_longer_horizon_is_followed() -> None:
    """Protects --horizon: the optimum is carried on along the power seen within the search."""
    search = made.search(8, rng())
    short, long = find(*search, rng()), find(*search, rng(), 2000)
    true = np.log(made.best(2000) / made.best(200)) / np.log(10)
    assert short.growth == long.growth < 0
    assert long.rate == pytest.approx(short.optima[-1][1] * 10**short.growth)
    assert abs(short.growth - true) < 0.2
    assert long.horizon == 2000
    assert short.horizon == 200
    assert "2,000 steps" in long.sentence or "2000 steps" in long.sentence
    assert find(*search, rng(), 50).horizon == 200  # never shorter than the search


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_losses_may_be_negative(shift: float, seed: int) -> None:
    """Protects losses below 0: a constant added to all of them moves no suggestion."""
    plain = find(*made.search(3, rng(seed)), rng())
    moved = find(*made.search(3, rng(seed), shift=shift), rng())
    assert moved.verdict == plain.verdict == FOUND
    assert moved.rate == pytest.approx(plain.rate, rel=1e-3)
    assert moved.divergence == pytest.approx(plain.divergence)


def test_the_suggestion_stays_below_divergence() -> None:
    """Protects runs that a search did not see: half the lowest diverging rate is not exceeded."""
    coarse, fine = made.search(4, rng())
    assert fine is not None
    bad = fine.bad.copy()
    rate = find(coarse, fine, rng()).rate
    bad[2, fine.rates >= 1.1 * rate] = 20
    loss = np.where((bad >= 0)[..., None], np.nan, fine.loss)
    found = find(coarse, dataclasses.replace(fine, bad=bad, loss=loss), rng())
    assert found.rate <= fine.rates[fine.rates >= 1.1 * rate][0] / 2 + 1e-9


CASES = {
    outlook.FALLS: lambda runs: runs.taken(np.flatnonzero(runs.rates < 0.1)),
    outlook.TOO_HIGH: lambda runs: runs.taken(np.flatnonzero(runs.rates > 0.9)),
    outlook.DIVERGES: lambda runs: runs.taken(np.flatnonzero(runs.rates >= made.EDGE)),
    outlook.FLAT: lambda runs: dataclasses.replace(
        runs,
        loss=np.repeat(runs.loss[:, :1, :1], len(runs.rates), 1).repeat(len(runs.steps), 2),
        bad=np.full_like(runs.bad, -1),
    ),
    outlook.NOT_FINITE: lambda runs: dataclasses.replace(
        runs, loss=np.full_like(runs.loss, np.nan), bad=np.zeros_like(runs.bad)
    ),
}


@pytest.mark.parametrize("expected", CASES)
def test_a_range_without_optimum_gets_a_verdict(expected: str) -> None:
    """Protects users from numbers that mean nothing: a word, no rate, and where to look instead."""
    runs = CASES[expected](made.runs(made.RATES, 100, 5, rng()))
    found = find(runs, None, rng())
    assert verdict(runs) == found.verdict == expected
    assert np.isnan(found.rate)
    assert fine_rates(runs) is None
    assert found.sentence.startswith("No rate can be suggested")
    if expected != outlook.NOT_FINITE:
        assert found.help is not None
        assert f"from {found.help[0]:.3g} to {found.help[1]:.3g}" in found.sentence
    assert found.to_json()["rate"] is None


def test_noise_alone_is_flat() -> None:
    """Protects against suggestions drawn from noise: where no rate learns, none is best."""
    wrong = 0
    for seed in range(40):
        steps = np.arange(1.0, 101.0)
        loss = 1.0 + 0.1 * rng(seed).normal(size=(6, 12, 100))
        runs = Runs(2.0 ** np.arange(-6, 6), steps, loss, np.full((6, 12), -1))
        wrong += verdict(runs) != outlook.FLAT
    assert wrong <= 2


def test_no_divergence_is_told() -> None:
    """Protects the reader: where no run diverged, no edge is made up."""
    runs = made.runs(made.RATES[made.RATES < made.EDGE], 100, 5, rng())
    found = find(runs, None, rng())
    assert found.verdict == FOUND
    assert np.isnan(found.divergence)
    assert "No run diverged up to 2." in found.sentence


def test_one_seed_has_no_interval() -> None:
    """Protects --num_seeds=1: a rate, without an interval that one seed cannot give."""
    found = find(*made.search(1, rng()), rng())
    assert np.isfinite(found.rate)
    assert np.isnan(found.low)
    assert "[" not in found.sentence.split(",")[0]


def test_least_of_few_points() -> None:
    """Protects the fit's edges: one finite rate, a parabola through three, none at all."""
    rates = np.array([0.1, 0.2, 0.4])
    assert least(rates, np.array([np.inf, 1.0, np.inf]), 2.0) == pytest.approx(0.2)
    assert least(rates, np.array([1.5, 1.0, 1.5]), 2.0) == pytest.approx(0.2)
    assert 0.2 < least(rates, np.array([1.9, 1.0, 1.2]), 2.0) < 0.4
    assert np.isnan(least(rates, np.full(3, np.inf), 2.0))


def test_searches_are_joined_by_rate() -> None:
    """Protects what the optimum is read off: each rate once, the finer search's runs first."""
    coarse, fine = made.search(3, rng())
    assert fine is not None
    both = joined(coarse, fine, 100)
    assert len(both.rates) == len(coarse.rates) + len(fine.rates) - 4
    for at, rate in enumerate(both.rates):
        own = np.abs(np.log(fine.rates / rate))
        source = fine if own.min() < 1e-6 else coarse
        place = int(np.abs(np.log(source.rates / rate)).argmin())
        assert np.array_equal(both.loss[:, at], source.loss[:, place, :100], equal_nan=True)
    assert len(joined(coarse, fine, 200).rates) == len(fine.rates)


def test_runs_are_averaged_over_their_steps() -> None:
    """Protects the criterion: points that stand for more steps weigh more; broken runs are inf."""
    loss = np.array([[[1.0, 3.0, 5.0]], [[1.0, np.nan, np.nan]]])
    runs = Runs(np.array([0.1]), np.array([1, 2, 6]), loss, np.array([[-1], [1]]))
    assert runs.mean()[0, 0] == pytest.approx((1 + 3 + 4 * 5) / 6)
    assert np.isinf(runs.mean()[1, 0])
    assert runs.mean(1).tolist() == [[1.0], [1.0]]
    assert runs.final()[0, 0] == 5.0
    with pytest.raises(ValueError, match="ascending"):
        Runs(np.array([0.2, 0.1]), np.array([1, 2]), np.zeros((1, 2, 2)), np.zeros((1, 2)))
