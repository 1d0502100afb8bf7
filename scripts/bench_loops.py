"""What people run today, for the benchmark: one trial at a time, a step at a time, from Python.

`flax_loop` follows Flax's own MNIST example (a jitted step, a permutation an epoch, batches
indexed on the way). `torch_loop` and `keras_fit` are the same tasks where those happen to be
installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import plain_program
from bench_workloads import SIDE, Workload
from flax import linen as nn
from flax.training.train_state import TrainState

Run = Callable[[int], None]  # trains one trial of this seed to its end


def _linen(workload: Workload) -> Any:
    outputs = 1 if workload.setting.train.loss == "huber" else 10
    hidden = workload.setting.model.hidden

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            if workload.setting.model.model == "cnn":
                x = x.reshape(-1, SIDE, SIDE, 1)
                for index, width in enumerate(hidden):
                    x = nn.relu(nn.Conv(width, (3, 3), strides=1 if index == 0 else 2)(x))
                x = x.reshape(x.shape[0], -1)
            elif workload.setting.model.model == "gru":
                states: Any = nn.RNN(nn.GRUCell(hidden[0]))(x[:, :, None])
                x = states[:, -1]
            else:
                for width in hidden:
                    x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(outputs)(x)

    return Model()


def flax_loop(workload: Workload, x: jax.Array, y: jax.Array) -> Run:
    """The usual Flax loop."""
    model, recipe = _linen(workload), workload.recipe

    @jax.jit
    def train_step(state: TrainState, x: jax.Array, y: jax.Array) -> tuple[TrainState, jax.Array]:
        def objective(params: Any) -> jax.Array:
            return recipe.loss(state.apply_fn({"params": params}, x), y)

        loss, grads = jax.value_and_grad(objective)(state.params)
        return state.apply_gradients(grads=grads), loss

    def run(seed: int) -> None:
        key = jax.random.key(seed)
        params = model.init(key, x[:1])["params"]
        state = TrainState.create(apply_fn=model.apply, params=params, tx=workload.optimizer)
        per_epoch = len(x) // recipe.batch
        losses = []
        for step in range(recipe.steps):
            place = step % per_epoch
            if place == 0:
                order = jax.random.permutation(jax.random.fold_in(key, step), len(x))
                order = order[: per_epoch * recipe.batch].reshape(per_epoch, -1)
            rows = order[place]
            state, loss = train_step(state, x[rows], y[rows])
            losses.append(loss)
        jax.block_until_ready((state, losses))

    return run


def _torch_net(workload: Workload, torch: Any) -> Any:
    hidden, outputs = workload.setting.model.hidden, 10
    if workload.setting.model.model == "cnn":
        half, (first, second) = SIDE // 2, hidden
        return torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, SIDE, SIDE)),
            torch.nn.Conv2d(1, first, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(first, second, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(second * half * half, outputs),
        )
    if workload.setting.model.model == "gru":

        class Recurrent(torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.cell = torch.nn.GRU(1, hidden[0], batch_first=True)
                self.out = torch.nn.Linear(hidden[0], outputs)

            def forward(self, x: Any) -> Any:
                return self.out(self.cell(x[:, :, None])[0][:, -1])

        return Recurrent()
    outputs = 1 if workload.setting.train.loss == "huber" else 10
    features = 16 if outputs == 1 else 64
    layers: list[Any] = []
    for before, after in zip((features, *hidden), hidden):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(hidden[-1], outputs))


def torch_loop(workload: Workload, x: jax.Array, y: jax.Array) -> Run:
    """The usual PyTorch loop on CPU.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch

    train, recipe = workload.setting.train, workload.recipe
    regression = recipe.loss is plain_program.huber
    rows_x = torch.from_numpy(np.array(x))
    rows_y = torch.from_numpy(np.array(y) if regression else np.array(y, np.int64))
    loss_of = torch.nn.HuberLoss() if regression else torch.nn.CrossEntropyLoss()

    def run(seed: int) -> None:
        torch.manual_seed(seed)
        net = _torch_net(workload, torch)
        if train.optimizer == "momentum":
            step = torch.optim.SGD(net.parameters(), train.learning_rate, momentum=0.9)
        else:
            step = torch.optim.Adam(net.parameters(), train.learning_rate)
        per_epoch = len(rows_x) // recipe.batch
        for index in range(recipe.steps):
            place = index % per_epoch
            if place == 0:
                order = torch.randperm(len(rows_x))
            rows = order[place * recipe.batch : (place + 1) * recipe.batch]
            step.zero_grad()
            outputs = net(rows_x[rows])
            loss_of(outputs[:, 0] if regression else outputs, rows_y[rows]).backward()
            step.step()

    return run


def keras_fit(workload: Workload, x: jax.Array, y: jax.Array) -> Run:
    """Keras' `fit` for the same number of steps.

    Raises:
        ImportError: Keras or its backend is not installed.
    """
    import keras

    train, recipe = workload.setting.train, workload.recipe
    regression = recipe.loss is plain_program.huber
    hidden, kind = workload.setting.model.hidden, workload.setting.model.model
    rows = len(x) // recipe.batch * recipe.batch
    inputs, targets = np.array(x)[:rows], np.array(y)[:rows]
    layers = keras.layers

    def net() -> Any:
        body: list[Any]
        if kind == "cnn":
            body = [layers.Reshape((SIDE, SIDE, 1))]
            for index, width in enumerate(hidden):
                stride = 1 if index == 0 else 2
                body += [layers.Conv2D(width, 3, stride, padding="same", activation="relu")]
            body += [layers.Flatten()]
        elif kind == "gru":
            body = [layers.Reshape((inputs.shape[1], 1)), layers.GRU(hidden[0])]
        else:
            body = [layers.Dense(width, activation="relu") for width in hidden]
        return keras.Sequential([*body, layers.Dense(1 if regression else 10)])

    def run(seed: int) -> None:
        keras.utils.set_random_seed(seed)
        model = net()
        loss = (
            keras.losses.Huber()
            if regression
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        rate = train.learning_rate
        chosen = (
            keras.optimizers.SGD(rate, momentum=0.9)
            if train.optimizer == "momentum"
            else keras.optimizers.Adam(rate)
        )
        model.compile(optimizer=chosen, loss=loss)
        per_epoch = rows // recipe.batch
        whole, rest = divmod(recipe.steps, per_epoch)
        model.fit(inputs, targets, batch_size=recipe.batch, epochs=whole, verbose=0)
        if rest:
            part = rest * recipe.batch
            model.fit(inputs[:part], targets[:part], batch_size=recipe.batch, verbose=0)

    return run


LOOPS: dict[str, Callable[[Workload, jax.Array, jax.Array], Run]] = {
    "flax": flax_loop,
    "torch": torch_loop,
    "keras": keras_fit,
}


def prepared(name: str, workload: Workload, x: Any, y: Any) -> Run | None:
    """A loop that has run two steps already, so that it is compiled; None if not installed."""
    try:
        LOOPS[name](workload.shortened(2), x, y)(0)
        run = LOOPS[name](workload, x, y)
    except ImportError:
        return None
    if name == "flax":
        run(0)  # its step is compiled with the whole run
    return run
