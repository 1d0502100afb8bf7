"""Looking into layers: the figures are what they say, and looking changes no bit of a trial."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convergence import data, spec
from convergence.initial.layers import Layers, Looker, looks, marks, walk
from convergence.initial.surface import Land
from convergence.models.base import leaf_path
from convergence.replay import Trainer
from convergence.rounding.courses import Setup
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training import probe as probing
from convergence.training.trial import final_fingerprint

DATA = DataSpec(dataset="teacher_classification", generated_rows=173)
STEPS = 12
ARMS = (Arm("default"), Arm.of("init=zeros", init="zeros"), Arm.of("even", init="lsuv"))


def laid(model: ModelSpec, arms: tuple[Arm, ...] = ARMS) -> Study:
    setting = Setting(DATA, model, TrainSpec(steps=STEPS, batch_size=16, learning_rate=0.01))
    run = RunSpec(num_seeds=2, lanes=8)
    dataset = data.load(DATA)
    study = resolve(spec.validate(StudySpec(setting=setting, run=run, arms=arms)), dataset)
    return Study(study, dataset, Machine.here(1))


@pytest.fixture(scope="module")
def tanh() -> Study:
    """A small tanh network and starts of it."""
    return laid(ModelSpec(hidden=(7, 5), activation="tanh"))


def test_marks() -> None:
    """Protects the first steps, where most happens, and the last."""
    assert marks(12) == (0, 1, 2, 4, 8, 12)
    assert marks(0) == (0,)


def batch(study: Study, lane: Any) -> tuple[Any, Any]:
    """Inputs and targets of the rows that are looked at, by NumPy."""
    rows = lane.rows[np.arange(256) % lane.train_count]
    x = (study.plan.dataset.x[rows] - lane.x_mean) * lane.x_scale
    return jnp.asarray(x), jnp.asarray(lane.targets[rows])


def test_figures_of_a_state(tanh: Study) -> None:
    """Protects every figure: held against a plain computation from the same params."""
    trainer = Trainer(tanh)
    setup = Setup(trainer, (0,))
    (lane,), group = setup.lanes(), setup.group
    looker = Looker(trainer, group, (-1.0, 1.0))
    seen = {step: (state, after) for step, state, after in walk(setup, (3,))}
    state, after = seen[3]
    told = looker(lane, _one(state), _one(after))
    unpack = group.program.algorithm.packing.unpack
    now, then = (unpack(_one(s).train.params) for s in (state, after))
    x, y = batch(tanh, lane)

    def loss(params: Any, rows: Any, targets: Any) -> Any:
        h = jnp.tanh(rows @ params["dense_0"]["kernel"] + params["dense_0"]["bias"])
        h = jnp.tanh(h @ params["dense_1"]["kernel"] + params["dense_1"]["bias"])
        out = h @ params["output"]["kernel"] + params["output"]["bias"]
        log_p = jax.nn.log_softmax(out)
        return -jnp.mean(jnp.take_along_axis(log_p, targets[:, None], 1))

    hidden = np.tanh(np.asarray(x @ now["dense_0"]["kernel"] + now["dense_0"]["bias"]))
    slopes = jax.jit(jax.grad(loss))
    grads = slopes(now, x, y)
    assert told.loss == pytest.approx(float(loss(now, x, y)), rel=1e-5)
    assert told.activation[0] == pytest.approx(np.sqrt((hidden**2).mean()), rel=1e-5)
    assert told.saturated[0] == pytest.approx((np.abs(hidden) > 0.98).mean(), abs=1e-6)
    assert told.distinct.tolist()[:2] == [7, 5]
    for place, name in enumerate(("dense_0", "dense_1", "output")):
        kernel, later = np.asarray(now[name]["kernel"]), np.asarray(then[name]["kernel"])
        slope = np.asarray(grads[name]["kernel"])
        assert told.gradient[place] == pytest.approx(np.sqrt((slope**2).mean()), rel=1e-4)
        moved = np.linalg.norm(later - kernel) / np.linalg.norm(kernel)
        assert told.update[place] == pytest.approx(moved, rel=1e-4)
    pieces = [
        np.concatenate([np.ravel(g) for g in jax.tree.leaves(slopes(now, a, b))])
        for a, b in zip(x.reshape(8, 32, -1), y.reshape(8, 32))
    ]
    spread = np.var(np.stack(pieces), axis=0, ddof=1).sum()
    whole = (np.mean(pieces, axis=0) ** 2).sum()
    assert told.scatter == pytest.approx(32 * spread, rel=1e-3)
    assert told.signal == pytest.approx(whole - spread / 8, rel=1e-3, abs=1e-6)


def _one(tree: Any) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[0], tree)


def test_looking_changes_no_bit(tanh: Study) -> None:
    """Protects the bits contract: a trial that was looked into ends as the study's own does."""
    trainer = Trainer(tanh)
    own = trainer.run([0])
    *_, (_, state, _) = walk(Setup(trainer, (0,)), marks(STEPS))
    assert np.array_equal(final_fingerprint(_one(state)), own["fingerprint"][0])
    assert int(state.step[0]) == STEPS


