"""A schedule lowered at another step: what is moved, what is shared, what cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence import names, schedules
from convergence.branching import counterfactual as cf
from convergence.errors import UserError

MOVABLE = [name for name in names.SCHEDULES if name != "plateau"]


@given(
    name=st.sampled_from([*MOVABLE, "0:1,40:.3", "7:.1,30:.01", "0:.5"]),
    steps=st.integers(60, 400),
    warmup=st.sampled_from([0, 0, 5, 13]),
)
def test_a_branch_is_the_run_up_to_its_start(name: str, steps: int, warmup: int) -> None:
    """Protects the test's meaning: own steps shared to the bit, another course, the same budget."""
    factors = schedules.shape(name, steps, warmup=warmup)
    own, *others = cf.branches(factors, warmup)
    assert own.kind == "own"
    assert np.array_equal(own.factors, factors)
    assert others
    highest = factors[warmup:].max()
    for one in others:
        assert one.factors.shape == factors.shape
        assert one.factors.dtype == np.float32
        assert np.array_equal(one.factors[: one.start], factors[: one.start])
        assert one.factors[one.start] != factors[one.start]
        assert one.start >= warmup
        assert (one.factors >= 0).all()
        assert (one.factors[warmup:] <= highest).all()
        if one.kind == "later":
            assert one.start >= own.point
            assert (one.factors[own.point : one.point] == factors[own.point - 1]).all()
        else:
            assert one.start >= one.point
            assert one.factors[one.point] < max(factors[one.point], 1e-30)
    kinds = [one.kind for one in others]
    assert kinds == sorted(kinds)  # earlier ones first
    rows = {one.factors.tobytes() for one in (own, *others)}
    assert len(rows) == len(others) + 1


def test_drops_are_moved_with_their_factors() -> None:
    """Protects what "lowered" means: the run's own drops, nothing in between, all the budget."""
    factors = schedules.shape("50:.1,75:.01", 100)
    earlier = cf.lowered_earlier(factors, 20)
    assert np.array_equal(np.unique(earlier), np.float32([0.01, 0.1, 1]))
    assert np.array_equal(np.flatnonzero(np.diff(earlier)) + 1, [20, 60])
    later = cf.lowered_later(factors, 80)
    assert np.array_equal(np.flatnonzero(np.diff(later)) + 1, [80, 90])
    assert np.array_equal(cf.lowered_later(factors, 100), np.ones(100, np.float32))


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("constant", 100),
        ("drop", 50),
        ("wsd", 81),  # the first step of its last fifth is still at the peak
        ("one_cycle", 31),
        ("cosine_restarts", 68),
        ("cosine", 1),
        ("30:.1", 30),
        ("0:.1,20:1,60:.2", 60),
    ],
)
def test_where_the_last_descent_begins(name: str, begins: int) -> None:
    """Protects the run's own point: behind the last step at the highest rate."""
    assert cf.onset(schedules.shape(name, 100)) == begins


def test_a_rate_that_never_comes_down_has_no_later_branch() -> None:
    """Protects the half of the question that can be asked: was it held too long?"""
    own, *others = cf.branches(np.ones(100, np.float32))
    assert own.point == 100
    assert {one.kind for one in others} == {"earlier"}
    assert all(np.allclose(one.factors[one.point :], cf.CUT) for one in others)


def test_a_rate_that_comes_down_at_once_is_cut_along_its_own_shape() -> None:
    """Protects smooth schedules: held before the descent, or cut within it."""
    factors = schedules.shape("cosine", 100)
    assert cf.gradual(factors)
    others = cf.branches(factors)[1:]
    assert {one.kind for one in others} == {"earlier", "later"}
    cut = next(one for one in others if one.kind == "earlier" and one.point == 30)
    assert np.allclose(cut.factors[30:], 0.1 * factors[30:])
    held = next(one for one in others if one.kind == "later" and one.point == 30)
    assert (held.factors[:30] == 1).all()
    assert np.allclose(held.factors[[30, 65, 99]], factors[[1, 50, 98]], atol=0.02)


def test_the_warm_up_is_left_alone() -> None:
    """Protects the rise: no branch begins in it, and the descent is told apart from it."""
    factors = schedules.shape("60:.1", 100, warmup=20)
    own, *others = cf.branches(factors, 20)
    assert own.point == 60
    assert min(one.point for one in others) >= 20
    assert not cf.gradual(factors, 20)


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_points_beside_the_own_one_are_left_out(share: float) -> None:
    """Protects the correction: a branch that is the run itself asks nothing."""
    factors = schedules.shape("500:.1", 1000)
    points = [one.point for one in cf.branches(factors, shares=(0.2, 0.5 - share / 2, 0.5, 1.0))]
    assert points == [500, 200, 1000]


def test_short_runs_and_no_rate_are_refused() -> None:
    """Protects the user: told in a sentence, with the flag."""
    with pytest.raises(UserError, match="too few to branch from") as told:
        cf.branches(np.ones(cf.FEWEST_STEPS + 4, np.float32), warmup=5)
    assert told.value.field == "steps"
    with pytest.raises(UserError, match="0 throughout"):
        cf.branches(np.zeros(100, np.float32))
