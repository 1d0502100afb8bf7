"""How far a metric moved: intervals that cover, and decisions that err no more than they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convergence.analysis.power import CAP
from convergence.analysis.shift import decide, resampled, shift

RNG = np.random.default_rng


def drawn(
    rng: np.random.Generator, n: int, alike: float, moved: float, skewed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Seeds before and after: spread 1, a correlation, and a true shift in spreads."""
    kinds = (lambda: (rng.gamma(4, 1, n) - 4) / 2) if skewed else (lambda: rng.normal(size=n))
    before, other = kinds(), kinds()
    return before, alike * before + math.sqrt(1 - alike**2) * other + moved


@pytest.mark.parametrize(("alike", "skewed"), [(0.0, False), (0.9, False), (0.999, True)])
def test_spread_intervals_cover(alike: float, skewed: bool) -> None:
    """Protects the figure that is shown: a 95 % interval in spreads covers 92 % and more, and too
    often on neither side alone (the margin's side decides equivalence)."""
    rng = RNG(7)
    for moved in (0.0, 1.0):
        found = [shift(*drawn(rng, 12, alike, moved, skewed), True).spreads for _ in range(600)]
        low = np.mean([one.low > moved for one in found])
        high = np.mean([one.high < moved for one in found])
        assert low + high <= 0.08
        assert high <= 0.045


@pytest.mark.parametrize("paired", [True, False])
def test_decisions_err_no_more_than_they_say(paired: bool) -> None:
    """Protects the verdicts: equal populations are called different in about 5 % of cases, those
    one spread apart equivalent in about 2.5 %; far apart and close ones are told."""
    rng = RNG(8)

    def share(word: str, moved: float, n: int) -> float:
        alike = 0.9 if paired else 0.0
        told = [decide(shift(*drawn(rng, n, alike, moved), paired))[0] for _ in range(500)]
        return told.count(word) / 500

    assert share("different", 0.0, 10) <= 0.085
    assert share("equivalent", 1.0, 10) <= 0.05
    assert share("equivalent", 0.0, 32) >= 0.8
    assert share("different", 2.0, 24) >= 0.95


def test_numbers_are_those_of_the_textbook() -> None:
    """Protects the interval in the metric's unit: SciPy's paired t and Welch's t."""
    a, b = RNG(1).normal(size=(2, 9))
    paired = shift(a, b, True).difference
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx((expected.low, expected.high))
    b = RNG(2).normal(1, 3, 14)
    welch = shift(a, b, False).difference
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert (welch.low, welch.high) == pytest.approx((expected.low, expected.high))


@given(st.integers(3, 12), st.floats(1e-3, 1e3), st.floats(-5, 5), st.booleans())
def test_unit_and_origin_do_not_matter(n: int, scale: float, origin: float, paired: bool) -> None:
    """Protects the measure: spreads have no unit, and the metric's zero is arbitrary."""
    a, b = RNG(n).normal(size=(2, n))
    plain, moved = (
        shift(x, y, paired) for x, y in ((a, b), (scale * (a + origin), scale * (b + origin)))
    )
    np.testing.assert_allclose(
        (moved.spreads.low, moved.spreads.high), (plain.spreads.low, plain.spreads.high), rtol=1e-5
    )
    assert moved.difference.low == pytest.approx(scale * plain.difference.low, rel=1e-6)
    assert moved.ratio.estimate == pytest.approx(plain.ratio.estimate)


def test_a_margin_in_the_metrics_unit() -> None:
    """Protects --margin: it is not measured in spreads."""
    a = RNG(3).normal(0, 10, 20)
    told = shift(a, a + 1 + 0.1 * RNG(4).normal(size=20), True)
    assert decide(told)[0] == "equivalent"
    assert decide(told)[1] == "within the margin, though not 0"
    assert decide(told, 0.5)[0] == "different"
    assert decide(told, 2.0)[0] == "equivalent"


def test_divergences_decide_and_contradict() -> None:
    """Protects from an average over survivors: who diverges more is different, however well the
    others agree; one divergence forbids to call it equivalent."""
    a = RNG(5).normal(size=20)
    b = a + 1e-3 * RNG(6).normal(size=20)
    for paired in (True, False):
        assert decide(shift(a, b, True))[0] == "equivalent"
        worse = np.where(np.arange(20) < 12, np.nan, b)
        word, why = decide(shift(a, worse, paired))
        assert word == "different"
        assert "12 seeds diverged after" in why
        word, why = decide(shift(worse, a, paired))
        assert word == "different"
    one = np.where(np.arange(20) < 1, np.nan, b)
    word, why = decide(shift(a, one, True))
    assert (word, "1 seeds diverged after alone" in why) == ("undecided", True)
    nobody = np.full(20, np.nan)
    assert decide(shift(nobody, nobody, True))[0] == "undecided"


def test_little_to_go_by() -> None:
    """Protects from certainty out of nothing: one seed, two, no spread, equal numbers."""
    assert decide(shift([1.0], [1.0], True))[0] == "undecided"
    assert decide(shift([1.0, 2.0], [1.5, 2.5], True))[0] == "undecided"
    flat = shift(np.ones(8), np.ones(8), True)
    assert math.isnan(flat.spreads.estimate)
    assert decide(flat)[0] == "undecided"
    assert decide(flat, 0.1)[0] == "equivalent"
    assert shift(np.ones(8), 2 * np.ones(8), True).difference.low == 1
    a = RNG(9).normal(size=8)
    assert decide(shift(a, a, True))[0] == "equivalent"
    assert decide(shift(a[:5], a[:5], True))[0] == "undecided"  # 5 equal differences prove little


def test_seeds_for_a_margin() -> None:
    """Protects the advice: a smaller margin takes more seeds, as the square of its inverse; and
    with so many, equivalence is shown about as often as promised."""
    rng = RNG(10)
    told = shift(*drawn(rng, 64, 0.5, 0.0), True)
    counts = [told.seeds_for(margin * told.spread) for margin in (1.0, 0.5, 0.25)]
    assert counts[0] < counts[1] < counts[2]
    assert counts[2] / counts[1] == pytest.approx(4, rel=0.2)
    assert told.seeds_for(1e-9) == CAP + 1
    assert told.seeds_for(0.0) == 0
    n = counts[1]
    shown = [
        decide(shift(*drawn(rng, n, 0.5, 0.0), True), 0.5 * told.spread)[0] for _ in range(300)
    ]
    assert 0.68 <= shown.count("equivalent") / 300 <= 0.92


def test_resampled_is_the_jackknife() -> None:
    """Protects the two-sample jackknife: for means it is Welch's standard error, exactly."""
    a, b = RNG(11).normal(size=7), RNG(12).normal(0, 2, 12)
    found = resampled(lambda x, y: float(y.mean() - x.mean()), a, b, False)
    welch = shift(a, b, False).difference
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    same = resampled(lambda x, y: float((y - x).mean()), a, a + b[:7], True)
    assert same.high - same.low == pytest.approx(
        2 * stats.t.ppf(0.975, 6) * b[:7].std(ddof=1) / math.sqrt(7)
    )
