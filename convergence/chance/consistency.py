"""The less consistent the targets, the further seeds spread? Spread by dose of spoiled targets."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from convergence.analysis.churn import jackknife
from convergence.analysis.pseudo import Array, Index, slope_of_sd
from convergence.analysis.spread import Spread, spread
from convergence.analysis.statistics import Interval, strict_number
from convergence.chance.design import Design
from convergence.history import History


@dataclasses.dataclass(frozen=True)
class Consistency:
    """The spread over seeds on clean validation rows, by dose.

    Attributes:
        field: what is spoiled: ``label_noise`` or ``outliers``.
        doses: ascending, with their arms' names.
        spreads: of the metric at each dose.
        means: of the metric at each dose, over seeds that finished.
        slope: of the standard deviation by dose, in the metric's unit per unit dose (all targets),
            by least squares. Not of its logarithm: a spread in the metric's unit can be held
            against the margin, and one that is 0 without noise has no logarithm. Seeds are shared
            between doses, so the interval is the jackknife's over seeds.
        seeds: that finished at every dose, of ``trials``; the slope rests on them.
    """

    field: str
    doses: tuple[tuple[float, str], ...]
    spreads: tuple[Spread, ...]
    means: tuple[float, ...]
    slope: Interval
    seeds: int
    trials: int

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        rows = [
            {"dose": dose, "arm": arm, "mean": strict_number(mean)}
            | {name: strict_number(value) for name, value in dataclasses.asdict(told).items()}
            for (dose, arm), told, mean in zip(self.doses, self.spreads, self.means)
        ]
        return {
            "field": self.field,
            "doses": rows,
            "slope": self.slope.to_json(),
            "seeds": self.seeds,
            "trials": self.trials,
        }


def by_dose(history: History, made: Design) -> tuple[Array, Array]:
    """[doses], and the metric [doses, seeds] on clean validation rows, NaN where one diverged."""
    metric = history.study.run.metric
    table = [history.of_arm(arm.name, metric, "clean") for arm in made.doses.values()]
    return np.array(list(made.doses)), np.stack(table)


def consistency(history: History, made: Design) -> Consistency:
    """What the doses of a study say."""
    doses, table = by_dose(history, made)
    good = table[:, np.isfinite(table).all(axis=0)]
    seeds = good.shape[1]

    def slope(index: Index) -> float:
        return slope_of_sd(doses, good[:, index])

    every = np.arange(seeds)
    without = [slope(np.delete(every, k)) if seeds > 2 else np.nan for k in every]
    whole = slope(every) if seeds > 1 else float("nan")
    fine = [line[np.isfinite(line)] for line in table]
    return Consistency(
        field=made.field,
        doses=tuple((dose, arm.name) for dose, arm in made.doses.items()),
        spreads=tuple(spread(line) for line in table),
        means=tuple(float(line.mean()) if len(line) else float("nan") for line in fine),
        slope=jackknife(whole, without),
        seeds=seeds,
        trials=table.shape[1],
    )
