"""The rate at which a loss is least, from noisy losses at many rates."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder.runs import Array, Runs

REACH = 1.25  # octaves about the least point that the fit looks at
FAR = 0.3  # of the best descent: points this far above the least say nothing about its place
DENSE = 64  # places an octave where the fitted curve is looked at


def joined(coarse: Runs, fine: Runs | None, steps: int) -> Runs:
    """The first steps of both searches' runs, fine ones where both have a rate.

    Runs shorter than `steps` are left out.
    """
    if fine is None:
        return coarse.cut(steps)
    if coarse.length < steps:
        return fine.cut(steps)
    a, b = coarse.cut(steps), fine.cut(steps)
    near = np.abs(np.log(a.rates[:, None] / b.rates[None])).min(axis=1) > 1e-6
    rates = np.concatenate([a.rates[near], b.rates])
    order = np.argsort(rates)
    loss = np.concatenate([a.loss[:, near], b.loss], axis=1)[:, order]
    bad = np.concatenate([a.bad[:, near], b.bad], axis=1)[:, order]
    return Runs(rates[order], b.steps, loss, bad)


def least(rates: Array, losses: Array, start: float) -> float:
    """The rate of the least loss, read off a smooth curve through the logarithm of the rate.

    A polynomial of third degree (of second where there are few points) is fitted to the points near
    the least one, nearer ones weighing more. Only rates at which every run went well count.

    Args:
        rates: [rates], ascending.
        losses: [rates] mean losses over seeds, infinite where any diverged.
        start: loss before training: losses are compared with the descent from it.

    Returns:
        the rate; NaN where no loss is finite.
    """
    fine = np.isfinite(losses)
    if not fine.any():
        return float("nan")
    x, y = np.log2(rates), np.where(fine, losses, np.inf)
    best = int(y.argmin())
    span = max(start - y[best], 1e-12)
    near = fine & (np.abs(x - x[best]) <= REACH) & (y - y[best] <= FAR * span)
    if near.sum() < 4:
        return _parabola(x, y, best)
    offset = x[near] - x[best]
    excess = (y[near] - y[best]) / span
    weights = 1.0 / (0.05 + excess)
    fitted = np.polyfit(offset, excess, 3 if near.sum() >= 6 else 2, w=weights)
    places = np.linspace(offset[0], offset[-1], int(DENSE * (offset[-1] - offset[0])) + 2)
    return float(2.0 ** (x[best] + places[np.polyval(fitted, places).argmin()]))


def _parabola(x: Array, y: Array, best: int) -> float:
    """Through the least point and its two neighbours, where there are two."""
    if not 0 < best < len(x) - 1 or not np.isfinite(y[best - 1 : best + 2]).all():
        return float(2.0 ** x[best])
    curve = np.polyfit(x[best - 1 : best + 2] - x[best], y[best - 1 : best + 2], 2)
    place = -curve[1] / (2 * curve[0]) if curve[0] > 0 else 0.0
    return float(2.0 ** (x[best] + np.clip(place, x[best - 1] - x[best], x[best + 1] - x[best])))


class Optima:
    """Where the mean loss over the first steps is least, at several lengths.

    Args:
        coarse, fine: the two searches' runs, of the same seeds.
        lengths: in steps, none beyond the longest runs.
    """

    def __init__(self, coarse: Runs, fine: Runs | None, lengths: Array) -> None:
        tables = [joined(coarse, fine, int(steps)) for steps in lengths]
        self._tables = [(runs.rates, runs.mean(), runs.starts) for runs in tables]

    def of(self, seeds: Array) -> Array:
        """[lengths] the best rate for each, by these seeds (places; repeated ones count twice)."""
        return np.array(
            [
                least(rates, means[seeds].mean(axis=0), float(starts[seeds].mean()))
                for rates, means, starts in self._tables
            ]
        )
