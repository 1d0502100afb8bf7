"""Made losses of short runs at many rates, whose best rate and edge of divergence are known."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder import Runs, fine_rates

START, FLOOR, COST, EDGE = 2.0, 0.5, 0.4, 3.0
RATES = 2.0 ** np.arange(-12, 6)


def expected(rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """[rates, steps] losses without noise: a fall at the rate's pace to a floor that it raises."""
    pace = np.exp(-0.05 * rates[:, None] * steps)
    loss: np.ndarray = FLOOR + COST * rates[:, None] + (START - FLOOR) * pace
    return loss


def best(length: int) -> float:
    """The rate of the least mean loss over so many steps."""
    rates = 2.0 ** np.linspace(-8, 4, 4001)
    means = expected(rates, np.arange(length, dtype=np.float64)).mean(axis=1)
    return float(rates[np.where(rates < EDGE, means, np.inf).argmin()])


def runs(
    rates: np.ndarray,
    length: int,
    seeds: int,
    rng: np.random.Generator,
    noise: float = 0.05,
    shift: float = 0.0,
) -> Runs:
    """Runs of these rates; from `EDGE` on, they are not finite from a tenth of the run on."""
    steps = np.arange(length, dtype=np.float64)
    loss = expected(rates, steps) + shift
    shared = rng.normal(size=(seeds, 1, 1)) + rng.normal(size=(seeds, 1, length))
    own = rng.normal(size=(seeds, len(rates), length))
    loss = loss + noise * (shared + 0.3 * own)
    broken = rates >= EDGE
    bad = np.where(broken, length // 10, -1) * np.ones((seeds, 1), int)
    loss[:, broken, length // 10 :] = np.nan
    return Runs(rates, steps + 1, loss, bad)


def search(
    seeds: int, rng: np.random.Generator, length: int = 200, shift: float = 0.0, noise: float = 0.05
) -> tuple[Runs, Runs | None]:
    """A whole search."""
    coarse = runs(RATES, length // 2, seeds, rng, noise, shift)
    rates = fine_rates(coarse)
    fine = runs(rates, length, seeds, rng, noise, shift) if rates is not None else None
    return coarse, fine
