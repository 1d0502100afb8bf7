"""What diverged, what finished, and what can be said of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.claims import SPREAD, claim, decide
from scipy import stats

from convergence.analysis.claim import Kind
from convergence.analysis.evidence import weigh
from convergence.analysis.statistics import paired_t
from convergence.analysis.two_way import two_way
from convergence.analysis.verdict import Verdict, decide_family

NAN = math.nan


def test_p_values_are_of_what_must_be_rejected() -> None:
    """Protects the hypotheses that Holm orders, for each kind of claim."""
    sample = 0.9 + SPREAD

    def p(value: float, side: str) -> float:
        return float(stats.ttest_1samp(sample, value, alternative=side).pvalue)

    expected: dict[Kind, tuple[float, float]] = {
        "superiority": (p(0, "greater"), p(1, "less")),
        "non-inferiority": (p(-1, "greater"), p(-1, "less")),
        "equivalence": (p(1, "less"), 1.0),
    }
    for kind, (holds, fails) in expected.items():
        evidence = weigh(claim(kind), sample, np.zeros(10), 0.025)
        assert evidence.p_holds() == pytest.approx(holds)
        assert evidence.p_fails() == pytest.approx(fails)
    apart = weigh(claim("equivalence"), sample + 1, np.zeros(10), 0.025)
    assert apart.p_fails() == pytest.approx(2 * p(0, "greater"))
    halved = weigh(claim(), [*sample, *[0.0] * 7], [*np.zeros(10), *[NAN] * 7], 0.025)
    assert halved.p_holds() == pytest.approx(2 * min(p(0, "greater"), 0.5**7))
    assert halved.p_fails() == pytest.approx(2 * p(1, "less"))
    sides = weigh(claim("equivalence"), [*SPREAD, *[0.0] * 9], [*np.zeros(10), *[NAN] * 9], 0.025)
    assert sides.p_fails() == pytest.approx(2 * 2 * 0.5**9)


def test_diverged_trials_enter_no_mean() -> None:
    """Protects effects from NaN and from infinite losses; pairs are dropped whole."""
    treatment = np.array([*(2 + SPREAD), 7.0, NAN])
    control = np.array([*np.zeros(10), math.inf, NAN])
    (verdict,) = decide_family([claim()], [treatment], [control])
    assert verdict.effect == pytest.approx(2)
    assert (verdict.n, verdict.seeds) == (10, 12)
    assert (verdict.diverged_treatment, verdict.diverged_control) == (1, 2)
    assert verdict.decision == "holds"
    assert "diverged in 1, the control in 2" in verdict.warnings[0]


def _discordant(treatment: int, control: int, effect: float, kind: Kind) -> Verdict:
    """Ten pairs that finish with this effect, and others of which one arm diverges."""
    finished = np.zeros(treatment + control)
    first = np.array([*(effect + SPREAD), *finished])
    second = np.zeros_like(first)
    first[10 : 10 + treatment] = NAN
    second[10 + treatment :] = NAN
    (verdict,) = decide_family([claim(kind)], [first], [second])
    return verdict


def test_many_divergences_decide_first() -> None:
    """Protects from praising the survivors: an arm that diverges fails, whatever its mean."""
    verdict = _discordant(9, 0, 5.0, "superiority")
    assert (verdict.decision, verdict.reason) == ("fails", "diverges")
    assert any("the pairs that finished say: holds" in w for w in verdict.warnings)
    verdict = _discordant(0, 9, 0.0, "superiority")
    assert (verdict.decision, verdict.reason) == ("holds", "control diverges")
    verdict = _discordant(0, 9, 0.0, "equivalence")
    assert (verdict.decision, verdict.reason) == ("fails", "control diverges")
    assert _discordant(9, 0, 0.0, "non-inferiority").reason == "diverges"


@pytest.mark.parametrize(
    ("treatment", "control", "effect", "kind"),
    [
        (1, 0, 5.0, "superiority"),
        (0, 2, -2.0, "superiority"),
        (5, 0, 5.0, "non-inferiority"),
        (0, 1, 0.0, "equivalence"),
        (1, 0, 0.0, "equivalence"),
    ],
)
def test_few_divergences_can_only_cast_doubt(
    treatment: int, control: int, effect: float, kind: Kind
) -> None:
    """Protects from a decision that divergences contradict, though too few to decide."""
    verdict = _discordant(treatment, control, effect, kind)
    assert verdict.decision == "undecided"
    assert "diverges more often" in verdict.reason


def test_divergences_on_the_other_side_cast_none() -> None:
    """Protects decisions from divergences that point the same way, or both ways."""
    assert _discordant(0, 2, 5.0, "superiority").decision == "holds"
    assert _discordant(2, 0, -2.0, "superiority").decision == "fails"
    assert _discordant(2, 2, 0.0, "equivalence").decision == "holds"


def test_two_routes_share_the_level() -> None:
    """Protects the error rate: only where divergences could decide is the interval widened."""
    assert _discordant(2, 3, 5.0, "superiority").alpha_low == 0.025
    assert _discordant(3, 3, 5.0, "superiority").alpha_low == 0.025  # .5**6 > .0125
    assert _discordant(3, 4, 5.0, "superiority").alpha_low == 0.0125
    apart = _discordant(4, 4, 5.0, "equivalence")
    assert (apart.decision, apart.reason) == ("fails", "different")
    assert apart.alpha_low == apart.alpha_high == 0.025 / 4
    nine = _discordant(9, 1, 5.0, "superiority")  # one-sided p .0107 < .0125
    eight = _discordant(8, 1, 5.0, "superiority")  # .0195: not enough at half the level
    assert nine.decision == "fails"
    assert eight.decision == "undecided"


def test_where_nothing_finished_nothing_is_claimed() -> None:
    """Protects from verdicts without data."""
    nothing = np.full(8, NAN)
    (verdict,) = decide_family([claim()], [nothing], [nothing])
    assert (verdict.decision, verdict.reason) == ("not applicable", "every trial diverged")
    assert math.isnan(verdict.effect)
    (empty,) = decide_family([claim()], [[]], [[]])
    assert empty.decision == "not applicable"
    (half,) = decide_family([claim()], [np.full(4, NAN)], [np.zeros(4)])
    assert (half.decision, half.n) == ("undecided", 0)
    assert half.reason == "no pair of trials finished in both arms"


def test_one_seed_cannot_tell() -> None:
    """Protects from one lucky curve."""
    verdict = decide([100.0])
    assert (verdict.decision, verdict.reason) == ("undecided", "one seed cannot tell")
    assert (verdict.low, verdict.high) == (-math.inf, math.inf)
    assert verdict.seeds_needed.fewest is None
    survivor = decide([100.0, NAN])
    assert survivor.reason == "only one pair of trials finished in both arms"


def test_arms_with_the_same_bits_are_negligibly_different() -> None:
    """Protects the answer for a setting without any effect: certain from 6 seeds, not from 2."""
    metric = np.random.default_rng(0).standard_normal(6)
    (same,) = decide_family([claim()], [metric], [metric])
    assert (same.decision, same.reason) == ("fails", "negligible")
    assert (same.low, same.high) == (0, 0)
    assert "same" in same.warnings[0]
    (two,) = decide_family([claim()], [metric[:2]], [metric[:2]])
    assert two.decision == "undecided"
    assert two.seeds_needed.fewest == 6


def test_float32_rounding_is_not_spread() -> None:
    """Protects from certainty out of rounding: float32 metrics that differ by one tenth each."""
    metric = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    shifted = metric + np.float32(0.1)
    assert len(set(shifted.astype(float) - metric.astype(float))) > 1
    (verdict,) = decide_family([claim(margin=0.05)], [shifted], [metric])
    assert verdict.low == verdict.high
    (few,) = decide_family([claim(margin=0.05)], [shifted[::2]], [metric[::2]])
    assert few.decision == "undecided"


def _rows(seeds: int = 8, rows: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    shape = (seeds, rows)
    leaning = rng.standard_normal(rows)
    return rng.standard_normal(shape) + leaning + 0.4, rng.standard_normal(shape)


def test_rows_make_it_two_way() -> None:
    """Protects advice about a user's data, and that the verdict says what it speaks of."""
    treatment, control = _rows()
    (both,) = decide_family([claim()], [treatment], [control])
    interval = two_way(treatment - control)
    assert (both.low, both.high) == pytest.approx((interval.low, interval.high))
    assert (both.speaks_of, both.method) == ("seeds and rows", "two-way t")
    (alone,) = decide_family([claim()], [treatment], [control], speaks_of="seeds")
    narrow = paired_t((treatment - control).mean(1))
    assert (alone.low, alone.high) == pytest.approx((narrow.low, narrow.high))
    assert alone.speaks_of == "seeds"
    assert both.high - both.low > 1.5 * (alone.high - alone.low)


