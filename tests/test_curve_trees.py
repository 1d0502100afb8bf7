"""The trees that weigh what is measured of a curve: whole, of their recipe, as they were grown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import curve_weights
from helpers.curve_shapes import shape

from convergence.analysis.curves import VERDICTS, weighing
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.weighing import trees


def test_the_trees_are_those_of_the_recipe_that_is_kept() -> None:
    assert trees().recipe == curve_weights.recipe()


def test_every_path_through_the_trees_ends_in_a_leaf() -> None:
    held = trees()
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
    cases = [shape(truth, rng) for truth in VERDICTS[:-1] for _ in range(5)]
    table = curve_weights.rows(cases, "made", 0)
    curve_weights.written(table, tmp_path / "trees.npz")  # compares them
    held = weighing.trees(tmp_path / "trees.npz")
    assert set(held.verdicts) <= set(VERDICTS)
    right = [
        max(chances, key=lambda name: chances[name]) == row.truth
        for row in table
        for chances in [held.chances(row.measures)]
    ]
    assert np.mean(right) > 0.5


def test_a_thinner_curve_keeps_its_end_and_its_means() -> None:
    rng = np.random.default_rng(3)
    case = shape(says.CONVERGED, rng)
    steps = np.arange(1000.0)
    plain = dataclasses.replace(case, steps=steps, values=steps.copy())
    for _ in range(8):
        thin = curve_weights.thinner(plain, rng)
        every = thin.steps[1] - thin.steps[0]
        assert thin.steps[-1] == 999
        assert 9 <= len(thin.steps) <= 100
        assert set(thin.steps - thin.values) in ({0.0}, {(every - 1) / 2})
