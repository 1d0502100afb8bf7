"""One flipped bit over a grid of learning rates: how fast it grows, and what it does at the end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from convergence.analysis import threshold as thresholds
from convergence.analysis.churn import disagreement, mean_of_pairs, squared_distance
from convergence.analysis.growth import Growth, growth
from convergence.analysis.pseudo import jackknifed, pooled_sd, twin_sd
from convergence.analysis.statistics import Interval, proportion_exact, strict_number
from convergence.analysis.threshold import Array, Index, Threshold, resampled
from convergence.chance.design import Design
from convergence.chance.tables import predicted
from convergence.history import History

AS_A_SEED = 0.5  # of the spread over seeds: from there on a bit counts as moving the result
FEWEST = 0.5  # of the pairs must finish for a rate to tell something
LOSS = {"classification": "cross_entropy", "regression": "rmse"}  # of training rows
LEAST = 1e-30  # of a training loss: logarithms are taken


@dataclasses.dataclass(frozen=True)
class RateTwins:
    """What one bit does at one learning rate.

    Attributes:
        rate: the peak learning rate.
        arm, twin: names of the arms.
        growth: of the distance of params.
        relative: distance of a trial's params to its twin's (median), as a share of the distance
            between two seeds' (root mean square, from sketches), after ``relative_step`` steps.
        bit_sd: spread of the metric between a trial and its twin.
        seed_sd: spread of it over seeds, of trials and twins pooled.
        ratio: the first as a multiple of the second; NaN where seeds do not differ either.
        moved: share of pairs whose metric is not the same number.
        churn, seed_churn: share of rows on which a trial and its twin, two seeds, predict another
            class; for regressions the root mean square difference in the target's unit.
        pairs: of which both trials finished, of ``trials``.
        train: geometric mean of the loss on training rows at the end; NaN where a trial diverged.
        metric: the mean of the metric over seeds.
        distance: [3, points] quartiles of the distance over pairs at ``Twins.steps``.
    """

    rate: float
    arm: str
    twin: str
    growth: Growth
    relative: float
    relative_step: int
    bit_sd: Interval
    seed_sd: Interval
    ratio: Interval
    moved: Interval
    churn: Interval
    seed_churn: Interval
    pairs: int
    trials: int
    train: float
    metric: float
    distance: Array


@dataclasses.dataclass(frozen=True)
class Fastest:
    """The rate of the grid at which something is best, with the rates that resamples choose."""

    rate: float
    interval: Interval


@dataclasses.dataclass(frozen=True)
class Twins:
    """What one bit does over a grid of learning rates.

    Attributes:
        rates: ascending.
        own: the setting's own rate.
        steps: [points] at which distances were taken.
        metric: from which rate on the spread that one bit makes reaches `AS_A_SEED` of the spread
            over seeds.
        growing: from which rate on a one-bit difference grows: the mean slope crosses 0, a pair
            that healed counting as one that does not grow.
        fastest: the rate with the lowest loss on training rows at the end (geometric mean over
            seeds), of those at which no trial diverged.
        best: the rate with the best mean metric.
        against: ``metric`` as a multiple of ``fastest``.
    """

    rates: tuple[RateTwins, ...]
    own: float
    steps: np.ndarray
    metric: Threshold
    growing: Threshold
    fastest: Fastest
    best: Fastest
    against: Interval

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        found = [_plain(one) | {"distance": _quartiles(one.distance)} for one in self.rates]
        return {
            "rates": found,
            "own": self.own,
            "steps": self.steps.tolist(),
            "share": AS_A_SEED,
            "threshold": self.metric.to_json(),
            "growth_threshold": self.growing.to_json(),
            "fastest": _plain(self.fastest),
            "best": _plain(self.best),
            "threshold_over_fastest": self.against.to_json(),
        }


def _plain(one: Any) -> dict[str, Any]:
    told = {}
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        told[field.name] = value.to_json() if hasattr(value, "to_json") else strict_number(value)
    return told


def _quartiles(table: Array) -> dict[str, list[Any]]:
    return {
        name: [strict_number(float(value)) for value in line]
        for name, line in zip(("low", "median", "high"), table)
    }


def twins(history: History, made: Design, direction: int, grids: int = 1, seed: int = 0) -> Twins:
    """What a study with twins recorded (`Want.twins`) says of one flipped bit.

    Args:
        direction: 1 where a larger metric is better, -1 where a smaller one is.
        grids: groups of seeds that are held against each other as replicate grids.
        seed: of the generators of the intervals that draw.
    """
    rng = np.random.default_rng([seed, 4])
    metric, pairs = history.study.run.metric, list(made.rates.values())
    first, second = (
        np.stack([history.of_arm(pair[k].name, metric, "clean") for pair in pairs]) for k in (0, 1)
    )
    trained = f"{LOSS[history.plan.dataset.task]}"
    losses = np.stack([history.of_arm(pair[0].name, trained, "train") for pair in pairs])
    told = tuple(
        _at_rate(history, rate, (pair[0].name, pair[1].name), rng)
        for rate, pair in made.rates.items()
    )
    at, seeds = np.array(list(made.rates)), first.shape[1]
    slopes = np.stack([_net(one.growth) for one in told])
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(losses, LEAST))

    def reach(index: Index) -> Array:
        return ratios(first[:, index], second[:, index])

    def fast(index: Index) -> float:
        return _least(at, logs[:, index])

    def against(index: Index) -> float:
        return thresholds.crossing(at, reach(index), AS_A_SEED) / fast(index)

    return Twins(
        rates=told,
        own=history.study.setting.train.learning_rate,
        steps=history.twin_distances(pairs[0][1].name)[0],
        metric=thresholds.threshold(at, reach, seeds, AS_A_SEED, rng, grids),
        growing=thresholds.threshold(at, lambda i: _mean(slopes[:, i]), seeds, 0.0, rng, grids),
        fastest=_fastest(fast, seeds, rng),
        best=_fastest(lambda i: _least(at, -direction * first[:, i]), seeds, rng),
        against=resampled(against, seeds, rng),
    )


def _fastest(statistic: Callable[[Index], float], seeds: int, rng: np.random.Generator) -> Fastest:
    found = resampled(statistic, seeds, rng)
    return Fastest(found.estimate, found)


def _least(rates: Array, values: Array) -> float:
    """The rate with the lowest mean over seeds; NaN where some seed diverged at every rate."""
    means = values.mean(axis=1)
    return float(rates[np.nanargmin(means)]) if np.isfinite(means).any() else math.nan


def _mean(values: Array) -> Array:
    """Means over seeds, NaN left out; NaN where too few are left."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore"):
        means = np.where(there, values, 0).sum(axis=1) / count
    return np.where(count >= max(1, FEWEST * values.shape[1]), means, np.nan)


