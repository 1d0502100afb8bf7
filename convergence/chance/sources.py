"""Whose luck it is: the spread that each source makes, alone and with the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence.analysis import churn
from convergence.analysis.crossed import Crossed, crossed
from convergence.analysis.ensemble import of_classes, of_numbers, scores
from convergence.analysis.spread import Spread, spread
from convergence.analysis.statistics import Interval, strict_number
from convergence.chance.design import TOGETHER, Design
from convergence.chance.tables import Predicted, predicted
from convergence.history import History
from convergence.spec import Arm

AS_MUCH = 0.8  # of all sources' spread: a source that alone reaches it does "as much as all"
SMALL = 0.2  # a main effect's share of the variance below which it counts as near zero


@dataclasses.dataclass(frozen=True)
class SourceSpread:
    """What one source does to the result.

    Attributes:
        source: its name, or ``together``.
        settings: draws of all others under which it was varied.
        seeds: draws of it that finished under all of them, of ``trials``.
        sd: its spread: the root of the mean variance where it alone varies, in the metric's unit.
        parts: its parts of the variance; None for all together.
        churn: share of rows on which two of its draws predict another class, or the root mean
            square difference of two predictions in the target's unit.
        gain: what the ensemble of its draws scores above one of them, turned so that a positive
            one is better; None where rows differ.
        rows: its standard deviation of the accuracy as a multiple of what independent rows would
            give; None for regressions.
        expected: that standard deviation, √Σp(1 − p) / n.
    """

    source: str
    settings: int
    seeds: int
    trials: int
    sd: Interval
    parts: Crossed | None
    churn: Interval
    gain: Interval | None
    rows: Interval | None
    expected: float

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        told: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Interval):
                value = value.to_json()
            elif isinstance(value, Crossed):
                value = {name: part.to_json() for name, part in vars(value).items()}
            told[field.name] = strict_number(value)
        return told


def _root(interval: Interval) -> Interval:
    low, middle, high = (
        math.sqrt(max(v, 0.0)) for v in (interval.low, interval.estimate, interval.high)
    )
    return dataclasses.replace(interval, estimate=middle, low=low, high=high)


def _together(table: Predicted, kept: np.ndarray, metric: str) -> float:
    """The score of an ensemble of some seeds."""
    combine = of_classes if table.outputs.ndim == 3 else of_numbers
    return scores(combine(table.outputs[kept]), table.truth.astype(np.float64))[metric][0]


def _gain(tables: Sequence[Predicted], metric: str, direction: int) -> Interval | None:
    """The ensemble's gain, the mean over settings; None where seeds were scored on other rows."""
    seeds = np.arange(len(tables[0].outputs))
    if len(seeds) < 3 or not all(table.scored.all() for table in tables):
        return None
    whole = np.mean([_together(table, seeds, metric) for table in tables])
    alone = [[_together(table, seeds[[k]], metric) for k in seeds] for table in tables]
    without = [[_together(t, np.delete(seeds, k), metric) for k in seeds] for t in tables]
    mine, rest = (direction * np.mean(values, axis=0) for values in (alone, without))
    return churn.ensemble_gain(mine, direction * float(whole), rest)


def _churn(tables: Sequence[Predicted]) -> Interval:
    if tables[0].outputs.ndim == 3:
        pairs = [churn.disagreement(table.classes, table.scored) for table in tables]
        return churn.mean_of_pairs(np.nanmean(pairs, axis=0))
    pairs = [churn.squared_distance(table.outputs, table.scored) for table in tables]
    return _root(churn.mean_of_pairs(np.nanmean(pairs, axis=0)))


def _rows(tables: Sequence[Predicted]) -> tuple[Interval | None, float]:
    if tables[0].outputs.ndim != 3:
        return None, math.nan
    every = np.unique(np.concatenate([table.rows for table in tables]))
    laid = np.full((len(tables), len(tables[0].outputs), len(every)), np.nan)
    for line, table in zip(laid, tables):
        line[:, np.searchsorted(every, table.rows)] = table.correct
    found = churn.row_ratio(laid)
    scores_ = np.nanmean(laid, axis=2)
    sd = math.sqrt(float(scores_.var(axis=1, ddof=1).mean())) if laid.shape[1] > 1 else math.nan
    return found, sd / found.estimate if found.estimate else math.nan


