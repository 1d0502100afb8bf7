"""The benchmark's workloads: each as a spec for the engine and as a recipe for a plain program."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax
import numpy as np
import optax
import plain_program

from convergence import data
from convergence.data import Dataset
from convergence.data.dataset import array_encoding
from convergence.spec import DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

SIDE = 14  # of W3's images
IMAGE_ROWS = 2000


@dataclasses.dataclass(frozen=True)
class Workload:
    """One task, the same for every program that runs it.

    Attributes:
        name: W1, W2, …
        title: what is trained, in a few words.
        setting: the task as the engine is given it.
        net: the plain program's network.
        optimizer: the plain program's, at the same numbers.
        trials: how many are trained in one measurement.
        flops: of a step's matrix products: forward, for the weights, and for the inputs of all
            layers but the first.
        load: gives the rows.
    """

    name: str
    title: str
    setting: Setting
    net: plain_program.Net
    optimizer: optax.GradientTransformation
    trials: int
    flops: int
    load: Callable[[], Dataset]

    @property
    def steps(self) -> int:
        """Steps of one trial."""
        return self.setting.train.steps

    @property
    def recipe(self) -> plain_program.Recipe:
        """What the plain program is given."""
        train = self.setting.train
        loss = plain_program.huber if train.loss == "huber" else plain_program.cross_entropy
        return plain_program.Recipe(self.net, loss, self.optimizer, train.steps, train.batch_size)

    def shortened(self, steps: int) -> Workload:
        """The same with fewer steps a trial."""
        train = dataclasses.replace(self.setting.train, steps=steps)
        return dataclasses.replace(self, setting=dataclasses.replace(self.setting, train=train))


def images(rows: int = IMAGE_ROWS) -> Dataset:
    """Random images of ten classes, each around its own mean: their content costs no time."""
    draws = np.random.default_rng(0)
    y = draws.integers(0, 10, rows).astype(np.int32)
    centres = draws.standard_normal((10, SIDE * SIDE))
    x = (centres[y] + 2 * draws.standard_normal((rows, SIDE * SIDE))).astype(np.float32)
    classes = tuple(map(str, range(10)))
    return Dataset(
        name="images",
        x=x,
        y=y,
        shape=(SIDE, SIDE, 1),
        task="classification",
        num_classes=10,
        class_names=classes,
        feature_names=tuple(f"pixel_{k}" for k in range(SIDE * SIDE)),
        target_name="class",
        test_rows=None,
        origin=f"{rows} random images around ten centres.",
        encoding=array_encoding(
            (SIDE, SIDE, 1), {"name": "class", "kind": "category", "categories": list(classes)}
        ),
    )


def _dense_flops(batch: int, *widths: int) -> int:
    products = [a * b for a, b in itertools.pairwise(widths)]
    return 2 * batch * (3 * sum(products) - products[0])


def _w1() -> Workload:
    setting = Setting(
        DataSpec("digits"), ModelSpec("mlp", (128, 128)), TrainSpec(steps=1100, batch_size=64)
    )
    return Workload(
        name="W1",
        title="digits, MLP 64-128-128-10, Adam, batch 64, 1,100 steps",
        setting=setting,
        net=plain_program.mlp((64, 128, 128, 10)),
        optimizer=optax.adam(1e-3),
        trials=256,
        flops=_dense_flops(64, 64, 128, 128, 10),
        load=functools.partial(data.load, setting.data),
    )


def _w2() -> Workload:
    setting = Setting(
        DataSpec("teacher_regression"),
        ModelSpec("mlp", (256, 256)),
        TrainSpec(
            loss="huber", optimizer="momentum", learning_rate=0.01, steps=2000, batch_size=128
        ),
    )
    return Workload(
        name="W2",
        title="regression, MLP 16-256-256-1, Huber, momentum, batch 128, 2,000 steps",
        setting=setting,
        net=plain_program.mlp((16, 256, 256, 1)),
        optimizer=optax.sgd(0.01, momentum=0.9),
        trials=16,
        flops=_dense_flops(128, 16, 256, 256, 1),
        load=functools.partial(data.load, setting.data),
    )


def _w3() -> Workload:
    half = SIDE // 2
    products = [9 * 16 * SIDE**2, 9 * 16 * 32 * half**2, 32 * half**2 * 10]
    return Workload(
        name="W3",
        title="14×14 images, 3×3 convolutions 16, 32 (stride 2), dense, Adam, batch 64, 500 steps",
        setting=Setting(DataSpec(), ModelSpec("cnn", (16, 32)), TrainSpec(steps=500)),
        net=plain_program.cnn(SIDE, (16, 32), 10),
        optimizer=optax.adam(1e-3),
        trials=16,
        flops=2 * 64 * (3 * sum(products) - products[0]),
        load=images,
    )


def _w4() -> Workload:
    width, length = 32, 40
    setting = Setting(DataSpec("mnist1d"), ModelSpec("gru", (width,)), TrainSpec(steps=300))
    recurrent, driven = length * 3 * width * width, length * 3 * width
    return Workload(
        name="W4",
        title="mnist1d, gru of 32, Adam, batch 64, 300 steps",
        setting=setting,
        net=plain_program.gru(width, 10),
        optimizer=optax.adam(1e-3),
        trials=16,
        flops=2 * 64 * (3 * (recurrent + 10 * width) + 2 * driven),
        load=functools.partial(data.load, setting.data),
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {"W1": _w1, "W2": _w2, "W3": _w3, "W4": _w4}


def study(workload: Workload, dataset: Dataset, trials: int, lanes: int = 64) -> StudySpec:
    """The workload as a study of one arm with everything recorded."""
    run = RunSpec(num_seeds=trials, lanes=lanes)
    return resolve(StudySpec(workload.name, "", workload.setting, run), dataset)


def training_rows(workload: Workload, dataset: Dataset) -> tuple[jax.Array, jax.Array]:
    """The engine's own training rows, prepared, for the programs that it is compared with."""
    view = Study(study(workload, dataset, 1), dataset, Machine.here(1)).plan.view(0, 0)
    x = (dataset.x[view.train] - view.x_mean) * view.x_scale
    y = view.targets[view.train]
    if dataset.task == "regression":
        y = ((y - view.y_mean) * view.y_scale).astype(np.float32)
    return jax.numpy.asarray(x, jax.numpy.float32), jax.numpy.asarray(y)