def _net(found: Growth) -> Array:
    """Slopes of a rate's pairs; one that healed does not grow, whatever it did before."""
    slopes = found.slopes.copy()
    if found.pairs and found.healed.estimate:
        slopes[found.healed_pairs] = np.minimum(np.nan_to_num(slopes[found.healed_pairs]), 0.0)
    return slopes


def ratios(first: Array, second: Array) -> Array:
    """Spread by one bit as a multiple of the spread over seeds, at each of several rates.

    Args:
        first, second: [rates, seeds] metric of trials and of their twins, NaN where one diverged.

    Returns:
        [rates]; NaN where seeds do not differ, or fewer than half of the pairs finished.
    """
    found = []
    for one, other in zip(first, second):
        both = np.isfinite(one) & np.isfinite(other)
        few = both.sum() < max(2, FEWEST * len(one))
        over_seeds = math.nan if few else pooled_sd([one[both], other[both]])
        found.append(twin_sd(one[both], other[both]) / over_seeds if over_seeds > 0 else math.nan)
    return np.array(found)


def _at_rate(
    history: History, rate: float, arms: tuple[str, str], rng: np.random.Generator
) -> RateTwins:
    metric, task = history.study.run.metric, history.plan.dataset.task
    values = [history.of_arm(arm, metric, "clean") for arm in arms]
    loss = history.of_arm(arms[0], LOSS[task], "train")
    both = np.flatnonzero(np.isfinite(values).all(axis=0))
    one, other = (value[both] for value in values)
    steps, distance = history.twin_distances(arms[1])
    relative, step = _relative(history, arms, both, steps, distance)
    churn, seed_churn = _churns(history, arms, both)
    with np.errstate(divide="ignore"):
        train = math.exp(np.log(np.maximum(loss, LEAST)).mean())
    fine = distance[np.isfinite(distance).all(axis=1)]
    empty = np.full((3, len(steps)), np.nan)
    return RateTwins(
        rate=rate,
        arm=arms[0],
        twin=arms[1],
        growth=growth(steps, distance),
        relative=relative,
        relative_step=step,
        bit_sd=jackknifed(lambda i: twin_sd(one[i], other[i]), len(both)),
        seed_sd=jackknifed(lambda i: pooled_sd([one[i], other[i]]), len(both)),
        ratio=resampled(lambda i: float(ratios(one[None, i], other[None, i])[0]), len(both), rng)
        if len(both)
        else Interval(math.nan, 0.0, math.inf, 0.95, 0, thresholds.BOOTSTRAP),
        moved=proportion_exact(int((one != other).sum()), len(both)),
        churn=churn,
        seed_churn=seed_churn,
        pairs=len(both),
        trials=len(values[0]),
        train=train,
        metric=float(values[0].mean()),
        distance=np.quantile(fine, [0.25, 0.5, 0.75], axis=0) if len(fine) else empty,
    )


