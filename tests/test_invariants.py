"""The bits contract: what may not change a single bit of a trial.

Each test compares every array of the trials' final states and of their records by equality.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from convergence import data
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
from convergence.study import Machine, Study, resolve
from convergence.training.blocks import BlockRun
from convergence.training.fingerprint import join
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

pytestmark = pytest.mark.parametrize("model", MODELS)


@cache
def dataset() -> data.Dataset:
    """The rows all these trials are trained on."""
    return data.load(DATA)


def study(model: str, seeds: int, **run: Any) -> StudySpec:
    """Three arms, one of which diverges, on `seeds` seeds."""
    train = TrainSpec(steps=STEPS, batch_size=13, learning_rate=0.01)
    vary = ("init", "order", "dropout", "split", "corrupt")
    every = {"fingerprint_every": 5, "eval_every": 9} | run
    spec = StudySpec(
        setting=Setting(DATA, MODELS[model], train),
        run=RunSpec(num_seeds=seeds, lanes=64, vary=vary, **every),
        arms=ARMS,
    )
    return resolve(validate(spec), dataset())


@cache
def population(model: str, devices: int, mode: str = "map") -> Population:
    """The compiled program of a model, on so many devices; compiled once for all tests."""
    group = Study(study(model, 1), dataset()).plan.groups[0]
    return Population(group.program, 64, jax.devices()[:devices], mode)


def trained(
    model: str,
    seeds: int,
    *,
    devices: int = 2,
    segment: int = 0,
    picked: tuple[int, ...] | None = None,
    mode: str = "map",
    **run: Any,
) -> dict[str, np.ndarray]:
    """Every array of the final states and records of a block's trials, by name; axis 0 trials."""
    runner = Study(study(model, seeds, **run), dataset(), segment=segment)
    group, compiled = runner.plan.groups[0], population(model, devices, mode)
    assert group.program.capacity == compiled.program.capacity
    trials = group.trials if picked is None else tuple(group.trials[k] for k in picked)
    block = BlockRun(
        compiled,
        runner.plan.lanes(group, trials),
        runner._shared(compiled),
        runner.cadence,
        runner.want,
    )
    state = block.train()
    arrays = block._records(state)
    tree = compiled.gather(state, len(trials))
    names = jax.tree_util.tree_leaves_with_path(tree)
    return arrays | {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in names}


@cache
def reference(model: str) -> dict[str, np.ndarray]:
    """21 seeds × 3 arms (63 trials, an odd count) on two devices."""
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


def test_the_reference_is_worth_comparing(model: str) -> None:
    """Protects the tests below: trials differ, learn, and exactly the hot arm diverges."""
    arrays = reference(model)
    bad = arrays["first_bad"].reshape(21, 3)
    assert (bad[:, 1] >= 0).all()
    assert (bad[:, [0, 2]] == -1).all()
    assert len(set(join(arrays["fingerprint"]).tolist())) == 63
    curve = arrays["eval/validation/cross_entropy"].reshape(21, 3, -1)[:, 0]
    assert curve[:, -1].mean() < curve[:, 0].mean()
    assert (arrays["steps_done"].reshape(21, 3)[:, 1] < STEPS).all()


def test_the_same_study_again(model: str) -> None:
    """Protects line 1: the same study gives the same bits again."""
    assert_same(trained(model, 21), reference(model), slice(None))


@pytest.mark.parametrize("trial", [0, 1, 31, 62])
def test_a_trial_alone(model: str, trial: int) -> None:
    """Protects line 2: a trial alone has the bits it has among 63, its neighbours diverging."""
    assert_same(trained(model, 21, picked=(trial,)), reference(model), [trial])


def test_among_three(model: str) -> None:
    """Protects line 2: a trial's bits do not depend on which neighbours and how many it has."""
    picked = (5, 62, 20)
    assert_same(trained(model, 21, picked=picked), reference(model), list(picked))


def test_fewer_seeds(model: str) -> None:
    """Protects line 2: the first seeds of a larger study are the seeds of a smaller one."""
    assert_same(trained(model, 1), reference(model), slice(0, 3))


def test_one_device(model: str) -> None:
    """Protects line 2: one forced host device or two, the bits are the same."""
    assert_same(trained(model, 21, devices=1), reference(model), slice(None))


@pytest.mark.parametrize("segment", [1, 7, 50])
def test_segments(model: str, segment: int) -> None:
    """Protects line 4: how often the host takes over changes no bit."""
    picked = (0, 1, 2)
    found = trained(model, 21, picked=picked, segment=segment)
    assert_same(found, reference(model), list(picked))


def test_cadences(model: str) -> None:
    """Protects line 4: fingerprints, evaluations and checkpoints, on or off, change no bit."""
    found = trained(model, 1, fingerprint_every=0, eval_every=1, checkpoint_every=4)
    expected = {name: values[:3] for name, values in reference(model).items()}
    recorded = ("eval/", "marks", "chains", "sketches")
    kept = {n: v for n, v in found.items() if not any(word in n for word in recorded)}
    assert_same(kept, {name: expected[name] for name in kept}, slice(None))
    assert found["marks"].shape[1] == 0
    assert found["eval/validation/accuracy"].shape[1] == STEPS + 1


def test_freezing_a_source(model: str) -> None:
    """Protects line 5: a source that no longer varies moves no other source's draws."""
    all_vary = Study(study(model, 4), dataset()).plan
    spec = study(model, 4)
    fewer = dataclasses.replace(spec, run=dataclasses.replace(spec.run, vary=("init", "order")))
    frozen = Study(fewer, dataset()).plan
    for left, right in zip(
        all_vary.lanes(all_vary.groups[0], all_vary.groups[0].trials),
        frozen.lanes(frozen.groups[0], frozen.groups[0].trials),
    ):
        for source in ("init", "order"):
            assert np.array_equal(left.keys[source], right.keys[source])
        assert not np.array_equal(left.keys["dropout"], right.keys["dropout"])


def test_side_by_side_lanes(model: str) -> None:
    """Protects line 2 where lanes run under vmap: at one width neighbours change no bit."""
    if model not in ("mlp", "cnn"):
        pytest.skip("one dense and one convolutional program stand for the mapped lanes")
    full = trained(model, 21, mode="vmap", devices=1)
    alone = trained(model, 21, mode="vmap", devices=1, picked=(31,))
    assert_same(alone, full, [31])
    solo = reference(model)["final/train/accuracy"]
    close = np.abs(full["final/train/accuracy"] - solo)
    assert np.nanmax(close) < 0.1  # the same trials up to rounding