def measured(
    history: History, source: str, arms: Sequence[Arm], direction: int, seed: int = 0
) -> SourceSpread:
    """What a source did, from the arms in which it varied.

    Args:
        arms: one for each draw of all others, over the same draws of the source.
        direction: 1 where a larger metric is better, -1 where a smaller one is.
        seed: of the generators of the intervals that draw.
    """
    metric = history.study.run.metric
    table = np.stack([history.of_arm(arm.name, metric, "clean") for arm in arms])
    good = np.flatnonzero(np.isfinite(table).all(axis=0))
    kept = table[:, good]
    parts = None
    if len(arms) > 1 and len(good) > 1:
        parts = crossed(kept, np.random.default_rng([seed, len(source)]))
        sd = _root(parts.effect)
    else:
        sd = _as_interval(spread(kept[0]))
    tables = [predicted(history, arm.name, good) for arm in arms] if len(good) > 1 else []
    nothing = Interval(math.nan, math.nan, math.nan, 0.95, len(good), churn.JACKKNIFE)
    rows, expected = _rows(tables) if tables else (None, math.nan)
    told = metric if metric in ("accuracy", "rmse", "mae") else ""
    return SourceSpread(
        source=source,
        settings=len(arms),
        seeds=len(good),
        trials=table.shape[1],
        sd=sd,
        parts=parts,
        churn=_churn(tables) if tables else nothing,
        gain=_gain(tables, told, direction) if tables and told else None,
        rows=rows,
        expected=expected,
    )


def _as_interval(told: Spread) -> Interval:
    return Interval(told.sd, told.low, told.high, 0.95, told.n, "Bonett", warning=told.warning)


def by_source(history: History, made: Design, direction: int) -> list[SourceSpread]:
    """Every source, and last all of them together."""
    assert made.together is not None, "no sources were asked for"
    asked = [*made.alone.items(), (TOGETHER, (made.together,))]
    return [measured(history, source, arms, direction) for source, arms in asked]


@dataclasses.dataclass(frozen=True)
class InitByOrder:
    """Initialisations crossed with orders, nothing else varying: whose variance is it?

    Attributes:
        init: the parts of the variance, with the initialisation's shares.
        order: the same, with the order's shares.
        inits, orders: draws of each; initialisations that diverged under some order are left out.
    """

    init: Crossed
    order: Crossed
    inits: int
    orders: int

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        return {
            "inits": self.inits,
            "orders": self.orders,
            **{
                source: {name: part.to_json() for name, part in vars(told).items()}
                for source, told in (("init", self.init), ("order", self.order))
            },
        }


def init_by_order(history: History, made: Design, seed: int = 0) -> InitByOrder | None:
    """The crossed design; None where too few of its trials finished, or none was asked for."""
    if len(made.crossed) < 2:
        return None
    metric = history.study.run.metric
    table = np.stack([history.of_arm(arm.name, metric, "clean") for arm in made.crossed])
    table = table[:, np.isfinite(table).all(axis=0)]
    if table.shape[1] < 2:
        return None
    by_init, by_order = (
        crossed(one, np.random.default_rng([seed, k])) for k, one in enumerate((table, table.T))
    )
    return InitByOrder(by_init, by_order, table.shape[1], table.shape[0])


def none_is_harmless(spreads: Sequence[SourceSpread]) -> str:
    """A sentence where each of several sources alone does as much as all together, or ""."""
    *single, whole = spreads
    strong = [s for s in single if s.parts and s.sd.estimate >= AS_MUCH * whole.sd.estimate > 0]
    small = [s for s in strong if s.parts and s.parts.share.estimate < SMALL]
    if len(strong) < 2 or len(small) < len(strong):
        return ""
    listed = ", ".join(s.source for s in strong)
    return (
        f"{listed}: each of them alone moves the result about as much as all together, and none"
        " has a main effect to speak of: what one of them settles, another decides anew. Freezing"
        " one source does not make the result repeatable."
    )
