"""The verdict on one curve: what it must say of plain cases; and nothing makes it fall over."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from helpers.curve_shapes import shape
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convergence.analysis.curves import VERDICTS, Judgement, extrapolate, judge, saying, stands
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.features import abruptness, levels
from convergence.analysis.curves.judging import measured
from convergence.analysis.curves.series import in_order, prepare
from convergence.analysis.curves.weighing import ALONE, trees, weigh

STEPS = np.arange(1, 601)
X = STEPS / STEPS[-1]


def noisy(clean: np.ndarray, size: float = 0.01, seed: int = 0) -> np.ndarray:
    return clean + size * np.random.default_rng(seed).standard_normal(len(clean))


def said(values: np.ndarray, steps: np.ndarray = STEPS, **how: Any) -> Judgement:
    return judge(steps, values, rng=np.random.default_rng(1), **how)


FALL = np.exp(-20 * X)
PLAIN = {
    says.CONVERGED: 0.3 + FALL,
    says.IMPROVING: (STEPS / 5.0) ** -0.25,
    says.STUCK: 3 + np.exp(-60 * X),
    says.OSCILLATING: 0.5 + FALL + 0.2 * np.sin(60 * X),
    says.DIVERGED: FALL + np.expm1(8 * (X - 0.7).clip(0)),
    says.NOT_LEARNING: np.ones(len(STEPS)),
}


@pytest.mark.parametrize("truth", PLAIN)
def test_plain_shapes_are_told_apart(truth: str) -> None:
    assert said(noisy(PLAIN[truth])).verdict == truth


def test_a_rise_is_over_training_only_where_the_curve_is_held_out() -> None:
    rising = noisy(0.3 + FALL + 0.4 * (X - 0.3).clip(0))
    told = said(rising, kind="held-out")
    assert told.verdict == says.OVERTRAINED
    assert told.best_step is not None
    assert 100 < told.best_step < 320
    assert said(rising).verdict != says.OVERTRAINED


def said_score(truth: str) -> Judgement:
    clean = {
        says.DIVERGED: np.where(X > 0.7, 1.2, FALL),  # collapses
        says.STUCK: np.exp(-6 * np.minimum(X, 0.1)),  # is broken off
    }.get(truth, PLAIN[truth])
    return said(1 - noisy(clean, 0.004) / 5, kind="score")


@pytest.mark.parametrize("truth", PLAIN)
def test_of_a_score_levels_are_its_own_and_no_fall_is_praised(truth: str) -> None:
    told = said_score(truth)
    assert told.verdict == truth
    assert "near -" not in told.sentence
    assert "for -" not in told.sentence
    assert "at -" not in told.sentence
    assert "has fallen" not in told.sentence
    if truth == says.CONVERGED:
        assert told.sentence.startswith(f"Settled near {told.last:.3g}")
    if truth == says.DIVERGED:
        assert told.sentence.startswith("It falls from ")


def test_a_loss_that_only_rises_was_never_over_trained() -> None:
    told = said(noisy(1 + 0.5 * X), kind="held-out")
    assert told.verdict != says.OVERTRAINED
    assert told.chances[says.OVERTRAINED] == 0


def test_what_never_swings_does_not_oscillate() -> None:
    for points in (5, 6, 8, 10, 14):
        steps = np.arange(points)
        told = said(0.5 + (1 + 30 * steps / points) ** -0.5, steps)
        assert told.verdict != says.OSCILLATING


def test_of_an_oscillation_amplitude_and_period_are_told() -> None:
    told = said(noisy(PLAIN[says.OSCILLATING]))
    assert told.amplitude == pytest.approx(0.2, rel=0.2)
    assert told.period == pytest.approx(600 * 2 * np.pi / 60, rel=0.1)
    assert "every 6" in told.sentence
    assert math.isnan(said(noisy(PLAIN[says.CONVERGED])).period)


def test_a_score_is_judged_as_its_mirror_image_and_told_in_its_own_direction() -> None:
    accuracy = noisy(0.9 - 0.8 * FALL)
    told = said(accuracy, kind="score")
    assert told.verdict == says.CONVERGED
    assert told.limit.low <= told.limit.estimate <= told.limit.high
    assert told.limit.estimate == pytest.approx(0.9, abs=0.02)
    assert told.last == pytest.approx(0.9, abs=0.02)


def test_non_finite_values_at_the_end_are_divergence_and_in_between_a_gap() -> None:
    values = noisy(PLAIN[says.CONVERGED])
    ends, between = values.copy(), values.copy()
    ends[400:], between[200:210] = np.nan, np.inf
    told = said(ends)
    assert (told.verdict, told.diverged_at) == (says.DIVERGED, STEPS[400])
    told = said(between)
    assert told.verdict == says.CONVERGED
    assert any("10 of 600 values not finite" in line for line in told.warnings)


def test_spikes_are_left_out_and_said() -> None:
    values = noisy(PLAIN[says.CONVERGED])
    values[[100, 300, 500]] += 5
    told = said(values)
    assert told.verdict == says.CONVERGED
    assert "3 spikes left out of fits" in told.warnings


def test_after_a_restart_the_later_run_counts() -> None:
    steps, values = np.array([0, 1, 2, 3, 4, 5]), np.array([9.0, 8, 7, 6, 5, 4])
    again_steps, again = np.array([2, 3, 4, 5, 6]), np.array([70.0, 60, 50, 40, 30])
    at, kept, told = in_order(np.append(steps, again_steps), np.append(values, again))
    assert at.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert kept.tolist() == [9, 8, 70, 60, 50, 40, 30]
    assert told == ("started again at step 2: what came later counts",)


def test_several_curves_in_one_are_averaged_and_said() -> None:
    at, kept, told = in_order(np.repeat(np.arange(10.0), 2), np.tile([1.0, 3.0], 10))
    assert kept.tolist() == [2.0] * 10
    assert "several curves in one?" in told[0]
    assert at.tolist() == list(range(10))


def test_a_descent_broken_off_ends_more_suddenly_than_any_law() -> None:
    at = np.geomspace(1, 1000, 200)
    exponential, power = np.exp(-at / 60), at**-0.7
    broken = np.maximum(np.exp(-at / 60), 0.1) - 0.1
    assert abruptness(at, exponential, 0.0)[0] == pytest.approx(1, abs=0.1)
    assert abruptness(at, power / power[0], 0.0)[0] > 1.5
    assert abruptness(at, broken / broken[0], 0.0)[0] < 0.7


@pytest.mark.parametrize("truth", PLAIN)
def test_what_is_weighed_is_finite_and_has_trees_and_the_chances_add_up(truth: str) -> None:
    found, _ = measured(STEPS, noisy(PLAIN[truth]), kind="loss", rng=np.random.default_rng(0))
    assert tuple(found) == trees(ALONE).measures
    assert np.isfinite(list(found.values())).all()
    chances = weigh(found)
    assert set(chances) == set(VERDICTS) - {says.UNKNOWN}
    assert sum(chances.values()) == pytest.approx(1)
    assert max(chances, key=lambda name: chances[name]) == truth


@pytest.mark.parametrize("scale", [1e3, 1e-13, 1e30])
def test_a_scale_changes_no_measure(scale: float) -> None:
    values = noisy(PLAIN[says.CONVERGED])
    (first, _), (second, _) = (
        measured(STEPS, times * values, kind="loss", rng=np.random.default_rng(0))
        for times in (1.0, scale)
    )
    assert first
    assert second == pytest.approx(first, abs=1e-6)


def test_two_verdicts_as_likely_cannot_be_told() -> None:
    chances = dict.fromkeys(VERDICTS[:-1], 0.1) | {says.IMPROVING: 0.25, says.STUCK: 0.25}
    told = saying.unknown(dataclasses.replace(said(noisy(0.3 + FALL)), chances=chances))
    assert told.verdict == says.UNKNOWN
    assert f"{says.IMPROVING} or {says.STUCK} (chances 0.25 and 0.25)" in told.sentence


def test_the_limit_and_the_later_level_are_covered() -> None:
    rng = np.random.default_rng(5)
    hits = []
    for seed in range(40):
        b, low = rng.uniform(0.3, 1.2), rng.uniform(0.1, 1)
        values = noisy(low + (STEPS / 5.0) ** -b, 0.02, seed)
        told = extrapolate(STEPS, values, 2 * STEPS[-1], rng=rng)
        hits.append(told.low <= low + (2 * STEPS[-1] / 5.0) ** -b <= told.high)
    assert np.mean(hits) >= 0.85


def test_autocorrelated_noise_widens_the_interval_of_the_limit() -> None:
    rng = np.random.default_rng(2)
    widths: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(12):
        white = 0.02 * rng.standard_normal(len(STEPS))
        slow = white.copy()
        for k in range(1, len(slow)):
            slow[k] = 0.9 * slow[k - 1] + math.sqrt(1 - 0.81) * white[k]
        assert prepare(STEPS, slow).correlation > 0.6 > 0.25 > prepare(STEPS, white).correlation
        for correlated, noise in ((False, white), (True, slow)):
            told = extrapolate(STEPS, 0.3 + FALL + noise, 1200, rng=np.random.default_rng(0))
            widths[correlated].append(told.high - told.low)
    assert np.median(widths[True]) > 1.5 * np.median(widths[False])


ODD = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@example(np.zeros(0), np.zeros(0))
@example(np.ones(1), np.ones(1))
@example(np.arange(9.0), np.full(9, np.nan))
@example(np.arange(30.0), np.full(30, 1e300))
@example(np.zeros(30), np.arange(30.0))
@example(np.arange(30.0), np.where(np.arange(30) % 7, 0.0, 1e99))
@given(
    st.one_of(arrays(np.float64, 40, elements=ODD), st.just(np.arange(40.0))),
    arrays(np.float64, 40, elements=ODD),
)
def test_whatever_the_numbers_there_is_a_verdict_that_json_can_hold(
    steps: np.ndarray, values: np.ndarray
) -> None:
    for kind in ("loss", "held-out", "score"):
        told = judge(steps, values, kind=kind, rng=np.random.default_rng(0))  # type: ignore[arg-type]
        assert told.verdict in VERDICTS
        assert told.sentence
        json.dumps(told.to_json(), allow_nan=False)


def test_a_negated_zero_is_told_as_zero() -> None:
    told = said(np.zeros(len(STEPS)), kind="score")
    assert told.sentence.startswith("Every value is 0:")


def test_what_another_run_lost_since_its_best_is_told_of_a_stuck_one() -> None:
    values = noisy(0.3 + FALL + 0.2 * (X - 0.3).clip(0))
    level, base = levels(prepare(STEPS, values)), said(values)
    told, _ = measured(STEPS, values, kind="loss", rng=np.random.default_rng(0))
    lower = stands(STEPS, noisy(0.1 + FALL), kind="loss")
    for better in (None, lower):
        stuck = saying.stuck(prepare(STEPS, values), level, told, 0.0, better, base, 1.0)
        assert "has lost 0.1" in stuck.sentence


def test_too_short_a_curve_cannot_be_told() -> None:
    told = said(np.array([1.0, 0.5]), np.array([0, 1]))
    assert (told.verdict, told.points) == (says.UNKNOWN, 2)


def test_made_cases_are_mostly_told_right() -> None:
    """Few cases of each class, other draws than those set on or reported; far above chance."""
    rng = np.random.default_rng(1234)
    right = []
    for truth in VERDICTS[:-1]:
        for _ in range(12):
            case = shape(truth, rng)
            right.append(judge(case.steps, case.values, kind=case.kind, rng=rng).verdict == truth)
    assert np.mean(right) > 0.8
