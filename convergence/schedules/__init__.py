"""A schedule is a vector: the multiplier of the peak learning rate at each step.

Vectors are made on the host in float64 and rounded once, so that they do not depend on the device;
the tests compare them with optax where it has the same schedule. Progress p of a schedule over n
steps is ``t / n`` at step t: a decay to 0 would arrive one step after the last, and no step is
spent at a rate of 0. Warm-up rises linearly to the schedule's first value over the first steps,
never starting at 0, and the schedule runs over the others.

A user's own is given as pairs (`pairs`), a CSV file (`ratefile`) or a function (`function`); these
speak of the run's steps, of which a warm-up replaces the first.
"""

from __future__ import annotations

import numpy as np

from convergence import names, ratefile
from convergence.errors import UserError
from convergence.schedules.function import of_function
from convergence.schedules.pairs import by_hand
from convergence.schedules.plateau import (
    PLATEAU_WINDOW,
    PlateauState,
    plateau_add,
    plateau_close,
    plateau_course,
    plateau_init,
)
from convergence.schedules.shapes import BY_PROGRESS, named
from convergence.userfile import file_of

__all__ = [
    "BY_PROGRESS",
    "PLATEAU_WINDOW",
    "PlateauState",
    "plateau_add",
    "plateau_close",
    "plateau_course",
    "plateau_init",
    "shape",
]


def shape(text: str, steps: int, *, warmup: int = 0, steps_per_epoch: int = 0) -> np.ndarray:
    """The schedule that a text names as a vector of multipliers of the peak rate.

    Args:
        text: one of

            * a name of `names.SCHEDULES`, some with a number: ``cosine_restarts:4`` and
              ``triangular:4`` (cycles), ``exponential:0.001`` (last factor), ``time_based:20`` (k
              of 1/(1 + k p)), ``polynomial:3`` (degree), ``one_cycle:0.4`` (share before the
              peak), ``wsd:0.3`` (share of the descent), ``inverse_sqrt:400`` (steps),
              ``drop:500*0.5`` (every 500 steps half) and ``drop:10e*0.1`` (every 10 epochs);
            * pairs ``step:factor,step:factor``: from that step of the run on, that factor
              (absolute, not cumulative; 1 before the first pair); ``10e`` counts epochs;
            * ``path/to/rates.csv``, as `ratefile` has it;
            * ``path/to/file.py:function``, as `function.of_function` has it.
        steps: steps of the run.
        warmup: first steps, in which the factor rises linearly to the schedule's first value.
        steps_per_epoch: for what counts epochs.

    Returns:
        float32 ``[steps]``, in [0, 1] for the named schedules; empty for 0 steps.

    Raises:
        UserError: unknown name, malformed pair, file or function, or a warm-up that leaves no step
            after it.
    """
    if steps and warmup >= steps:
        raise UserError(f"{warmup} steps leave none of the {steps} after them.", "warmup")
    if ratefile.is_named_by(text):
        whole = ratefile.read(text).factors(steps, steps_per_epoch)
    elif file_of(text):
        whole = of_function(text, steps)
    elif ":" in text and text.partition(":")[0] not in names.SCHEDULES and not text[0].isalpha():
        whole = by_hand(text, steps, steps_per_epoch)
    else:
        whole = None
    if whole is None:
        body = named(text, steps, warmup, steps_per_epoch)
    else:
        body = whole[min(warmup, steps) :]
    if not steps:
        return np.zeros(0, np.float32)
    rise = body[0] * np.arange(1, warmup + 1) / (warmup + 1)
    return np.concatenate([rise, body]).astype(np.float32)
