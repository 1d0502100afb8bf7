"""The choice of a rate among those that were tried: one rule, for every arm.

A rate's score is the mean of the metric over the tuning seeds. A rate at which any seed diverged
comes after every rate at which fewer did, whatever the others scored: a rate that fails now and
then is not a good one. Of equal rates the lower is taken. Only validation rows are looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from convergence.analysis.statistics import strict_number

Edge = Literal["", "low", "high"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The rate that an arm is given, and what the others did.

    Attributes:
        rate: the chosen one.
        rates: all that were tried, ascending.
        scores: mean metric of each over the tuning seeds that finished; NaN where none did.
        finished: tuning seeds of each that finished.
        seeds: tuning seeds of each.
        edge: 'low' or 'high' where the chosen rate is the first or last of several: a better one
            may lie beyond.
    """

    rate: float
    rates: tuple[float, ...]
    scores: tuple[float, ...]
    finished: tuple[int, ...]
    seeds: int
    edge: Edge

    @property
    def index(self) -> int:
        """The place of the chosen rate."""
        return self.rates.index(self.rate)

    @property
    def trained(self) -> bool:
        """Whether any seed finished at the chosen rate."""
        return self.finished[self.index] > 0

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: NaN becomes None."""
        plain = dataclasses.asdict(self)
        return plain | {"scores": [strict_number(score) for score in self.scores]}


def choose(rates: Sequence[float], values: ArrayLike, higher_is_better: bool) -> Choice:
    """The best of some rates.

    Args:
        rates: [m] different rates, in any order.
        values: [m, seeds] of the metric on validation rows; not finite where a trial diverged.
        higher_is_better: the direction of the metric.

    Raises:
        ValueError: shapes do not match, there is no rate, or two are equal.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or len(table) != len(rates) or not table.size:
        raise ValueError(f"{len(rates)} rates and values of shape {table.shape}")
    if len(set(rates)) < len(rates):
        raise ValueError("rates must differ")
    order = np.argsort(np.asarray(rates, np.float64), kind="stable")
    table, ascending = table[order], [float(rates[k]) for k in order]
    fine = np.isfinite(table)
    finished = fine.sum(axis=1)
    totals = np.where(fine, table, 0.0).sum(axis=1)
    means = np.where(finished > 0, totals / np.maximum(finished, 1), np.nan)
    merit = np.where(finished > 0, means if higher_is_better else -means, -np.inf)
    best = max(range(len(ascending)), key=lambda k: (finished[k], merit[k], -k))
    several = len(ascending) > 1
    edge: Edge = ""
    if several and best in (0, len(ascending) - 1):
        edge = "low" if best == 0 else "high"
    return Choice(
        ascending[best],
        tuple(ascending),
        tuple(means.tolist()),
        tuple(finished.tolist()),
        table.shape[1],
        edge,
    )


def beyond(choices: Sequence[Choice]) -> tuple[bool, bool]:
    """Whether some arm's best rate is its lowest, and whether some arm's is its highest.

    Then the grid of *every* arm is extended there: all are still given the best of the same number
    of rates. An arm that finished at none of its rates asks for lower ones.
    """
    return (
        any(one.edge == "low" or not one.trained for one in choices if len(one.rates) > 1),
        any(one.edge == "high" and one.trained for one in choices),
    )