def test_arms(tanh: Study) -> None:
    """Protects what is told of arms: equal units of a zero start, unit scale of an even one."""
    told = {one.arm: one for one in looks(Trainer(tanh), ["default", "init=zeros", "even", "x"], 2)}
    assert list(told) == [arm.name for arm in ARMS]
    zeros, even = told["init=zeros"], told["even"]
    assert zeros.layers == zeros.groups == ("dense_0", "dense_1", "output")
    assert zeros.tables["distinct"][:, 0, :2].max() == 1
    assert zeros.tables["dead"][:, 0, :2].min() == 1
    assert (even.tables["distinct"][:, 0, :2] == [7, 5]).all()
    assert np.isfinite(even.tables["update"][:, :-1]).all()
    assert (even.tables["update"][:, -1] == 0).all()  # the trial has ended
    plain = even.to_json()
    assert plain["steps"] == [0, 1, 2, 4, 8, 12]
    assert len(plain["activation"]) == 6


def test_noise_scale_where_there_is_no_signal() -> None:
    """Protects from a gradient that cannot be told from 0: infinitely many rows, not a negative."""
    tables = {name: np.ones((1, 1)) for name in probing.Probe._fields}
    tables["signal"] = -tables["signal"]
    layers = Layers("a", np.array([0]), (), (), tables, "")
    assert np.isinf(layers.noise_scale).all()
    assert layers.to_json()["noise_scale"] == ["inf"]


def test_a_relu_layer_that_is_dead() -> None:
    """Protects the share of dead units: those with one value on every row."""
    values = jnp.asarray([[0.0, 1.0, 5.0], [0.0, 2.0, 5.0], [0.0, 3.0, 5.0]])
    told = probing._units(_watched(values), None)
    assert float(told[1][0]) == pytest.approx(2 / 3)
    assert int(told[3][0]) == 3
    assert np.isnan(float(told[2][0]))
    twice = jnp.concatenate([values, values], axis=1)
    assert int(probing._units(_watched(twice), None)[3][0]) == 3


def _watched(values: Any) -> Any:
    from convergence.models.base import Layer, Watched

    return Watched(values, (Layer("a", (("a", "kernel"),), values),), {"active_0": values})


def test_loss_at_a_trial_s_own_params(tanh: Study) -> None:
    """Protects surfaces: at a state's own place the loss is that of its params, in any piece."""
    trainer = Trainer(tanh)
    land = Land(trainer, (0,))
    ((_, state, _),) = walk(land.setup, (5,))
    origin = land.params(state, 0)
    told = land.losses(state, origin, np.ones((1, len(origin))), np.array([[0.0], [1e-3]]))
    lane = land.setup.lanes()[0]
    rows = lane.rows[np.arange(512) % lane.train_count]
    x = (tanh.plan.dataset.x[rows] - lane.x_mean) * lane.x_scale
    program = land.program
    params = program.algorithm.packing.unpack(_one(state).train.params)
    out, _ = program.algorithm.model.apply(
        params, {}, jnp.asarray(x), train=False, key=None, dropout=jnp.float32(0)
    )
    log_p = np.asarray(jax.nn.log_softmax(out))
    assert told[0] == pytest.approx(-log_p[np.arange(512), lane.targets[rows]].mean(), rel=1e-5)
    assert told[1] != told[0]
    paths = [leaf_path(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert len(paths) == 6


@pytest.mark.parametrize("model", ["cnn", "gru"])
@pytest.mark.slow
def test_other_models(model: str) -> None:
    """Protects convolutions and recurrent layers: lsuv and every figure are there for them."""
    runner = laid(ModelSpec(model=model, hidden=(4, 3), batch_norm=model == "cnn"))
    (one,) = looks(Trainer(runner), ["even"], 1)
    assert len(one.layers) == 3
    assert np.isfinite(one.tables["activation"]).all()
    assert np.isfinite(one.tables["gradient"]).all()
