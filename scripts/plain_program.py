"""The plain program: what a JAX user writes by hand for many seeds of one small MLP.

No engine, no recording: params as a list of pairs, Adam from optax, one `lax.map` over the trials
of each device. It is the yardstick for the engine's accuracy (they must agree) and its speed (the
engine may cost little more). Run alone it prints test accuracies on digits:

    python scripts/plain_program.py --splits=2 --seeds=3
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

Array = jax.Array


def initial(key: Array, widths: Sequence[int]) -> list[tuple[Array, Array]]:
    """LeCun-normal (truncated) kernels and zero biases."""
    layers = []
    for sub, before, after in zip(jax.random.split(key, len(widths)), widths, widths[1:]):
        spread = jnp.float32((1 / before) ** 0.5 / 0.87962566)
        kernel = spread * jax.random.truncated_normal(sub, -2.0, 2.0, (before, after), jnp.float32)
        layers.append((kernel, jnp.zeros((after,), jnp.float32)))
    return layers


def forward(params: list[tuple[Array, Array]], x: Array) -> Array:
    """Logits of a ReLU MLP."""
    for kernel, bias in params[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    kernel, bias = params[-1]
    return x @ kernel + bias


def train_one(
    key: Array, x: Array, y: Array, widths: Sequence[int], steps: int, batch: int, rate: float
) -> list[tuple[Array, Array]]:
    """Adam on the mean cross-entropy; a fresh permutation each epoch, the rest of it dropped."""
    optimizer = optax.adam(rate)
    first, order = jax.random.split(key)
    params = initial(first, widths)
    per_epoch = x.shape[0] // batch

    def objective(params: Any, x: Array, y: Array) -> Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y)
        return losses.mean()

    def body(carry: Any, step: Array) -> tuple[Any, None]:
        params, state, places = carry
        places = jax.lax.cond(
            step % per_epoch == 0,
            lambda: jax.random.permutation(jax.random.fold_in(order, step), x.shape[0]),
            lambda: places,
        )
        rows = jax.lax.dynamic_slice(places, ((step % per_epoch) * batch,), (batch,))
        grads = jax.grad(objective)(params, x[rows], y[rows])
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state, places), None

    start = (params, optimizer.init(params), jnp.arange(x.shape[0]))
    (params, _, _), _ = jax.lax.scan(body, start, jnp.arange(steps))
    return params


def population(
    x: Array, y: Array, widths: Sequence[int], steps: int, batch: int, rate: float
) -> Callable[[Array], Any]:
    """A compiled function from keys [trials] (a multiple of the devices) to trained params."""
    mesh = Mesh(np.array(jax.devices()), ("trials",))

    def some(keys: Array, x: Array, y: Array) -> Any:
        return jax.lax.map(lambda key: train_one(key, x, y, widths, steps, batch, rate), keys)

    mapped = jax.jit(
        jax.shard_map(
            some,
            mesh=mesh,
            in_specs=(PartitionSpec("trials"), PartitionSpec(), PartitionSpec()),
            out_specs=PartitionSpec("trials"),
            check_vma=False,
        )
    )
    return lambda keys: mapped(keys, x, y)


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
    train = population(
        jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32), (64, 128, 128, 10), 1100, 64, 1e-3
    )
    padded = [*seeds, *[0] * (-len(seeds) % len(jax.devices()))]
    root = jax.random.key(salt)
    keys = jnp.stack([jax.random.fold_in(root, seed) for seed in padded])
    params = train(keys)
    outputs = jax.vmap(lambda p: forward(p, jnp.asarray(x_test, jnp.float32)))(params)
    return np.asarray((outputs.argmax(-1) == y_test).mean(-1), np.float64)[: len(seeds)]


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
