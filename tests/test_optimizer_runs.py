"""Optimisers with much state: alone, in company, after a checkpoint and side by side, to the bit.

What holds for adam (test_invariants) holds for those that keep first params, averages, norms of
the whole model and matrices of momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.finished import differing, finished
from helpers.trials import ARMS, STEPS, assert_same, population, trained

from convergence.optimizers.averaging import AverageState
from convergence.spec import DataSpec, ModelSpec, TrainSpec
from convergence.training import evaluation
from convergence.training.state import TrainState, TrialState

FEW = DataSpec(dataset="teacher_classification", generated_rows=150)
NAMES = ("linear/schedule_free_adamw", "mlp/prodigy", "linear/muon")
HOT = 1  # place of the arm that diverges
Arrays = dict[str, np.ndarray]


@cache
def company(model: str) -> Arrays:
    """Seven seeds of three arms."""
    return trained(model, 7)


@pytest.mark.parametrize("model", NAMES)
def test_a_trial_alone_and_in_pieces(model: str) -> None:
    """Protects equal bits alone and among 21, one of three diverged, and however often stopped."""
    whole = company(model)
    assert np.all(whole["first_bad"][HOT :: len(ARMS)] >= 0)
    assert np.all(whole["first_bad"][0 :: len(ARMS)] < 0)
    assert_same(trained(model, 7, picked=(5,), segment=4), whole, [5])


class Kept:
    """Checkpoints in memory; those after `last` steps are not written, as if it was killed."""

    def __init__(self, last: int) -> None:
        self.last, self.held = last, dict[int, Arrays]()

    def save_checkpoint(self, block: int, step: int, arrays: Arrays) -> None:
        if step <= self.last:
            self.held[step] = {name: np.array(value) for name, value in arrays.items()}

    def checkpoints(self, block: int) -> list[tuple[int, Callable[[], Arrays]]]:
        return [(step, lambda step=step: self.held[step]) for step in sorted(self.held)[::-1]]

    def damaged(self, block: int, step: int, why: str) -> None:
        raise AssertionError(why)


@pytest.mark.parametrize("model", NAMES)
def test_resumed(model: str) -> None:
    """Protects checkpoints: all of such a state is in them, and what goes on is the same."""
    picked, store = (0, 1, 2), Kept(last=STEPS // 2)
    for _ in range(2):  # the second goes on from what the first left
        found = trained(model, 7, picked=picked, store=store, checkpoint_every=5)
        assert max(store.held) == 10
        assert_same(found, company(model), list(picked))


@pytest.mark.slow
@pytest.mark.parametrize("model", NAMES)
def test_side_by_side(model: str) -> None:
    """Protects accelerators' path: under vmap a neighbour changes no bit of a trial."""
    pair = trained(model, 7, picked=(0, 1, 2), mode="vmap")
    assert np.all(np.isfinite(pair["raw"][0]))
    assert_same(trained(model, 7, picked=(2, 0), mode="vmap"), pair, [2, 0])


def test_averages_are_what_predicts() -> None:
    """Protects schedule-free arms: what is scored, predicts and is saved is x, not y."""
    model = "linear/schedule_free_adamw"
    compiled = population(model, 0, 2)
    layout = compiled.program.algorithm.packing
    x, y = (layout.pack(tree) for tree in (weights(0.25), weights(0.75)))
    state = AverageState((), layout.pack(weights(0.5)), x, np.float32(1), np.float32(1))
    trial = TrialState(TrainState(y, state, {}), *[None] * 5)  # type: ignore[arg-type]
    held = evaluation.trained(compiled.program, trial).params
    assert all(np.all(leaf == 0.25) for leaf in jax.tree.leaves(held))


def weights(value: float) -> Any:
    """Params of the model, all of this value."""
    layout = population("linear/schedule_free_adamw", 0, 2).program.algorithm.packing
    leaves = [np.full(shape, value, dtype) for shape, dtype in layout.leaves]
    return jax.tree.unflatten(layout.treedef, [jnp.asarray(leaf) for leaf in leaves])


@pytest.mark.slow
def test_kept_averages_predict_the_same(tmp_path: Path) -> None:
    """Protects the round trip of schedule-free arms: the study's own predictions to the bit."""
    train = TrainSpec(optimizer="schedule_free_sgd", learning_rate=0.5, steps=12, batch_size=8)
    history = finished(tmp_path, FEW, ModelSpec(hidden=(6,)), train, eval_every=4)
    assert differing(tmp_path, history, history.plan.dataset.x) == 0
