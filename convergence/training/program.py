"""What is compiled, and what it makes of rows: inputs and targets as model and loss see them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from convergence.randomness import wrap
from convergence.training.state import Lane, Shared
from convergence.training.step import Algorithm


class Initialiser(NamedTuple):
    """How kernels and the output bias are drawn; compiled apart from the steps."""

    init: str
    bias: str


class Program(NamedTuple):
    """An algorithm on data of one form: all that decides an executable's shape."""

    algorithm: Algorithm
    initialisers: tuple[Initialiser, ...]  # Lane.initialiser is an index into these
    task: str
    shape: tuple[int, ...]  # of one example
    missing: bool  # some inputs are missing
    noisy: bool  # some arm of the study adds input noise
    capacity: int  # length of the lists of rows (Lane.rows, …), a multiple of CHUNK


def prepared_inputs(
    program: Program, lane: Lane, shared: Shared, rows: jax.Array, noise: jax.Array
) -> jax.Array:
    """float32[n, *shape]: rows of the shared table, standardised as this lane's training rows.

    Noise of the given size is added where the program has any; a row's is the same at each visit.
    """
    x = (shared.x[rows] - lane.x_mean) * lane.x_scale
    if program.missing:
        x = jnp.where(jnp.isnan(x), jnp.float32(0), x)
    if program.noisy:
        key = wrap(lane.keys["corrupt"])

        def drawn(row: jax.Array) -> jax.Array:
            return jax.random.normal(jax.random.fold_in(key, row), x.shape[1:], jnp.float32)

        x = x + noise * jax.vmap(drawn)(rows.astype(jnp.uint32))
    return x.reshape(-1, *program.shape)


def prepared_targets(program: Program, lane: Lane, targets: jax.Array) -> jax.Array:
    """[n] targets as the loss sees them: classes, or standardised numbers."""
    if program.task == "classification":
        return targets
    return (targets - lane.y_mean) * lane.y_scale
