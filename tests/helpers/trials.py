"""Small trials of every kind of model, and what it takes to compare them bit for bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np

from convergence import data, names
from convergence.spec import (
    Arm,
    DataSpec,
    ModelSpec,
    RunSpec,
    Setting,
    StudySpec,
    TrainSpec,
    validate,
)
from convergence.study import Study, resolve
from convergence.training.blocks import BlockRun, Store
from convergence.training.population import Population

STEPS = 23
DATA = DataSpec(dataset="teacher_classification", generated_rows=173)  # an odd count of rows
MODELS = {
    "mlp": ModelSpec(model="mlp", hidden=(9, 7), dropout=0.25),
    "mlp_batch_norm": ModelSpec(model="mlp", hidden=(9,), batch_norm=True, dropout=0.1),
    "cnn": ModelSpec(model="cnn", hidden=(3, 5), batch_norm=True),
    "gru": ModelSpec(model="gru", hidden=(5,), dropout=0.1),
}
HOT = Arm.of("hot", learning_rate=3e38)  # diverges within a few steps
ARMS = (Arm("base"), HOT, Arm.of("cosine", schedule="cosine", weight_decay=0.01))


@cache
def dataset() -> data.Dataset:
    """The rows all these trials are trained on."""
    return data.load(DATA)


def study(model: str, seeds: int, **run: Any) -> StudySpec:
    """Three arms, one of which diverges, on `seeds` seeds.

    Args:
        model: of MODELS or linear, and after a slash an optimiser other than adam.
    """
    model, _, optimizer = model.partition("/")
    rate = names.RATE_FREE.get(optimizer, 0.01)
    train = TrainSpec(steps=STEPS, batch_size=13, optimizer=optimizer or "adam", learning_rate=rate)
    vary = ("init", "order", "dropout", "split", "corrupt")
    every = {"fingerprint_every": 5, "eval_every": 9} | run
    spec = StudySpec(
        setting=Setting(DATA, MODELS.get(model, ModelSpec(model="linear")), train),
        run=RunSpec(num_seeds=seeds, lanes=64, vary=vary, **every),
        arms=ARMS,
    )
    return resolve(validate(spec), dataset())


@cache
def population(model: str, place: int, workers: int, mode: str = "map") -> Population:
    """A model's program, compiled once for all tests that use as many workers on one device."""
    group = Study(study(model, 1), dataset()).plan.groups[0]
    return Population(group.program, 64, jax.devices()[place : place + 1] * workers, mode)


def trained(
    model: str,
    seeds: int,
    *,
    place: int = 0,
    workers: int = 2,
    segment: int = 0,
    picked: tuple[int, ...] | None = None,
    mode: str = "map",
    store: Store | None = None,
    **run: Any,
) -> dict[str, np.ndarray]:
    """Every array of the final states and records of a block's trials, by name; axis 0 trials."""
    runner = Study(study(model, seeds, **run), dataset(), segment=segment)
    group, compiled = runner.plan.groups[0], population(model, place, workers, mode)
    assert group.program.capacity == compiled.program.capacity
    trials = group.trials if picked is None else tuple(group.trials[k] for k in picked)
    block = BlockRun(
        compiled,
        runner.plan.lanes(group, trials),
        runner.shared(compiled),
        runner.cadence,
        runner.want,
        store=store,
    )
    state = block.train()
    arrays = block._records(state)
    tree = compiled.gather(state, len(trials))
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return arrays | {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@cache
def reference(model: str) -> dict[str, np.ndarray]:
    """21 seeds × 3 arms (63 trials, an odd count) by two workers."""
    return trained(model, 21)


def assert_same(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], index: Any, skip: str = ""
) -> None:
    """Asserts that every array equals the expected trials' bit for bit (NaN equals NaN)."""
    assert found.keys() == expected.keys()
    for name, values in found.items():
        if skip and skip in name:
            continue
        # Bits, not values: -0 is not 0, and one NaN is not another.
        assert values.tobytes() == np.ascontiguousarray(expected[name][index]).tobytes(), name
