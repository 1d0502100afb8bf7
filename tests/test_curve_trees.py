"""The trees that weigh what is measured of a curve: whole, of their recipe, as they were grown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import curve_weights
from helpers.curve_shapes import Case, shape

from convergence.analysis.curves import VERDICTS, weighing
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.weighing import trees

FILES = pytest.mark.parametrize("path", [weighing.ALONE, weighing.BESIDE], ids=["alone", "beside"])


@FILES
def test_the_trees_are_those_of_the_recipe_that_is_kept(path: Path) -> None:
    held = trees(path)
    assert held.recipe == curve_weights.recipe()
    assert held.measures == curve_weights.names(path == weighing.BESIDE)


@FILES
def test_every_path_through_the_trees_ends_in_a_leaf(path: Path) -> None:
    held = trees(path)
    node = np.arange(len(held.feature))
    assert np.array_equal(held.left == 0, held.right == 0)
    assert (node + held.right).max() < len(node)
    assert (node + held.left).max() < len(node)
    for _ in range(held.depth):
        node = node + np.maximum(held.left[node], held.right[node])
    assert (held.left[node] == 0).all()
    assert held.feature.max() < len(held.measures)
    assert np.isfinite(held.value).all()


@pytest.mark.filterwarnings("ignore")
def test_trees_that_are_written_say_what_those_say_that_were_grown(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    cases = [shape(truth, rng) for truth in VERDICTS[:-1] for _ in range(40)]
    table = curve_weights.rows(cases, "made", "made", 0)
    curve_weights.written(table, tmp_path / "trees.npz")  # compares them
    held = weighing.trees(tmp_path / "trees.npz")
    assert set(held.verdicts) <= set(VERDICTS)
    right = [
        max(chances, key=lambda name: chances[name]) == row.truth
        for row, measures in zip(table, curve_weights.named(table))
        for chances in [held.chances(measures)]
    ]
    assert np.mean(right) > 0.5


def test_a_thinner_curve_keeps_its_end_and_its_means() -> None:
    rng = np.random.default_rng(3)
    case = shape(says.CONVERGED, rng)
    steps = np.arange(1000.0)
    twins = tuple((steps, steps.copy()) for _ in range(30))
    plain = dataclasses.replace(case, steps=steps, values=steps.copy(), others=twins)
    for _ in range(8):
        thin = curve_weights.thinner(plain, rng)
        every = thin.steps[1] - thin.steps[0]
        assert thin.steps[-1] == 999
        assert 9 <= len(thin.steps) <= 100
        assert set(thin.steps - thin.values) in ({0.0}, {(every - 1) / 2})
        assert len(thin.others) == curve_weights.FEW
        for other in thin.others:
            assert np.array_equal(other, (thin.steps, thin.values))


def test_cases_stand_alone_and_beside_all_or_a_few_that_begin_as_they_do() -> None:
    rng = np.random.default_rng(4)
    steps = np.arange(400.0)
    runs = [
        (steps, 1 + 0.05 * (k % 3) + np.exp(-steps / 40) + 0.01 * rng.standard_normal(400))
        for k in range(12)
    ]
    for k, (_, values) in enumerate(runs):
        values[0] = 2.0 + k % 2
    case = Case(says.STUCK, "real: a, b, loss, 400 steps", "loss", *runs[0], others=(*runs[1:],))
    chosen = [curve_weights.drawn_company(case, rng) for _ in range(60)]
    assert any(len(one) == len(case.others) for one in chosen)
    few = [one for one in chosen if len(one) < len(case.others)]
    assert any(len({values[0] for _, values in one}) == 2 for one in few)
    assert sum({values[0] for _, values in one} == {2.0} for one in few) > len(few) / 4
    table = curve_weights.rows([case], "a", "b", 0)
    assert {row.beside for row in table} == {False, True}
    for row, told in zip(table, curve_weights.named(table)):
        assert len(row.x) == len(told)
        assert told.get("others", -1.0) >= 0 if row.beside else "others" not in told
        assert row.cut
