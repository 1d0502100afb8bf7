"""The rules of others: the literal one, and those of published packages, on losses made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import finder_made as made

from convergence.analysis.lr_finder import literal, published
from convergence.analysis.lr_finder.regret import left_out, lost

STEPS = np.arange(100)


def valley() -> np.ndarray:
    """A loss that is flat, falls from step 40 to step 80 and explodes from step 85 on."""
    loss = np.interp(STEPS, [0, 40, 80, 85], [2.0, 2.0, 0.5, 0.5])
    return np.where(STEPS > 85, 0.5 * 3.0 ** (STEPS - 85), loss)


def test_ramps_are_exponential() -> None:
    """Protects the x axis: from the first rate, by equal factors, the last one step short."""
    ramp = published.rates(1e-7, 10.0)
    assert ramp[0] == 1e-7
    assert ramp[1:] / ramp[:-1] == pytest.approx(10**0.08)
    assert ramp[-1] * 10**0.08 == pytest.approx(10.0)


def test_smoothing_is_theirs() -> None:
    """Protects both averages: a constant stays, the first step has its own weight in each."""
    assert published.debiased(np.full(5, 3.0)) == pytest.approx(3.0)
    assert published.moving(np.full(5, 3.0)) == pytest.approx(3.0)
    two = np.array([1.0, 2.0])
    assert published.debiased(two)[1] == pytest.approx((0.98 * 0.02 * 1 + 0.02 * 2) / (1 - 0.98**2))
    assert published.moving(two)[1] == pytest.approx(0.05 * 2 + 0.95 * 1)


def test_stopping_is_theirs() -> None:
    """Protects the cut: at the first loss above a multiple of the best; NaN never stops a run."""
    assert published.stopped(np.array([2.0, 1.0, 3.9, 4.1, 1.0]), 4.0) == 4
    assert published.stopped(np.array([2.0, 1.0, np.nan, np.nan]), 4.0) == 4


@pytest.mark.parametrize("rule", published.RULES)
def test_rules_read_a_valley(rule: str) -> None:
    """Protects every published rule: on a clean valley each suggests a rate inside its ramp, and
    the ones by slope suggest one where the loss falls."""
    low, high = published.RAMPS[published.RULES[rule][0]]
    rate = published.suggestion(rule, valley())
    assert low < rate < high
    step = np.log(rate / low) / np.log(high / low) * 100
    if rule in ("fastai steep", "pytorch-lr-finder steepest"):
        assert 40 < step <= 86
    if rule == "fastai minimum/10":
        ramp = published.rates(low, high)
        smooth = published.debiased(valley())
        end = published.stopped(smooth, 4.0)
        assert rate == pytest.approx(ramp[10 : end - 5][smooth[10 : end - 5].argmin()] / 10)


def test_lightning_prefers_the_lowest_rates() -> None:
    """Protects the reproduction of its known fault: by the raw rate, early noise is steep."""
    rng = np.random.default_rng(0)
    rate = published.suggestion("Lightning ≥ 2.5.3", valley() + 0.05 * rng.normal(size=100))
    assert rate < 1e-5


@pytest.mark.parametrize("rule", published.RULES)
def test_rules_survive_nonsense(rule: str) -> None:
    """Protects the table: losses that are not finite give NaN or a rate, never an exception."""
    for losses in (
        np.full(100, np.nan),
        np.where(STEPS > 50, np.nan, 1.0),
        -valley(),
        np.ones(100),
    ):
        rate = published.suggestion(rule, losses)
        assert np.isnan(rate) or rate > 0


def test_the_literal_rule_steps_back() -> None:
    """Protects the rule: the first notch that diverges, less one or two; none, if none diverges."""
    runs = made.runs(made.RATES, 100, 3, np.random.default_rng(0))
    for criterion in literal.CRITERIA:
        assert literal.suggestions(runs, 2.0, 1, criterion).tolist() == [2.0] * 3
        assert literal.suggestions(runs, 2.0, 2, criterion).tolist() == [1.0] * 3
    assert literal.suggestions(runs, 4.0, 1, literal.NOT_FINITE).tolist() == [1.0] * 3
    low = runs.taken(np.flatnonzero(runs.rates < 1))
    assert np.isnan(literal.suggestions(low, 2.0, 1, literal.NOT_FINITE)).all()
    high = runs.taken(np.flatnonzero(runs.rates > 1))
    assert np.isnan(literal.suggestions(high, 2.0, 2, literal.NOT_FINITE)).all()
    with pytest.raises(ValueError, match="criterion"):
        literal.suggestions(runs, 2.0, 1, "looks bad")


def test_negative_losses_have_no_multiple() -> None:
    """Protects losses below 0: four times the start means nothing there, and is not asked."""
    runs = made.runs(made.RATES[:8], 50, 2, np.random.default_rng(0), shift=-10.0)
    assert not literal.diverged(runs, literal.FOURFOLD).any()


def test_what_a_suggestion_loses() -> None:
    """Protects the yardstick: 0 at the best rate, 1 at none, at divergence and far too low."""
    rates, losses = np.array([0.01, 0.1, 1.0, 10.0]), np.array([1.8, 1.0, 1.5, np.inf])
    shares = lost(rates, losses, 2.0, np.array([0.1, 1.0, 10.0, 100.0, np.nan, 1e-9, 10**-1.5]))
    assert shares.tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.4])
    assert np.isnan(lost(rates, np.full(4, 2.5), 2.0, np.array([0.1]))).all()


def test_a_suggestion_is_judged_by_other_seeds() -> None:
    """Protects honesty: a seed's own luck at its suggested rate does not count."""
    rates = np.array([0.1, 1.0])
    losses = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    shares = left_out(rates, losses, np.full(3, 2.0), np.array([1.0, 0.1, 0.1]))
    assert shares[0] == pytest.approx(0.5)
