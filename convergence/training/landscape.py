"""The training loss at points that no trial went through: on lines and planes between params.

A pure function of one lane; points are told by their place on the plane.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from convergence.training.probe import mean_loss
from convergence.training.program import Program
from convergence.training.state import Lane, Shared

Array = jax.Array
ROWS, PIECE = 512, 64


def flat(program: Program, held: Any) -> Array:
    """float32[params]: a trial's params (as its state holds them) as one vector."""
    vector: Array = ravel_pytree(program.algorithm.packing.unpack(held))[0]
    return vector


def losses_at(
    program: Program,
    lane: Lane,
    shared: Shared,
    model_state: Any,
    origin: Array,
    directions: Array,
    places: Array,
) -> Array:
    """float32[points]: the mean training loss at ``origin + places @ directions``.

    Of the trial's first `ROWS` training rows (over again where there are fewer), in pieces of
    `PIECE`: a model with batch normalisation takes its statistics from a piece.

    Args:
        model_state: of some trial; its running statistics are not used (`probe.mean_loss`).
        origin: float32[params], as `flat` gives them.
        directions: float32[axes, params].
        places: float32[points, axes].
    """
    form = program.algorithm.model.form(program.shape)[0]
    template = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), form)
    unravel = ravel_pytree(template)[1]
    index = jnp.arange(ROWS, dtype=jnp.int32) % jnp.maximum(lane.train_count, 1)
    rows = jnp.asarray(lane.rows)[index].reshape(-1, PIECE)

    def at(place: Array) -> Array:
        params = unravel(origin + place @ directions)
        told = jax.lax.map(
            lambda some: mean_loss(program, lane, shared, params, model_state, some), rows
        )
        return jnp.mean(told)

    losses: Array = jax.lax.map(at, places)
    return losses
