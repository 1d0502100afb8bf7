"""What trials are given: their views of the data, and the inputs of their lanes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from helpers.plans import MODEL, TRAIN, dataset, plan

from convergence import randomness, spec
from convergence.errors import UserError
from convergence.plan import Plan
from convergence.spec import Arm, DataSpec, RunSpec, Setting, StudySpec


def test_views_are_made_once() -> None:
    """Protects time and memory: trials that see the same rows share one view."""
    arms = (
        Arm("base"),
        Arm.of("rate", learning_rate=1.0, input_noise=0.5),
        Arm.of("noisy", label_noise=0.3),
        Arm("splits", vary=("split",)),
        Arm.of("both", vary=("corrupt", "split"), label_noise=0.3),
    )
    found = plan(*arms, num_seeds=3)
    assert found.view(0, 0) is found.view(0, 2) is found.view(1, 1)
    assert found.view(2, 0) is not found.view(0, 0)
    splits = [found.view(3, r) for r in range(3)]
    assert len({view.validation.tobytes() for view in splits}) == 3
    both = [found.view(4, r) for r in range(3)]
    assert [v.validation.tobytes() for v in both] == [v.validation.tobytes() for v in splits]
    assert len({view.targets.tobytes() for view in both}) == 3
    found.lanes(found.groups[0], found.groups[0].trials)
    assert len(found._views) == 1 + 1 + 3 + 3


def test_arms_of_train_size_and_noise() -> None:
    """Protects learning curves and doses: nested rows, noise on labels, test rows left alone."""
    found = plan(
        Arm("base"),
        Arm.of("half", train_size=64),
        Arm.of("few", train_size=20),
        Arm.of("noisy", label_noise=0.3),
        Arm.of("noisier", label_noise=0.6),
    )
    (group,) = found.groups
    whole, half, few, noisy, noisier = found.lanes(group, found.trials[:5])
    assert [int(x.train_count) for x in (whole, half, few)] == [128, 64, 20]
    rows = [set(x.rows[: int(x.train_count)].tolist()) for x in (few, half, whole)]
    assert rows[0] < rows[1] < rows[2]
    clean = found.dataset.y
    wrong = [set(np.flatnonzero(x.targets != clean).tolist()) for x in (whole, noisy, noisier)]
    assert not wrong[0]
    assert wrong[1] < wrong[2]
    assert not wrong[2] & set(found.test.tolist())
    assert [plan(arm).contaminated for arm in found.study.arms] == [False] * 3 + [True] * 2
    assert plan(Arm.of("noise", input_noise=0.1)).contaminated


def test_lanes_carry_their_settings() -> None:
    """Protects the program's inputs: keys by name and replica, numbers, choices, rows, targets."""
    arms = (
        Arm("base"),
        Arm.of("other", vary=("split",), loss="hinge", init="zeros", bias="prior", dropout=0.5),
    )
    found = plan(*arms, num_seeds=3, first_replica=4, seed=11)
    (group,) = found.groups
    for trial, lane in zip(group.trials, found.lanes(group, group.trials), strict=True):
        setting, view = found.settings[trial.arm], found.view(trial.arm, trial.replica)
        expected = randomness.key_tree(11, trial.replica, found.varied(trial.arm))
        for source, words in randomness.key_data(expected).items():
            assert np.array_equal(lane.keys[source], words)
        told = spec.hyperparameters(setting)
        assert {k: float(v) for k, v in lane.hyper.items()} == {
            k: float(np.float32(v)) for k, v in told.items()
        }
        assert found.pool.losses[int(lane.loss)] == setting.train.loss
        chosen = group.program.initialisers[int(lane.initialiser)]
        assert chosen == (setting.model.init, setting.model.bias)
        assert int(lane.steps) == trial.steps
        assert np.array_equal(lane.rows[: int(lane.train_count)], view.train)
        assert np.array_equal(lane.validation[: int(lane.validation_count)], view.validation)
        assert len(lane.rows) == len(lane.validation) == group.program.capacity == 160
        assert np.array_equal(lane.targets, view.targets)
        assert np.all(lane.active)
        share = np.bincount(view.targets[view.train], minlength=5) + 1
        np.testing.assert_allclose(np.exp(lane.prior), share / share.sum(), rtol=1e-6)
    some = found.lanes(group, group.trials[3:5])  # of two replicas, in any company
    whole = found.lanes(group, group.trials)[3:5]
    for a, b in zip(jax.tree.leaves(some), jax.tree.leaves(whole), strict=True):
        assert np.array_equal(a, b)


def test_twins_are_their_siblings() -> None:
    """Protects the one-bit experiment: a twin's lane differs from its sibling's in one flag."""
    found = plan(Arm("base"), Arm("twin", twin=True))
    base, twin = found.lanes(found.groups[0], found.trials[:2])
    assert not base.twin
    assert twin.twin
    same = twin._replace(twin=base.twin)
    for a, b in zip(jax.tree.leaves(base), jax.tree.leaves(same), strict=True):
        assert np.array_equal(a, b)


def test_constant_inputs_are_not_active() -> None:
    """Protects twins from a flipped weight that multiplies nothing but zeros."""
    base = dataset()
    x = base.x.copy()
    x[:, 2] = 3.0
    x[:, 5] = np.where(np.arange(len(x)) % 2, np.nan, 1.0)
    x[:, 7] = np.nan
    told = DataSpec(dataset="teacher_classification", generated_rows=200)
    study = StudySpec(setting=Setting(told, MODEL, TRAIN), run=RunSpec(num_seeds=1))
    found = Plan(study, dataclasses.replace(base, x=x))
    assert found.groups[0].program.missing
    (lane,) = found.lanes(found.groups[0], found.trials)
    assert np.flatnonzero(~lane.active).tolist() == [2, 5, 7]


@pytest.mark.parametrize("change", [{"batch_size": 129}, {"train_size": 20, "batch_size": 21}])
def test_a_batch_larger_than_the_data(change: dict[str, Any]) -> None:
    """Protects a step from rows that are not there."""
    rows = change.get("train_size", 128)
    with pytest.raises(UserError, match=f"--batch_size: .* only {rows} training rows"):
        plan(Arm.of("big", **change))


def test_a_batch_larger_than_one_replicas_data() -> None:
    """Protects replicas whose split leaves imbalance a row less to train on than the first's."""
    arm = Arm.of("odd", imbalance=0.5, vary=("split", "corrupt"), batch_size=60)
    found = plan(arm, rows=113, first_replica=1)
    assert [len(found.view(0, r).train) for r in (1, 2)] == [60, 59]
    assert len(found.lanes(found.groups[0], found.trials[:1])) == 1
    with pytest.raises(UserError, match=r"--batch_size: 60 rows .* only 59 training rows"):
        found.lanes(found.groups[0], found.trials)
