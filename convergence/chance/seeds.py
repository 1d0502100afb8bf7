"""How many seeds it takes to tell two settings apart, on these data and with this model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convergence.analysis.power import CAP, POWER, seeds_to_show
from convergence.analysis.spread import Spread, spread
from convergence.analysis.statistics import StudentMean, strict_number
from convergence.chance.design import NEIGHBOUR, Design
from convergence.history import History

FACTORS = (0.5, 1.0, 2.0, 4.0)  # of the margin
ALPHA = 0.025  # one-sided


@dataclasses.dataclass(frozen=True)
class Count:
    """A number of seeds, with what it would be at the bounds of the spread's interval."""

    estimate: int
    low: int
    high: int


@dataclasses.dataclass(frozen=True)
class Needed:
    """Seeds for one size of difference, a setting each: seeds shared (paired), or each its own."""

    difference: float
    paired: Count
    unpaired: Count


@dataclasses.dataclass(frozen=True)
class SeedsNeeded:
    """How many seeds tell differences apart with power .8 at a two-sided level of .05.

    Attributes:
        alone: spread of the metric over seeds at the setting.
        paired: spread of the difference to a neighbouring setting, seed by seed.
        neighbour: the neighbour's name; its rate is `NEIGHBOUR` times the setting's.
        correlation: of the two settings' metrics over seeds; NaN where one of them has no spread.
        rows: a line for each size of difference.
    """

    alone: Spread
    paired: Spread
    neighbour: str
    correlation: float
    rows: tuple[Needed, ...]

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON; a count above the cap is told as None."""

        def plain(count: Count) -> dict[str, Any]:
            told = dataclasses.asdict(count).items()
            return {name: None if value > CAP else value for name, value in told}

        return {
            "sd": {k: strict_number(v) for k, v in dataclasses.asdict(self.alone).items()},
            "sd_of_difference": {
                k: strict_number(v) for k, v in dataclasses.asdict(self.paired).items()
            },
            "neighbour": self.neighbour,
            "neighbour_factor": NEIGHBOUR,
            "correlation": strict_number(self.correlation),
            "power": POWER,
            "alpha": 2 * ALPHA,
            "cap": CAP,
            "differences": [
                {
                    "difference": row.difference,
                    "paired": plain(row.paired),
                    "unpaired": plain(row.unpaired),
                }
                for row in self.rows
            ],
        }


def _paired(sd: float) -> Callable[[int], StudentMean]:
    def at(n: int) -> StudentMean:
        return StudentMean(0.0, sd / math.sqrt(n) if n > 1 else math.inf, n - 1.0, n)

    return at


def _unpaired(sd: float) -> Callable[[int], StudentMean]:
    """Of two means of n seeds each, with one spread (Student's t of 2n - 2 degrees of freedom)."""

    def at(n: int) -> StudentMean:
        return StudentMean(0.0, sd * math.sqrt(2 / n) if n > 1 else math.inf, 2.0 * n - 2, n)

    return at


def _count(difference: float, told: Spread, form: Callable[[float], Any]) -> Count:
    def at(sd: float) -> int:
        if not math.isfinite(sd):
            return CAP + 1
        return 2 if sd == 0 else seeds_to_show(difference, form(sd), ALPHA)

    return Count(at(told.sd), at(told.low), at(told.high))


def seeds_needed(history: History, made: Design, factors: Sequence[float] = FACTORS) -> SeedsNeeded:
    """The seeds that differences of several multiples of the margin need.

    The interval is that of the spread's own uncertainty (Bonett 2006), carried through.
    """
    assert made.own is not None, "it was not asked how many seeds are needed"
    metric, margin = history.study.run.metric, history.study.run.margin
    own, other = (history.of_arm(arm.name, metric, "clean") for arm in made.own)
    both = np.isfinite(own) & np.isfinite(other)
    alone, paired = spread(own), spread(np.where(both, own - other, np.nan))
    flat = both.sum() < 3 or own[both].std() == 0 or other[both].std() == 0
    return SeedsNeeded(
        alone=alone,
        paired=paired,
        neighbour=made.own[1].name,
        correlation=math.nan if flat else float(np.corrcoef(own[both], other[both])[0, 1]),
        rows=tuple(
            Needed(
                factor * margin,
                _count(factor * margin, paired, _paired),
                _count(factor * margin, alone, _unpaired),
            )
            for factor in factors
        ),
    )
