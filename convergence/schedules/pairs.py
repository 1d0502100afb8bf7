"""A user's own schedule on the command line: step:factor pairs."""

from __future__ import annotations

import numpy as np

from convergence.errors import UserError

Vector = np.ndarray


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


def by_hand(text: str, steps: int, steps_per_epoch: int) -> Vector:
    """float64[steps] of pairs ``step:factor,…``: from each step on that factor, before them 1.

    Raises:
        UserError: a pair that is malformed or does not come later than the one before.
    """
    factors, last = np.ones(steps), -1
    for piece in text.split(","):
        step, factor = _pair(piece, steps_per_epoch)
        if step <= last:
            raise UserError(f"{piece!r} must come at a later step than {last}.", "schedule")
        factors[step:] = factor
        last = step
    return factors
