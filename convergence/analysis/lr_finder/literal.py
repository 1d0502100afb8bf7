"""The rule as people tell it: raise the rate over short runs until they diverge, then step back."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder.runs import Array, Runs

NOT_FINITE, FOURFOLD, ENDS_HIGHER = "not finite", "4 × start", "ends above start"
CRITERIA = (NOT_FINITE, FOURFOLD, ENDS_HIGHER)
TIMES = 4.0


def diverged(runs: Runs, criterion: str) -> Array:
    """bool[seeds, rates]: whether each run diverged, by one of `CRITERIA`.

    ``4 × start`` asks whether any step's loss was above four times the first one's, which means
    nothing of losses that are not positive: there, only runs that are not finite diverge.
    """
    last = runs.length
    broken = ((runs.bad >= 0) & (runs.bad < last)) | ~np.isfinite(runs.loss).all(axis=-1)
    if criterion == NOT_FINITE:
        return broken
    if criterion == FOURFOLD:
        start = runs.starts[:, None]
        with np.errstate(invalid="ignore"):
            high = np.where(np.isnan(runs.loss), np.inf, runs.loss).max(axis=-1) > TIMES * start
        return broken | (high & (start > 0))
    if criterion == ENDS_HIGHER:
        return broken | runs.diverged()
    raise ValueError(f"a criterion is one of {CRITERIA}, got {criterion!r}")


def suggestions(runs: Runs, notch: float, back: int, criterion: str) -> Array:
    """[seeds] the rate that the rule suggests each seed, of its own runs alone.

    Args:
        runs: at ascending rates; those nearest to powers of the notch from the lowest on are used.
        notch: factor from one rate to the next.
        back: notches to step back from the first rate that diverges.
        criterion: of divergence, one of `CRITERIA`.

    Returns:
        NaN where no rate diverged, or there is no rate so many notches below.
    """
    octaves = np.log(runs.rates / runs.rates[0]) / np.log(notch)
    places = np.unique(
        [int(np.abs(octaves - k).argmin()) for k in range(int(octaves[-1] + 1e-6) + 1)]
    )
    found = diverged(runs, criterion)[:, places]
    first = found.argmax(axis=1) - back
    there = found.any(axis=1) & (first >= 0)
    return np.where(there, runs.rates[places][np.maximum(first, 0)], np.nan)
