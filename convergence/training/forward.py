"""Trained models on new rows: the program that predicts at a trial's end, and nothing else of it.

`evaluation.predict` runs here as in `population.finish` – CHUNK rows at a time, a shard's models
one after another (mode ``map``) or side by side (``vmap``) at the study's width, compiled at the
same level – so that rows which a study has predicted get the same bits again.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from convergence.training import evaluation
from convergence.training.compiled import Compiled
from convergence.training.evaluation import CHUNK
from convergence.training.lanes import each
from convergence.training.population import SHARD
from convergence.training.program import Program
from convergence.training.state import Lane, Shared, Trained

SLAB = 32 * CHUNK  # rows on the device at once: one program for files of any length


class Forward:
    """The compiled forward pass of one program.

    Args:
        program: what was trained; its capacity must be `SLAB`.
        device: where it runs.
        mode: ``map`` or ``vmap``, as `population.Population`.
        lanes: models that run side by side (``vmap``).
    """

    def __init__(self, program: Program, device: jax.Device, mode: str, lanes: int) -> None:
        self.program = program
        self.device = device
        self.mode = mode
        self.width = SHARD if mode == "map" else lanes
        self._compiled = Compiled(self._outputs, once=True)

    def _outputs(
        self, lanes: Lane, shared: Shared, count: jax.Array, models: Trained, number: jax.Array
    ) -> jax.Array:
        rows = jax.numpy.arange(SLAB, dtype=np.int32)

        def one(lane: Lane, model: Trained) -> jax.Array:
            return evaluation.predict(self.program, lane, shared, model, rows, number)

        return each(self.mode, one, count, lanes, models)

    def __call__(
        self, models: Trained, x_mean: np.ndarray, x_scale: np.ndarray, x: np.ndarray
    ) -> np.ndarray:
        """float32[models, rows, outputs] in prepared units.

        Args:
            models: leaves [models, ...].
            x_mean, x_scale: float32[models, features], how each model's inputs are prepared.
            x: float32[rows, features] in raw units, NaN where missing.
        """
        count = len(x_mean)
        tables = []
        for first in range(0, count, self.width):
            mine = min(self.width, count - first)
            place = np.minimum(first + np.arange(self.width), count - 1)
            put = jax.tree.map(lambda a, k=place: np.asarray(a)[k], (models, x_mean, x_scale))
            model, mean, scale = jax.device_put(put, self.device)
            lanes = _empty(Lane)._replace(x_mean=mean, x_scale=scale)
            told = [
                self._slab(lanes, np.int32(mine), model, x[start : start + SLAB])[:mine]
                for start in range(0, len(x), SLAB)
            ]
            tables.append(np.concatenate(told, axis=1))
        return np.concatenate(tables)

    def _slab(self, lanes: Lane, count: np.int32, models: Trained, x: np.ndarray) -> np.ndarray:
        """float32[width, rows, outputs] of at most SLAB rows."""
        table = np.zeros((SLAB, x.shape[1]), np.float32)
        table[: len(x)] = x
        shared = _empty(Shared)._replace(x=table)
        given = jax.device_put((lanes, shared, count, models, np.int32(len(x))), self.device)
        out = self._compiled.on(self.device, given)(*given)
        return np.asarray(out)[:, : len(x)]


def _empty(kind: Any) -> Any:
    """A lane or shared arrays of which nothing is there: predicting reads little of them."""
    return kind(**dict.fromkeys(kind._fields))
