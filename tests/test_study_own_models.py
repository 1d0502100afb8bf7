"""A user's own model, loss and schedule, from a file to a trained study."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.studies import compiling

from convergence import data, spec
from convergence.history import History
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

OWN = """
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx


class Linen(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(8)(x.reshape(x.shape[0], -1))
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(self.outputs)(x)


def linen(shape, outputs):
    return Linen(outputs)


class Nnx(nnx.Module):
    def __init__(self, features, outputs, rngs):
        self.hidden = nnx.Linear(features, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.output = nnx.Linear(8, outputs, rngs=rngs)

    def __call__(self, x):
        return self.output(self.dropout(jax.nn.relu(self.hidden(x))))


def nnx_module(shape, outputs, rngs):
    return Nnx(shape[0], outputs, rngs)


def functions(shape, outputs):
    def init(key, x):
        kernel = jax.random.normal(key, (shape[0], outputs)) / shape[0] ** 0.5
        return {"kernel": kernel, "bias": jnp.zeros(outputs)}

    def apply(params, x):
        return x @ params["kernel"] + params["bias"]

    return init, apply


def squares(outputs, targets):
    return jnp.mean((outputs - jax.nn.one_hot(targets, outputs.shape[-1])) ** 2, axis=-1)
"""
DATA = DataSpec(dataset="teacher_classification", generated_rows=200)
# kernels of each model, and what else there is in params and state
SHAPES = {
    "linen": {(16, 8): 1, (8, 5): 1, (8,): 3 + 2, (5,): 1},
    "nnx_module": {(16, 8): 1, (8, 5): 1, (8,): 1, (5,): 1},
    "functions": {(16, 5): 1, (5,): 1},
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    return path


def study(own: Path, model: str) -> Study:
    """Two arms (its own start, and another) by three seeds, a user's loss, twins."""
    setting = Setting(
        DATA,
        ModelSpec(model=f"{own}:{model}"),
        TrainSpec(steps=60, batch_size=16, learning_rate=0.02, loss=f"{own}:squares"),
    )
    arms = (Arm("own"), Arm.of("prior", bias="prior", init="orthogonal"))
    run = RunSpec(num_seeds=3, twin=True, vary=("init", "order", "dropout"))
    dataset = data.load(DATA)
    laid = resolve(spec.validate(StudySpec(setting=setting, run=run, arms=arms)), dataset)
    return Study(laid, dataset, Machine.here(2))


def check_start(runner: Study, model: str) -> None:
    """Shapes, seeds that differ, twins one bit apart, and the prior in the output bias."""
    (group,), (population,) = runner.plan.groups, runner._populations.values()
    block = population.deal(runner.plan.lanes(group, group.trials))
    start = population.gather(
        population.initialise(block, runner.shared(population)), len(group.trials)
    ).train
    unpack = jax.vmap(group.program.algorithm.packing.unpack)
    start = start._replace(params=jax.tree.map(np.asarray, unpack(start.params)))
    leaves = jax.tree.leaves((start.params, start.model_state))
    shapes = [leaf.shape[1:] for leaf in leaves]
    assert {shape: shapes.count(shape) for shape in shapes} == SHAPES[model]
    kernels = [leaf for leaf in jax.tree.leaves(start.params) if leaf.ndim > 2]
    for arm in (0, 1):
        for kernel in kernels:
            assert len(np.unique(kernel[arm::4].reshape(3, -1), axis=0)) == 3
        words = [kernel.view(np.uint32) for kernel in kernels]
        differ = sum(int((k[arm::4] ^ k[arm + 2 :: 4]).sum()) for k in words)
        assert differ == 3  # one last bit in each of three pairs
    biases = [leaf for leaf in jax.tree.leaves(start.params) if leaf.shape[1:] == (5,)]
    assert not np.any(biases[0][0])
    view = runner.plan.view(1, 0)
    share = np.bincount(view.targets[view.train], minlength=5) + 1
    np.testing.assert_allclose(np.exp(biases[0][1]), share / share.sum(), rtol=1e-5)


@pytest.mark.parametrize("model", SHAPES)
def test_trained_through_a_study(own: Path, model: str) -> None:
    """Protects `bring your own model`: it starts, learns, and repeats itself bit for bit."""
    runner = study(own, model)
    history: History = runner.run()
    check_start(runner, model)
    assert not np.any(history.diverged)
    # Not of the twins: rounding may undo what rounding has done.
    assert len(set(history.fingerprints.reshape(3, 4)[:, :2].ravel().tolist())) == 6
    curve = history.curve("accuracy")
    assert np.mean(curve[:, -1] - curve[:, 0]) > 0.1
    again = study(own, model)
    again._populations = runner._populations
    with compiling() as compiled:
        assert np.array_equal(again.run().fingerprints, history.fingerprints)
    assert compiled == []
