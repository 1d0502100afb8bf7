"""The learning-rate finder on real tasks that its rule was not made on; minutes of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import finder_cases as cases
from helpers.finder_runs import REPORTED, TUNING

from convergence.analysis.lr_finder import published

pytestmark = pytest.mark.slow
FEW = (6, 8, 11)  # small networks alone; helpers.finder_cases measures all


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trainings are shared by the tests of this file."""
    return tmp_path_factory.mktemp("finder")


def test_reported_tasks_are_not_the_rules_own() -> None:
    """Protects the claim: no dataset that the rule was made on, but for one family's generator."""
    own = {task.told.dataset for task in TUNING}
    assert {task.told.dataset for task in REPORTED} & own == {"teacher_regression"}
    seeds = {task.told.data_seed for task in (*TUNING, *REPORTED) if "regression" in task.name}
    assert seeds == {0, 5}


def test_mnist1d(cache: Path) -> None:
    """Protects the finder's figure: regret over thirty searches at most .005 in the mean and .02
    at worst, by each seed's own grid, and below every published and literal rule."""
    _, rows = cases.mnist1d_rows(cache)
    (_, rates, ours), *others = rows
    assert ours.mean() <= 0.005
    assert ours.max() <= 0.02
    assert rates.max() / rates.min() < 2
    for rule, _, regret in others:
        assert ours.mean() < regret.mean(), rule
        assert ours.max() < regret.max(), rule


def test_mnist1d_at_longer_horizons(cache: Path) -> None:
    """Protects --horizon: told of it, searches lose less of the final loss than those not told."""
    found = {(horizon, label): regret for horizon, label, _, regret in cases.horizon_rows(cache)}
    for horizon in cases.HORIZONS:
        told, untold = (found[horizon, label] for label in ("told of the horizon", "not told"))
        assert told.mean() < untold.mean()
    assert found[2000, "told of the horizon"].mean() <= 0.01


def test_other_tasks(cache: Path) -> None:
    """Protects the rule elsewhere: the share of the descent that it loses is below the best
    published rule's in the mean and below each one's at worst, over tasks; suggestions lie within a
    factor of 2 over seeds."""
    told = cases.results(FEW, cache)
    shares = {rule: np.array([one["lost"][rule] for one in told]) for rule in told[0]["lost"]}
    ours = shares["ours"]
    for rule in published.RULES:
        assert ours[:, 0].mean() < shares[rule][:, 0].mean(), rule
        assert ours[:, 1].max() < shares[rule][:, 1].max(), rule
    assert max(one["ratio"] for one in told) < 2
    assert np.isfinite([list(one["free"].values()) for one in told]).all()
