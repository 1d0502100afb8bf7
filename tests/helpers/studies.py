"""Small studies trained from end to end, each once for all tests, and one trial by hand."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import numpy as np

from convergence import data, names, randomness, spec
from convergence.data import Dataset
from convergence.history import History
from convergence.plan import Plan, Trial
from convergence.schedules import plateau_add, plateau_close, plateau_init
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training.blocks import Want

STEPS = 40
EXPLODES = 7  # the step at whose end the weights of the arm "explodes" leave all bounds
LINEAR = ModelSpec(model="linear", init="constant", init_scale=0.1)  # a start known exactly
TRAIN = TrainSpec(
    optimizer="momentum", momentum=0.0, learning_rate=0.05, steps=STEPS, batch_size=16
)
ROWS = 217  # of which 138 are trained on: eight batches an epoch, and ten rows left out
REGRESSION_ARMS = (
    Arm("base"),
    Arm.of("momentum", momentum=0.9, learning_rate=0.005),
    Arm.of("warm", schedule="cosine", warmup=5),
    Arm.of("by hand", schedule="0:1,11:0.25,30:2"),
    Arm.of("clip", clip_norm=0.3),
    Arm.of("decay", weight_decay=0.5),
    Arm.of("noise", input_noise=0.5, vary=("order", "corrupt")),
    Arm.of("rmse", loss="rmse"),
    Arm.of("mae", loss="mae"),
    Arm.of("huber", loss="huber", huber_delta=0.5),
    Arm.of("outliers", outliers=0.1),
    Arm.of("few", train_size=50),
    Arm.of("minmax", preprocessing="minmax"),
    Arm.of("plateau", schedule="plateau", learning_rate=0.3, steps=900),
    Arm.of("long", learning_rate=0.1, steps=300),
    Arm.of("explodes", schedule=f"0:1,{EXPLODES}:1e38"),
    Arm.of("explodes last", schedule=f"0:1,{STEPS - 1}:1e38"),
)

DATA = DataSpec(dataset="teacher_classification", generated_rows=173)
MLP = ModelSpec(hidden=(5,), dropout=0.1)
SHORT = TrainSpec(steps=24, batch_size=16, learning_rate=0.01)
SCHEDULES = (*names.SCHEDULES, "0:1,5:0.5")
MANY_ARMS = (
    *(Arm.of(name, schedule=name) for name in SCHEDULES),
    Arm("twin", twin=True),
    Arm.of("noisy", label_noise=0.2),
    Arm("splits", vary=("split",)),
    Arm.of("wide", init_scale=3.0, init="glorot_normal"),
)


def holed(dataset: Dataset) -> Dataset:
    """The dataset with a twentieth of its inputs missing."""
    x = dataset.x.copy()
    x[np.random.default_rng(3).random(x.shape) < 0.05] = np.nan
    return dataclasses.replace(dataset, x=x)


def laid(
    told: DataSpec, model: ModelSpec, train: TrainSpec, arms: tuple[Arm, ...], **run: Any
) -> StudySpec:
    """The resolved spec of a study."""
    setting = Setting(told, model, train)
    study = StudySpec(setting=setting, run=RunSpec(**run), arms=arms)
    return resolve(spec.validate(study), data.load(told))


@contextlib.contextmanager
def compiling() -> Iterator[list[str]]:
    """Names of the programs that XLA compiles meanwhile, in any thread."""
    compiled: list[str] = []

    def listen(event: str, duration: float, **about: Any) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@cache
def regression() -> tuple[Study, History]:
    """A linear model on holed data, by many arms in one program."""
    told = DataSpec(dataset="teacher_regression", generated_rows=ROWS)
    run = {"num_seeds": 2, "fingerprint_every": 10, "eval_every": 20, "seed": 5}
    study = laid(told, LINEAR, TRAIN, REGRESSION_ARMS, **run)
    runner = Study(study, holed(data.load(told)), Machine.here(2))
    return runner, runner.run()


@cache
def accumulated() -> tuple[Study, History]:
    """The same by two microbatches a step, with plain sgd."""
    told = DataSpec(dataset="teacher_regression", generated_rows=ROWS)
    train = dataclasses.replace(TRAIN, optimizer="sgd", accumulate=2)
    study = laid(told, LINEAR, train, REGRESSION_ARMS[:1], num_seeds=2, seed=5)
    runner = Study(study, data.load(told), Machine.here(2))
    return runner, runner.run()


@cache
def classification() -> tuple[Study, History, list[str]]:
    """All schedules, a twin, wrong labels and varied splits, in one program; what was compiled."""
    study = laid(DATA, MLP, SHORT, MANY_ARMS, num_seeds=3, lanes=64, fingerprint_every=8)
    with compiling() as compiled:
        runner = Study(study, data.load(DATA), Machine.here(2), Want(test=True))
        history = runner.run()
    return runner, history, compiled


def _slopes(setting: Setting, error: np.ndarray) -> tuple[float, np.ndarray]:
    """A batch's loss, and its derivative by each error."""
    n, loss = len(error), setting.train.loss
    if loss == "mae":
        return float(np.abs(error).mean()), np.sign(error) / n
    if loss == "huber":
        delta = setting.train.huber_delta
        far = np.abs(error) > delta
        value = np.where(far, delta * (np.abs(error) - delta / 2), error**2 / 2)
        return float(value.mean()), np.clip(error, -delta, delta) / n
    mean = float((error**2).mean())
    if loss == "rmse":
        return mean**0.5, error / (n * mean**0.5)
    return mean, 2 * error / n


