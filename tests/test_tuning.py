"""The grids and the rule by which every arm is given its rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.tuning import grid
from convergence.tuning.choice import beyond, choose

NAN = float("nan")
RATES = st.lists(st.sampled_from([0.001, 0.003, 0.01, 0.03, 0.1, 0.3]), min_size=1, unique=True)


@given(count=st.integers(1, 12), factor=st.floats(1.5, 10.0))
def test_a_grid_is_even_and_holds_its_centre(count: int, factor: float) -> None:
    """Protects the grid: so many rates, equally far apart, with the centre among them."""
    found = grid.factors(count, factor)
    assert len(found) == count
    assert 1.0 in found
    assert np.allclose(np.diff(np.log(found)), np.log(factor))
    above, below = sum(f > 1 for f in found), sum(f < 1 for f in found)
    assert above - below in (0, 1)


@given(count=st.integers(2, 8), low=st.booleans(), high=st.booleans())
def test_an_extension_continues_the_grid(count: int, low: bool, high: bool) -> None:
    """Protects the extension: a rate at each end that is asked for, at the same distance."""
    first = grid.factors(count)
    new = grid.extended(first, low, high)
    assert len(new) == low + high
    whole = sorted((*first, *new))
    assert np.allclose(np.diff(np.log(whole)), np.log(grid.FACTOR))
    assert grid.extended((1.0,), low, high) == ()


def test_rates_are_what_is_told() -> None:
    """Protects the flags: a rate of two digits, which text holds exactly; and float32's range."""
    told = (0.00033, 0.001, 0.003, 0.009)
    assert grid.rates(1e-3, grid.factors(4)) == told
    assert tuple(float(f"{rate:g}") for rate in told) == told
    for centre in (0.0, 1e-45, 1e38):
        with pytest.raises(ValueError, match="range of float32"):
            grid.rates(centre, (1.0, 9.0))


def test_the_best_mean_is_chosen_in_either_direction() -> None:
    """Protects the rule: the mean over seeds decides, by the metric's direction."""
    values = [[0.1, 0.3], [0.5, 0.5], [0.9, 0.0]]
    assert choose([1.0, 2.0, 3.0], values, True).rate == 2.0
    assert choose([1.0, 2.0, 3.0], values, False).rate == 1.0
    found = choose([3.0, 1.0, 2.0], values, True)  # any order of the rates
    assert (found.rates, found.scores) == ((1.0, 2.0, 3.0), (0.5, 0.45, 0.2))
    assert (found.rate, found.edge) == (1.0, "low")


def test_a_rate_at_which_a_seed_diverges_comes_last() -> None:
    """Protects the rule: one divergence outweighs any score, two outweigh one."""
    values = [[0.2, 0.2], [0.9, NAN], [NAN, NAN]]
    assert choose([1.0, 2.0, 3.0], values, True).rate == 1.0
    found = choose([1.0, 2.0], [[np.inf, NAN], [0.1, NAN]], False)
    assert (found.rate, found.finished) == (2.0, (0, 1))


def test_equal_rates_go_to_the_lower_one_and_none_that_finished_to_the_lowest() -> None:
    """Protects the rule where scores do not decide."""
    assert choose([0.3, 0.1, 0.2], np.ones((3, 4)), True).rate == 0.1
    found = choose([0.3, 0.1], np.full((2, 2), NAN), True)
    assert (found.rate, found.trained) == (0.1, False)
    assert found.to_json()["scores"] == [None, None]


@given(rates=RATES, data=st.data())
def test_the_choice_does_not_depend_on_the_order_of_rates_and_seeds(
    rates: list[float], data: st.DataObject
) -> None:
    """Protects fairness: what is chosen follows from the numbers, not from where they stand."""
    cell = st.sampled_from([0.1, 0.2, 0.7, NAN])
    rows = [data.draw(st.lists(cell, min_size=3, max_size=3)) for _ in rates]
    first = choose(rates, rows, True)
    order = data.draw(st.permutations(range(len(rates))))
    seeds = data.draw(st.permutations(range(3)))
    again = choose([rates[k] for k in order], [[rows[k][s] for s in seeds] for k in order], True)
    assert (again.rate, again.finished, again.edge) == (first.rate, first.finished, first.edge)
    assert first.finished[first.index] == max(first.finished)


@pytest.mark.parametrize(
    ("rates", "values"),
    [([], np.zeros((0, 2))), ([1.0], np.zeros((2, 2))), ([1.0, 1.0], np.zeros((2, 2)))],
)
def test_what_cannot_be_chosen_from(rates: list[float], values: np.ndarray) -> None:
    """Protects from a choice among nothing, or among rates that are one."""
    with pytest.raises(ValueError, match="rate"):
        choose(rates, values, True)


def test_grids_are_extended_where_any_best_lies_at_an_end() -> None:
    """Protects fairness: one arm at an end extends all; an arm that never finished asks lower."""
    inside = choose([1.0, 2.0, 3.0], [[0.1], [0.9], [0.1]], True)
    lowest = choose([1.0, 2.0, 3.0], [[0.9], [0.1], [0.1]], True)
    highest = choose([1.0, 2.0, 3.0], [[0.1], [0.1], [0.9]], True)
    never = choose([1.0, 2.0, 3.0], np.full((3, 1), NAN), True)
    alone = choose([1.0], [[0.1]], True)
    assert beyond([inside, inside, alone]) == (False, False)
    assert beyond([inside, lowest]) == (True, False)
    assert beyond([inside, highest]) == (False, True)
    assert beyond([lowest, highest]) == (True, True)
    assert beyond([never]) == (True, False)
