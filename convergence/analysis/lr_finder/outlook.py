"""Whether a range of rates holds an optimum, and where to look if it does not.

Losses are compared by their differences, never their ratios: they may be negative.
"""

from __future__ import annotations

import math

import numpy as np

from convergence.analysis.lr_finder.runs import Array, Runs

FOUND = "found"
NOT_FINITE = "not finite from the start"
FLAT = "flat"
FALLS = "falls at every rate"
DIVERGES = "diverges at every rate"
TOO_HIGH = "best at the lowest rate"
VERDICTS = (FOUND, NOT_FINITE, FLAT, FALLS, DIVERGES, TOO_HIGH)

FINE_BELOW, FINE_ABOVE, FINE_PER_OCTAVE = 2, 1, 4  # octaves about the coarse optimum, and places
CLEAR = 4.0  # standard errors of noise by which some rate must lower the loss
WIDER = 64.0  # times: by how much a range that does not do is widened


def best_place(runs: Runs) -> int:
    """The place of the least mean loss among rates at which no seed diverged."""
    losses = np.where(runs.diverged().any(axis=0), np.inf, runs.mean().mean(axis=0))
    return int(losses.argmin())


def verdict(coarse: Runs) -> str:
    """Whether the runs of a whole range of rates hold an optimum (`FOUND`), and if not, why not."""
    if not np.isfinite(coarse.loss[:, :, 0]).any():
        return NOT_FINITE
    if coarse.diverged().any(axis=0).all():
        return DIVERGES
    best = best_place(coarse)
    if best == 0:
        return TOO_HIGH if _clear(coarse, 1, 0) else FLAT
    if not _clear(coarse, 0, best):
        return FLAT
    return FALLS if best == len(coarse.rates) - 1 else FOUND


def _clear(runs: Runs, worse: int, better: int) -> bool:
    """Whether the loss at one rate (a place) is lower than at another by more than noise.

    Noise is what is left of the differences of the two rates' losses, step by step, without their
    trend: both see the same batches, so that most of the batches' noise goes, too.
    """
    apart = runs.loss[:, worse].astype(np.float64) - runs.loss[:, better]
    if not np.isfinite(apart).all():
        return True  # one of the two rates diverges
    noise = np.diff(apart, axis=-1).std(axis=-1) / math.sqrt(2)
    error = math.sqrt(float((noise**2).mean()) / apart.size)
    tiny = 1e-6 * float(np.abs(runs.starts).mean())
    return bool(apart.mean() > max(CLEAR * error, tiny))


def fine_rates(coarse: Runs) -> Array | None:
    """The rates of the second search: about the optimum of the first, four an octave.

    None where the first has none inside its range (see `verdict`).
    """
    if verdict(coarse) != FOUND:
        return None
    steps = np.arange(-FINE_BELOW * FINE_PER_OCTAVE, FINE_ABOVE * FINE_PER_OCTAVE + 1)
    rates: Array = coarse.rates[best_place(coarse)] * 2.0 ** (steps / FINE_PER_OCTAVE)
    return rates


def helpful(told: str, rates: Array) -> tuple[float, float] | None:
    """A range of rates that may hold what this one lacks."""
    low, high = float(rates[0]), float(rates[-1])
    return {
        FALLS: (low, high * WIDER),
        DIVERGES: (low / WIDER, high),
        TOO_HIGH: (low / WIDER, high),
        FLAT: (low / WIDER, high * WIDER),
    }.get(told)