@dataclasses.dataclass
class ByHand:
    """A trial of a linear model worked out in float64 NumPy, without the engine.

    Attributes:
        losses: of each step.
        norms: of each step's gradient, before clipping.
        controls: the plateau controller's factor after each step.
        weights, bias: where it ended.
        inputs: all rows, prepared, without noise.
        noise: what the trial's noise adds to them.
    """

    plan: Plan
    trial: Trial

    def __post_init__(self) -> None:
        plan, trial = self.plan, self.trial
        self.setting = plan.settings[trial.arm]
        self.view = plan.view(trial.arm, trial.replica)
        seed, varied = plan.study.run.seed, plan.varied(trial.arm)
        self.keys = randomness.key_tree(seed, trial.replica, varied)
        wide = plan.dataset.x.astype(np.float64)
        self.inputs = np.nan_to_num((wide - self.view.x_mean) * self.view.x_scale)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(
            self.keys["corrupt"], np.arange(len(wide), dtype=np.uint32)
        )
        drawn = jax.vmap(lambda key: jax.random.normal(key, wide.shape[1:]))(keys)
        self.noise = self.setting.data.input_noise * np.asarray(drawn, np.float64)
        self.weights, self.bias = np.full(wide.shape[1], np.float64(np.float32(0.1))), 0.0
        self.losses, self.norms, self.controls = self._train()

    def batch(self, step: int) -> np.ndarray:
        """The rows of a step: a stable order by random bits, anew each epoch, cut into batches."""
        size, rows = self.setting.train.batch_size, self.view.train
        epoch, place = divmod(step, len(rows) // size)
        if place == 0:
            key = jax.random.fold_in(self.keys["order"], epoch)
            bits = np.asarray(jax.random.bits(key, (len(rows),)))
            self._order = np.argsort(bits, kind="stable")
        return rows[self._order[place * size : (place + 1) * size]]

    def _train(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        train = self.setting.train
        targets = (self.view.targets.astype(np.float64) - self.view.y_mean) * self.view.y_scale
        shape = self.plan.shapes[self.plan.schedule_of_arm[self.trial.arm]]
        noisy = self.inputs + self.noise
        control = plateau_init(np.float32(train.schedule == "plateau"))
        update = jax.jit(
            lambda state, loss, step: plateau_close(plateau_add(state, loss), step + 1)
        )
        momentum = np.zeros(len(self.weights) + 1)
        losses, norms, controls = [], [], []
        for step in range(self.trial.steps):
            rows = self.batch(step)
            error = noisy[rows] @ self.weights + self.bias - targets[rows]
            loss, slope = _slopes(self.setting, error)
            gradient = np.append(noisy[rows].T @ slope, slope.sum())
            norm = float(np.sqrt((gradient**2).sum()))
            if 0 < train.clip_norm < norm:
                gradient *= train.clip_norm / norm
            gradient[:-1] += train.weight_decay * self.weights
            momentum = train.momentum * momentum + gradient
            rate = train.learning_rate * float(shape[step]) * float(control.control)
            self.weights = self.weights - rate * momentum[:-1]
            self.bias = self.bias - rate * momentum[-1]
            control = update(control, np.float32(loss), np.int32(step))
            losses.append(loss)
            norms.append(norm)
            controls.append(float(control.control))
        return np.array(losses), np.array(norms), np.array(controls)

    def errors(self, rows: np.ndarray, clean: bool) -> np.ndarray:
        """Errors of the trained model in the target's own unit."""
        inputs = self.inputs[rows] if clean else (self.inputs + self.noise)[rows]
        truth = (self.plan.dataset.y if clean else self.view.targets)[rows].astype(np.float64)
        return (inputs @ self.weights + self.bias) / self.view.y_scale + self.view.y_mean - truth
