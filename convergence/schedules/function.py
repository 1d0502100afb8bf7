"""A user's own schedule as a function: its values, checked, on the host."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from convergence.errors import UserError
from convergence.ratefile import LARGEST_VALUE
from convergence.userfile import load_attribute, split_reference, told

Vector = np.ndarray


def _takes_length(function: Callable[..., Any]) -> bool:
    """Whether it wants the number of steps too; optax's schedules take the step alone."""
    try:
        inspect.signature(function).bind(0, 1)
    except TypeError:
        return False
    except ValueError:  # of C code: no signature is known
        return True
    return True


def _values(function: Callable[..., Any], steps: int) -> Vector:
    """Its values at all steps at once or, for one that takes a single step, step by step."""
    rest = (steps,) if _takes_length(function) else ()
    with jax.numpy_dtype_promotion("standard"):
        try:
            values = np.asarray(function(np.arange(steps, dtype=np.int32), *rest), np.float64)
        except Exception:  # such as `if step > 100`, which an array does not answer
            values = np.array([float(function(step, *rest)) for step in range(steps)])
    return np.full(steps, values) if values.ndim == 0 else values


def of_function(reference: str, steps: int) -> Vector:
    """float64[steps]: the factors of ``path/to/file.py:function`` over the steps of the run.

    The function is ``function(step, steps)`` or ``function(step)`` (an optax schedule), where step
    is an array of all steps from 0; one that only takes a single step is called step by step. It
    is called twice: a schedule is the same whenever the study is run again.

    Raises:
        UserError: no such file or function, an error inside, values that are negative, not finite
            or of another length, or that differ from one call to the next.
    """
    path, name = split_reference(reference, "schedule")
    function = load_attribute(reference, "schedule")
    if not callable(function):
        raise UserError(f"{name} in {path.name} is not a function of the step.", "schedule")
    if not steps:
        return np.zeros(0)
    try:
        first, second = _values(function, steps), _values(function, steps)
    except Exception as error:
        raise UserError(f"{name} failed in {told(error, path)}", "schedule") from error
    where = f"{name} in {path.name}"
    if first.shape != (steps,):
        raise UserError(
            f"{where} gives values of shape {first.shape} for {steps} steps; give one a step.",
            "schedule",
        )
    wrong = np.flatnonzero(~((first >= 0) & (first <= LARGEST_VALUE)))
    if len(wrong):
        step = int(wrong[0])
        raise UserError(
            f"{where} gives {first[step]:g} at step {step}; a factor is a number from 0 to 3.4e38.",
            "schedule",
        )
    if not np.array_equal(first, second):
        raise UserError(
            f"{where} gives other values when it is called again; seed what it draws.", "schedule"
        )
    return first
