"""What a suggested rate costs: the share of the best descent that is lost by it."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder.runs import Array


def lost(rates: Array, losses: Array, start: float, suggested: Array) -> Array:
    """The share of the best descent that each suggestion loses.

    Losses between the rates are read off straight lines through the logarithm of the rate. Below
    the lowest rate nothing is taken to be learned; what diverges, or ends above its start, loses
    all of the descent, and so does no suggestion.

    Args:
        rates: [rates], ascending.
        losses: [rates] losses over a run (of a population: a mean over seeds), infinite where they
            diverge.
        start: loss before training.
        suggested: rates, NaN where a rule made no suggestion.

    Returns:
        from 0, as good as the best rate, to 1; of the shape of `suggested`.
    """
    capped = np.minimum(np.where(np.isfinite(losses), losses, np.inf), start)
    best = capped.min()
    if not start > best:
        return np.full(np.shape(suggested), np.nan)
    x = np.log(rates)
    at = np.log(np.where(np.isnan(suggested), rates[0], suggested))
    found = np.interp(at, x, capped, right=start)
    nothing = x[0] - np.log(1000.0)  # a rate a thousand times lower moves nothing
    below = np.interp(at, [nothing, x[0]], [start, capped[0]])
    found = np.where(at < x[0], below, found)
    return np.where(np.isnan(suggested), 1.0, (found - best) / (start - best))


def left_out(rates: Array, losses: Array, starts: Array, suggested: Array) -> Array:
    """[seeds] what each seed's suggestion loses on all the other seeds.

    Args:
        losses: [seeds, rates], infinite where a run diverged.
        starts: [seeds] losses before training.
        suggested: [seeds].
    """
    seeds = len(losses)
    found = np.empty(seeds)
    capped = np.minimum(losses, starts[:, None])
    for seed in range(seeds):
        others = np.arange(seeds) != seed if seeds > 1 else np.ones(1, bool)
        mean, start = capped[others].mean(axis=0), float(starts[others].mean())
        found[seed] = lost(rates, mean, start, suggested[seed : seed + 1])[0]
    return found
