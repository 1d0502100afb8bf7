"""A schedule is a vector: the multiplier of the peak learning rate at each step.

Vectors are made on the host in float64 and rounded once, so that they do not depend on the device;
the tests compare them with optax where it has the same schedule. Progress p of a schedule over n
steps is ``t / n`` at step t: a decay to 0 would arrive one step after the last, and no step is
spent at a rate of 0. Warm-up rises linearly to the schedule's first value over the first steps,
never starting at 0, and the schedule runs over the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from convergence import names
from convergence.errors import UserError, unknown_name

Array = jax.Array
Vector = np.ndarray

CYCLES = 3  # of cosine_restarts and triangular
FLOOR = 0.01  # where exponential ends
TIME_DECAY = 9.0  # time_based ends at 1 / (1 + 9) = a tenth
DROPS = ((0.5, 0.1), (0.75, 0.01))  # drop: from this progress on, this factor
TRIANGLE_LOW = 0.1  # triangular swings between a tenth and 1
COOLDOWN = 0.2  # share of wsd's steps in its final descent
ONE_CYCLE_RISE, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 1 / 25, 1 / 25e4


def _constant(p: Vector) -> Vector:
    return np.ones_like(p)


def _linear(p: Vector) -> Vector:
    return 1.0 - p


def _cosine(p: Vector) -> Vector:
    return 0.5 * (1.0 + np.cos(np.pi * p))


def _cosine_restarts(p: Vector) -> Vector:
    return _cosine(p * CYCLES % 1.0)


def _exponential(p: Vector) -> Vector:
    return FLOOR**p


def _time_based(p: Vector) -> Vector:
    return 1.0 / (1.0 + TIME_DECAY * p)


def _drop(p: Vector) -> Vector:
    factors = np.ones_like(p)
    for start, factor in DROPS:
        factors[p >= start] = factor
    return factors


def _polynomial(p: Vector) -> Vector:
    return np.square(1.0 - p)


def _one_cycle(p: Vector) -> Vector:
    rise = p < ONE_CYCLE_RISE
    up = _cosine(p / ONE_CYCLE_RISE)  # from 1 down to 0
    down = _cosine((p - ONE_CYCLE_RISE) / (1.0 - ONE_CYCLE_RISE))
    return np.where(
        rise,
        1.0 - (1.0 - ONE_CYCLE_START) * up,
        ONE_CYCLE_END + (1.0 - ONE_CYCLE_END) * down,
    )


def _triangular(p: Vector) -> Vector:
    height = 1.0 - np.abs(2.0 * (p * CYCLES % 1.0) - 1.0)
    return TRIANGLE_LOW + (1.0 - TRIANGLE_LOW) * height


def _wsd(p: Vector) -> Vector:
    return np.minimum(1.0, (1.0 - p) / COOLDOWN)


# Each maps progress in [0, 1) to a factor in [0, 1]. inverse_sqrt alone needs the step count of
# the warm-up and is made in `shape`.
BY_PROGRESS: dict[str, Callable[[Vector], Vector]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,  # Loshchilov & Hutter, 2017, eq. 5 without restarts
    "cosine_restarts": _cosine_restarts,  # the same, three cycles of equal length
    "exponential": _exponential,
    "time_based": _time_based,
    "drop": _drop,  # at half and three quarters, as in He et al., 2016, for CIFAR-10
    "polynomial": _polynomial,  # of degree 2
    "one_cycle": _one_cycle,  # Smith & Topin, 2018, with cosine flanks
    "triangular": _triangular,  # Smith, 2017
    "wsd": _wsd,  # warm-up, stable, decay: Hu et al., 2024; linear over the last fifth
    "plateau": _constant,  # `plateau_close` lowers the rate as it runs
}


def _inverse_sqrt(steps: int, warmup: int) -> Vector:
    """``sqrt(s / (s + t))``, s the warm-up's length or a twentieth of the steps (Vaswani, 2017)."""
    scale = float(warmup) if warmup else max(1.0, steps / 20)
    return np.sqrt(scale / (scale + np.arange(steps)))


def _pair(text: str, steps_per_epoch: int) -> tuple[int, float]:
    step_text, _, factor_text = text.partition(":")
    epochs = step_text.strip().endswith("e")
    try:
        step, factor = int(step_text.strip().removesuffix("e")), float(factor_text)
    except ValueError:
        raise UserError(
            f"{text!r} is not a pair step:factor such as 500:0.1.", "schedule"
        ) from None
    if step < 0 or not np.isfinite(factor) or factor < 0:
        raise UserError(f"{text!r} needs a step and a factor that are 0 or more.", "schedule")
    if epochs and steps_per_epoch <= 0:
        raise UserError(f"{text!r} counts epochs, whose length is not known here.", "schedule")
    return step * (steps_per_epoch if epochs else 1), factor


def _by_hand(text: str, steps: int, steps_per_epoch: int) -> Vector:
    factors, last = np.ones(steps), -1
    for piece in text.split(","):
        step, factor = _pair(piece, steps_per_epoch)
        if step <= last:
            raise UserError(f"{piece!r} must come at a later step than {last}.", "schedule")
        factors[step:] = factor
        last = step
    return factors


def shape(name: str, steps: int, *, warmup: int = 0, steps_per_epoch: int = 0) -> np.ndarray:
    """The schedule of a name as a vector of multipliers of the peak rate.

    Args:
        name: one of `names.SCHEDULES`, or a user's own piecewise-constant one as pairs
            ``step:factor,step:factor``: from that step of the run on, that factor (absolute, not
            cumulative; 1 before the first pair). ``10e`` counts epochs instead of steps.
        steps: steps of the run.
        warmup: first steps, in which the factor rises linearly to the schedule's first value.
        steps_per_epoch: for pairs in epochs.

    Returns:
        float32 ``[steps]``, in [0, 1] for the named schedules; empty for 0 steps.

    Raises:
        UserError: unknown name, malformed pair, or a warm-up that leaves no step after it.
    """
    by_hand = ":" in name
    if not by_hand and name not in names.SCHEDULES:
        raise unknown_name(name, names.SCHEDULES, "schedule", "schedule")
    if steps and warmup >= steps:
        raise UserError(f"{warmup} steps leave none of the {steps} after them.", "warmup")
    length = max(0, steps - warmup)
    if by_hand:  # steps are the run's, so that 500:.1 means step 500 with and without warm-up
        body = _by_hand(name, steps, steps_per_epoch)[min(warmup, steps) :]
    elif name == "inverse_sqrt":
        body = _inverse_sqrt(length, warmup)
    else:
        body = BY_PROGRESS[name](np.arange(length) / max(1, length))
    if not steps:
        return np.zeros(0, np.float32)
    rise = body[0] * np.arange(1, warmup + 1) / (warmup + 1)
    return np.concatenate([rise, body]).astype(np.float32)


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