def _relative(
    history: History, arms: tuple[str, str], both: Index, steps: np.ndarray, distance: Array
) -> tuple[float, int]:
    """Median distance of twins as a share of that of seeds, where sketches last told the latter."""
    sketches = history.arrays["sketches"]
    last = min(sketches.shape[1] - 1, int(history.plan.total_steps).bit_length())
    step = 0 if last == 0 else 1 << (last - 1)
    if len(both) < 2:
        return math.nan, step
    mine = sketches[history.rows_of(arms[0])[both], last].astype(np.float64)
    apart = math.sqrt(2 * float(mine.var(axis=0, ddof=1).sum()))
    gap = float(np.median(distance[both, int(np.searchsorted(steps, step))]))
    return (gap / apart if apart > 0 else math.nan), step


def _churns(history: History, arms: tuple[str, str], both: Index) -> tuple[Interval, Interval]:
    """How far predictions of a trial and its twin differ, and those of two seeds."""
    if len(both) < 2:
        nothing = mean_of_pairs(np.full((len(both), len(both)), np.nan))
        return nothing, nothing
    tables = [predicted(history, arm, both) for arm in arms]
    classes = tables[0].outputs.ndim == 3
    seeds = (
        disagreement(tables[0].classes, tables[0].scored)
        if classes
        else squared_distance(tables[0].outputs, tables[0].scored)
    )
    if classes:
        apart = np.where(tables[0].scored, tables[0].classes != tables[1].classes, False)
    else:
        apart = (tables[0].outputs - tables[1].outputs) ** 2
    gaps = apart.sum(axis=1) / tables[0].scored.sum(axis=1)

    def root(value: float) -> float:
        return value if classes else math.sqrt(max(value, 0.0))

    told = mean_of_pairs(seeds)
    between = dataclasses.replace(
        told, estimate=root(told.estimate), low=root(told.low), high=root(told.high)
    )
    return jackknifed(lambda i: root(float(gaps[i].mean())), len(both)), between
