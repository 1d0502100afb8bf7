"""Reduce on plateau: a controller that lowers the rate as it runs, by the measured loss."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

PLATEAU_WINDOW = 50  # steps whose mean loss is compared with the best window's
PLATEAU_PATIENCE = 4  # windows without improvement before the rate is lowered
PLATEAU_FACTOR = 0.5
PLATEAU_THRESHOLD = 1e-4  # an improvement is at least this share of the best


class PlateauState(NamedTuple):
    """State of the reduce-on-plateau controller, five scalars.

    Attributes:
        active: float32, 1 for arms with this schedule, 0 for others.
        control: float32, multiplies the learning rate; stays 1 where inactive.
        total: float32, sum of the losses of the current window.
        best: float32, least mean loss of a window so far.
        stale: int32, windows since then.
    """

    active: Array
    control: Array
    total: Array
    best: Array
    stale: Array


def plateau_init(active: Array | float | bool) -> PlateauState:
    """The controller at the start of a run; ``active`` may be traced."""
    one, zero = jnp.ones((), jnp.float32), jnp.zeros((), jnp.float32)
    return PlateauState(
        jnp.asarray(active).astype(jnp.float32),
        one,
        zero,
        jnp.full((), jnp.inf, jnp.float32),
        jnp.zeros((), jnp.int32),
    )


def plateau_add(state: PlateauState, loss: Array) -> PlateauState:
    """The controller told one step's training loss (a scalar); an inactive one does not listen."""
    total = state.total + loss.astype(jnp.float32)
    return state._replace(total=jnp.where(state.active > 0.0, total, state.total))


def plateau_close(state: PlateauState, done: Array) -> PlateauState:
    """The controller after `done` steps (int32): where a window ends there, it is judged.

    Every 50 steps the window's mean loss is compared with the best so far; after 4 windows
    without an improvement of at least 1e-4 of it, the rate is halved. The cadence is of steps, so
    that neither evaluation nor segments move it. Elsewhere, and where it is inactive, the
    controller comes back unchanged.
    """
    mean = state.total / PLATEAU_WINDOW
    closes = (done % PLATEAU_WINDOW == 0) & (state.active > 0.0)
    # Written so that the first window, against a best of infinity, counts as an improvement.
    better = mean < jnp.where(
        jnp.isfinite(state.best),
        state.best - PLATEAU_THRESHOLD * jnp.abs(state.best),
        state.best,
    )
    stale = jnp.where(better, 0, state.stale + 1)
    lower = closes & (stale >= PLATEAU_PATIENCE)
    lowered = jnp.where(lower, PLATEAU_FACTOR, 1.0).astype(jnp.float32)
    return PlateauState(
        state.active,
        state.control * lowered,
        jnp.where(closes, jnp.zeros_like(state.total), state.total),
        jnp.where(closes & better, mean, state.best),
        jnp.where(closes, jnp.where(lower, 0, stale), state.stale),
    )


def plateau_course(losses: np.ndarray) -> np.ndarray:
    """The controller's factor at each step of a run whose losses are known, on the host.

    Follows `plateau_close` in float64; the last bits of a window's mean, and so a decision that
    hangs on them, may differ from the run's own.

    Args:
        losses: [steps] training losses, one a step.

    Returns:
        float64[steps + 1]: what the rate was multiplied by at each step, and after the last.
    """
    course = np.ones(len(losses) + 1)
    best, stale = np.inf, 0
    for end in range(PLATEAU_WINDOW, len(losses) + 1, PLATEAU_WINDOW):
        mean = float(losses[end - PLATEAU_WINDOW : end].mean())
        better = mean < (best - PLATEAU_THRESHOLD * abs(best) if np.isfinite(best) else best)
        best, stale = (mean, 0) if better else (best, stale + 1)
        if stale >= PLATEAU_PATIENCE:
            course[end:] *= PLATEAU_FACTOR
            stale = 0
    return course
