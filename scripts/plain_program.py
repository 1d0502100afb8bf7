"""The plain program: what a JAX user writes by hand for many seeds of one small network.

No engine, no recording: params as a list of arrays, one optimiser from optax, one `lax.map` over
the trials of each device. It is the yardstick for the engine's accuracy (they must agree) and its
speed (the engine may cost little more). Run alone it prints test accuracies on digits:

    python scripts/plain_program.py --splits=2 --seeds=3
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

Array = jax.Array
Params = list[tuple[Array, ...]]
TRUNCATED = 0.87962566  # SD of a standard normal cut at two SDs


class Net(NamedTuple):
    """A network as two functions."""

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array], Array]


def _kernel(key: Array, *shape: int) -> Array:
    """LeCun-normal (truncated): variance 1 / fan-in."""
    fan = int(np.prod(shape[:-1]))
    spread = jnp.float32(fan**-0.5 / TRUNCATED)
    return spread * jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)


def _dense(key: Array, before: int, after: int) -> tuple[Array, Array]:
    return _kernel(key, before, after), jnp.zeros((after,), jnp.float32)


def mlp(widths: Sequence[int]) -> Net:
    """A ReLU MLP with biases; widths from the inputs to the outputs."""

    def init(key: Array) -> Params:
        keys = jax.random.split(key, len(widths) - 1)
        return [_dense(sub, *pair) for sub, pair in zip(keys, itertools.pairwise(widths))]

    def apply(params: Params, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = params[-1]
        return x @ kernel + bias

    return Net(init, apply)


def cnn(side: int, channels: Sequence[int], outputs: int) -> Net:
    """3×3 convolutions on side×side images, the first of stride 1, the rest of 2, then one layer.

    Each as one product over patches: inside a loop XLA's own convolution is many times slower on
    CPU.
    """
    strides = [1, *[2] * (len(channels) - 1)]

    def init(key: Array) -> Params:
        *keys, last = jax.random.split(key, len(channels) + 1)
        params, before, size = [], 1, side
        for sub, width, stride in zip(keys, channels, strides):
            kernel = _kernel(sub, 3, 3, before, width).reshape(9 * before, width)
            params.append((kernel, jnp.zeros((width,), jnp.float32)))
            before, size = width, -(-size // stride)
        return [*params, _dense(last, size * size * before, outputs)]

    def windows(x: Array, stride: int) -> Array:
        size = x.shape[1]
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        pieces = [
            padded[:, i : i + size : stride, j : j + size : stride]
            for i, j in itertools.product(range(3), range(3))
        ]
        return jnp.concatenate(pieces, axis=-1)

    def apply(params: Params, x: Array) -> Array:
        x = x.reshape(x.shape[0], side, side, 1)
        for (kernel, bias), stride in zip(params[:-1], strides):
            x = jax.nn.relu(windows(x, stride) @ kernel + bias)
        kernel, bias = params[-1]
        return x.reshape(x.shape[0], -1) @ kernel + bias

    return Net(init, apply)


def gru(width: int, outputs: int) -> Net:
    """A gated recurrent layer over a series of numbers (gates reset, update, new), then one layer.

    The products with the inputs are taken out of the loop over the series.
    """

    def init(key: Array) -> Params:
        inputs, hidden, last = jax.random.split(key, 3)
        squares = [
            jax.nn.initializers.orthogonal()(sub, (width, width), jnp.float32)
            for sub in jax.random.split(hidden, 3)
        ]
        zeros = jnp.zeros((width,), jnp.float32)
        cell = (_kernel(inputs, 1, 3 * width), jnp.concatenate(squares, 1), jnp.tile(zeros, 3))
        return [(*cell, zeros), _dense(last, width, outputs)]

    def apply(params: Params, x: Array) -> Array:
        kernel, recurrent, bias, new_bias = params[0]
        drive = jnp.swapaxes(x[:, :, None] @ kernel + bias, 0, 1)

        def step(h: Array, d: Array) -> tuple[Array, None]:
            product = h @ recurrent
            gates = jax.nn.sigmoid(d[:, : 2 * width] + product[:, : 2 * width])
            reset, update = gates[:, :width], gates[:, width:]
            new = jnp.tanh(d[:, 2 * width :] + reset * (product[:, 2 * width :] + new_bias))
            return (1 - update) * new + update * h, None

        h, _ = jax.lax.scan(step, jnp.zeros((x.shape[0], width), jnp.float32), drive)
        kernel, bias = params[1]
        return h @ kernel + bias

    return Net(init, apply)


def cross_entropy(outputs: Array, y: Array) -> Array:
    """Mean cross-entropy of logits."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()


