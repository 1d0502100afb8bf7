"""Curves judged beside the others of their task: who is compared, with what, and what is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.analysis.curves import Judgement, Kind, Standing, judge, judge_together, stands
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.company import NAMES, PARTS, company, measures
from convergence.analysis.curves.numbers import UNMEASURED

STEPS = np.arange(1.0, 401)
X = STEPS / STEPS[-1]


def fall(low: float, rate: float = 20.0, seed: int = 0, noise: float = 0.01) -> np.ndarray:
    """From 1 to a level, with noise."""
    rng = np.random.default_rng(seed)
    return low + (1 - low) * np.exp(-rate * X) + noise * rng.standard_normal(len(X))


def standing(values: np.ndarray, steps: np.ndarray = STEPS, kind: Kind = "loss") -> Standing:
    found = stands(steps, values, kind=kind)
    assert found is not None
    return found


def alone(values: np.ndarray, kind: Kind = "loss", steps: np.ndarray = STEPS) -> Judgement:
    return judge(steps, values, kind=kind, rng=np.random.default_rng(0))


def test_who_starts_elsewhere_or_is_of_another_length_is_no_company() -> None:
    own = standing(fall(0.3))
    assert len(company(own, [standing(fall(0.2))]).whole) == 1
    assert not company(own, [standing(3 * fall(0.2))]).whole
    assert not company(own, [standing(fall(0.2)[:200], STEPS[:200])]).whole
    resumed = standing(fall(0.2)[360:] + 0.8, STEPS[360:])
    assert not company(own, [resumed]).whole


def test_who_broke_is_counted_and_no_measure() -> None:
    own, ends = standing(fall(0.3)), fall(0.2)
    ends[100:] = np.nan
    for values in (1 + 5 * X, ends):
        among = company(own, [standing(values), standing(fall(0.25))])
        assert (len(among.whole), among.broken) == (1, 1)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_among_curves_of_noise_alone_none_learns(count: int, noise: float) -> None:
    rng = np.random.default_rng(count)
    for _ in range(4):
        curves = [(STEPS, 2.3 + noise * rng.standard_normal(len(X))) for _ in range(count)]
        assert not company(*divided([standing(one) for _, one in curves])).whole
        assert {one.verdict for one in judge_together(curves)} == {says.NOT_LEARNING}


def divided(standings: list[Standing]) -> tuple[Standing, list[Standing]]:
    return standings[0], standings[1:]


def test_a_loss_that_doubles_has_diverged_whoever_stands_beside() -> None:
    curves = [(STEPS, fall(0.1, 30, k)) for k in range(3)]
    doubled = 1 + X + 0.01 * np.random.default_rng(9).standard_normal(len(X))
    told = judge_together([*curves, (STEPS, doubled)])[3]
    assert told.verdict == says.DIVERGED
    assert told.chances[says.NOT_LEARNING] == 0


def test_starts_that_differ_by_their_noise_are_alike() -> None:
    quiet, loud = fall(0.1, noise=0.001), fall(0.1, noise=0.2, seed=3)
    loud[:3] += 0.4
    assert len(company(standing(loud), [standing(quiet)]).whole) == 1


@pytest.mark.parametrize(
    "others", [[], [3 * fall(0.2)], [fall(0.2)[:200]], [np.full(len(X), np.nan)]]
)
def test_without_company_a_curve_is_judged_as_alone(others: list[np.ndarray]) -> None:
    curves = [(STEPS, fall(0.4)), *((STEPS[: len(one)], one) for one in others)]
    assert repr(judge_together(curves)[0]) == repr(alone(fall(0.4)))


def test_the_order_in_which_curves_are_given_changes_nothing() -> None:
    curves = [(STEPS, fall(low, rate, k)) for k, (low, rate) in enumerate(LIKE)]
    curves += [(STEPS, np.round(fall(0.1, rate, noise=0.05), 1)) for rate in (10, 20, 40)]  # ties
    told = judge_together(curves)
    turned = judge_together(curves[::-1])[::-1]
    assert [repr(one) for one in told] == [repr(one) for one in turned]


LIKE = ((0.1, 30), (0.12, 25), (0.11, 28), (0.45, 40), (0.3, 3), (0.999, 1), (0.1, 35))


def test_one_at_rest_above_the_others_is_stuck_and_the_others_are_not() -> None:
    curves = [(STEPS, fall(low, rate, k)) for k, (low, rate) in enumerate(LIKE)]
    told = judge_together(curves)
    assert told[3].verdict == says.STUCK
    assert "where another that starts alike reached 0.0" in told[3].sentence
    assert told[0].verdict == says.CONVERGED
    assert "as good as any of the 6 others that start alike" in told[0].sentence
    assert told[5].verdict == says.NOT_LEARNING


def test_scores_are_compared_upwards() -> None:
    curves = [(STEPS, 1 - fall(low, rate, k)) for k, (low, rate) in enumerate(LIKE)]
    told = judge_together(curves, kind="score")
    assert told[3].verdict == says.STUCK
    assert "at 0.5" in told[3].sentence
    assert "reached 0.9" in told[3].sentence
    assert told[0].verdict == says.CONVERGED


def test_of_a_slower_copy_the_best_was_sooner_by_as_much_everywhere() -> None:
    slow, fast = fall(0.0, 3.0, noise=0.0), fall(0.0, 12.0, noise=0.0)
    told = measures(standing(slow), company(standing(slow), [standing(fast)]))
    sooner = [told[f"others, sooner by {part:g}"] for part in (*PARTS, 1)]
    assert sooner == pytest.approx([np.log10(4.0)] * len(sooner), abs=0.1)
    assert told["others, ahead"] == pytest.approx(np.exp(-3) - np.exp(-30), abs=0.02)


def test_what_was_reached_and_by_when() -> None:
    one = standing(1 - 0.5 * X)
    assert one.reached(0.75) == pytest.approx(200, rel=0.15)
    assert one.reached(0.4) == np.inf
    assert one.by(200.0) == pytest.approx(0.75, abs=0.05)
    assert one.by(1e9) == pytest.approx(0.5, abs=0.05)
    assert one.course == pytest.approx([1 - 0.5 * (part - 0.05) for part in PARTS], abs=0.01)


def test_who_is_beaten_only_by_noise_is_not_beaten() -> None:
    own, better = standing(fall(0.3)), standing(fall(0.2, seed=1))
    assert company(own, [better]).better(own) is better
    assert company(better, [own]).better(better) is None
    unsure = dataclasses.replace(better, end=0.19, error=0.1)
    assert company(own, [unsure]).better(own) is None
    assert company(own, [unsure, better]).better(own) is better  # though another ends lower


LEVELS = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(-50, 50), st.floats(0, 2)), min_size=2, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(LEVELS)
def test_measures_are_finite_and_in_no_unit(drawn: list[tuple[float, float, float]]) -> None:
    curves = [fall(low, rate, k, noise) for k, (low, rate, noise) in enumerate(drawn)]
    for scale in (1.0, 1e-9, 1e12):
        own, *others = [standing(scale * np.nan_to_num(one, posinf=1e9)) for one in curves]
        among = company(own, others)
        told = measures(own, among) if among.whole else {}
        assert not told or tuple(told) == NAMES
        assert np.isfinite(list(told.values())).all()
        if scale == 1.0:
            first = told
        assert told == pytest.approx(first, abs=1e-5)


def test_without_company_nothing_is_measured() -> None:
    own = standing(fall(0.3))
    with pytest.raises(ValueError, match="no other curve"):
        measures(own, company(own, []))


def test_twins_are_those_that_begin_at_the_same_value() -> None:
    own, twin, other = fall(0.3), fall(0.25, seed=1), fall(0.1, seed=2)
    twin[0] = own[0]
    among = company(standing(own), [standing(twin), standing(other)])
    one, near, far = (standing(values) for values in (own, twin, other))
    told = measures(one, among)
    assert told["others"] == pytest.approx(np.log10(2))
    assert told["twins"] == 0  # one
    assert told["twins, beyond of own"] == pytest.approx((one.end - near.end) / one.fall)
    assert told["others, beyond of own"] == pytest.approx((one.end - far.end) / one.fall)
    none = measures(standing(own), company(standing(own), [standing(other)]))
    assert none["twins"] == none["twins, beyond"] == UNMEASURED