def test_a_seed_that_diverged_on_one_row_is_out() -> None:
    """Protects the balance of the table: a diverged trial leaves with all its rows."""
    treatment, control = _rows()
    treatment[3, 5] = NAN
    (verdict,) = decide_family([claim()], [treatment], [control])
    kept = np.arange(8) != 3
    assert verdict.effect == pytest.approx((treatment - control)[kept].mean())
    assert (verdict.n, verdict.diverged_treatment) == (7, 1)


def test_more_seeds_are_not_asked_for_where_rows_are_short() -> None:
    """Protects users from training in vain: rows limit what any number of seeds can show."""
    treatment, control = _rows()
    effect = (treatment - control).mean()
    (verdict,) = decide_family([claim(margin=5.0)], [treatment - effect + 0.01], [control])
    assert verdict.decision == "fails"
    (verdict,) = decide_family([claim(margin=0.02)], [treatment - effect + 0.01], [control])
    assert verdict.decision == "undecided"
    assert str(verdict.seeds_needed) == "more than 10,000"
    assert any("more rows" in warning for warning in verdict.warnings)


@pytest.mark.parametrize("shapes", [((8,), (7,)), ((8, 3), (8,)), ((8, 3, 2), (8, 3, 2)), ((), ())])
def test_arms_are_paired(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Protects common random numbers: arms have the same seeds and rows."""
    with pytest.raises(ValueError, match="3b"):
        decide_family([claim()], [np.zeros(shapes[0])], [np.zeros(shapes[1])])


def test_rows_cannot_be_spoken_of_unseen() -> None:
    """Protects the words beside an interval."""
    with pytest.raises(ValueError, match="rows"):
        decide_family([claim()], [SPREAD], [SPREAD], speaks_of="seeds and rows")
    with pytest.raises(ValueError, match="no rows"):
        decide_family([claim()], [np.zeros((8, 0))], [np.zeros((8, 0))])
    (verdict,) = decide_family([claim()], [SPREAD[:, None] + 9], [SPREAD[:, None] * 0])
    assert (verdict.decision, verdict.reason) == ("undecided", "one test row cannot tell")