def huber(outputs: Array, y: Array) -> Array:
    """Mean Huber loss of one output."""
    return optax.huber_loss(outputs[:, 0], y, delta=1.0).mean()


class Recipe(NamedTuple):
    """What is trained and how."""

    net: Net
    loss: Callable[[Array, Array], Array]
    optimizer: optax.GradientTransformation
    steps: int
    batch: int


def train_one(key: Array, x: Array, y: Array, recipe: Recipe) -> Params:
    """One trial; a fresh permutation each epoch, the rest of it dropped."""
    first, order = jax.random.split(key)
    params = recipe.net.init(first)
    per_epoch = x.shape[0] // recipe.batch

    def objective(params: Params, x: Array, y: Array) -> Array:
        return recipe.loss(recipe.net.apply(params, x), y)

    def body(carry: Any, step: Array) -> tuple[Any, None]:
        params, state, places = carry
        places = jax.lax.cond(
            step % per_epoch == 0,
            lambda: jax.random.permutation(jax.random.fold_in(order, step), x.shape[0]),
            lambda: places,
        )
        rows = jax.lax.dynamic_slice(places, ((step % per_epoch) * recipe.batch,), (recipe.batch,))
        grads = jax.grad(objective)(params, x[rows], y[rows])
        updates, state = recipe.optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state, places), None

    start = (params, recipe.optimizer.init(params), jnp.arange(x.shape[0]))
    (params, _, _), _ = jax.lax.scan(body, start, jnp.arange(recipe.steps))
    return params


def population(x: Array, y: Array, recipe: Recipe) -> Callable[[Array], Params]:
    """A compiled function from keys [trials] (a multiple of the devices) to trained params."""
    mesh = Mesh(np.array(jax.devices()), ("trials",))
    mapped = jax.lax.map if jax.default_backend() == "cpu" else lambda f, keys: jax.vmap(f)(keys)

    def some(keys: Array, x: Array, y: Array) -> Params:
        return mapped(lambda key: train_one(key, x, y, recipe), keys)

    sharded = jax.jit(
        jax.shard_map(
            some,
            mesh=mesh,
            in_specs=(PartitionSpec("trials"), PartitionSpec(), PartitionSpec()),
            out_specs=PartitionSpec("trials"),
            check_vma=False,
        )
    )
    return lambda keys: sharded(keys, x, y)


def accuracies(data: Sequence[np.ndarray], seeds: Sequence[int], salt: int = 0) -> np.ndarray:
    """float64[seeds] test accuracy of MLP 64-128-128-10, Adam 1e-3, batch 64, 1,100 steps.

    Args:
        data: training inputs and classes, test inputs and classes, in raw units.
        seeds: one trial each.
        salt: folded into every key.
    """
    x, y, x_test, y_test = data
    spread = x.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    x, x_test = (x - x.mean(axis=0)) / scale, (x_test - x.mean(axis=0)) / scale
    net = mlp((64, 128, 128, 10))
    recipe = Recipe(net, cross_entropy, optax.adam(1e-3), 1100, 64)
    train = population(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32), recipe)
    padded = [*seeds, *[0] * (-len(seeds) % len(jax.devices()))]
    root = jax.random.key(salt)
    keys = jnp.stack([jax.random.fold_in(root, seed) for seed in padded])
    params = train(keys)
    outputs = jax.vmap(lambda p: net.apply(p, jnp.asarray(x_test, jnp.float32)))(params)
    return np.asarray((outputs.argmax(-1) == y_test).mean(-1), np.float64)[: len(seeds)]


def digits_accuracies(splits: int, seeds: int) -> np.ndarray:
    """float64[splits, seeds] test accuracy on digits, stratified 80/20 splits of scikit-learn's."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data, target = load_digits(return_X_y=True)
    table = np.zeros((splits, seeds))
    for split in range(splits):
        x, x_test, y, y_test = train_test_split(
            data, target, test_size=0.2, stratify=target, random_state=split
        )
        table[split] = accuracies((x, y, x_test, y_test), range(seeds), split)
    return table


def main() -> None:
    """Prints the accuracies of the reference task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--splits", type=int, default=2, help="outer splits")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each split")
    flags = parser.parse_args()
    table = digits_accuracies(flags.splits, flags.seeds)
    for split, row in enumerate(table):
        print(f"split {split}: " + "  ".join(f"{value:.4f}" for value in row))
    print(f"mean {table.mean():.4f}")


if __name__ == "__main__":
    main()
