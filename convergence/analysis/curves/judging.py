"""The verdict on one training curve.

What is certain is said at once (not finite at its end, too few points, constant); all else is
measured and weighed. What one curve cannot show for sure: that another rate would end lower. See
`together` for curves of one task.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves import saying
from convergence.analysis.curves.describing import described
from convergence.analysis.curves.features import Levels, levels
from convergence.analysis.curves.fit import fit, interval
from convergence.analysis.curves.judgement import Judgement, Kind, Range
from convergence.analysis.curves.measuring import measures
from convergence.analysis.curves.series import Series, prepare
from convergence.analysis.curves.weighing import UNSURE, scaled, weigh
from convergence.analysis.curves.words import number, step

FEWEST = 5  # points
SMALLEST = -4.5  # the logarithm of a swing: below, there is none
NOTHING = 0.005  # of the start level: who gains no more was never better than at its start


def judge(
    steps: np.ndarray,
    values: np.ndarray,
    *,
    kind: Kind = "loss",
    rng: np.random.Generator,
) -> Judgement:
    """The verdict on one training curve.

    Args:
        steps: [n], as recorded; gaps, repeated and restarted steps are dealt with, and said.
        values: [n], as recorded; NaN and infinities too.
        kind: ``loss`` of training, ``held-out`` loss (may be over-trained), or ``score``, which is
            held out and higher where it is better.
        rng: for the intervals' redraws.

    Raises:
        ValueError: the arrays are not two rows of one length.
    """
    sign = -1.0 if kind == "score" else 1.0
    return _judged(prepare(steps, sign * np.asarray(values, np.float64)), kind, sign, rng)


def extrapolate(
    steps: np.ndarray,
    values: np.ndarray,
    to: float,
    *,
    kind: Kind = "loss",
    rng: np.random.Generator,
) -> Range:
    """The level that a curve will have at a later step, if it goes on as it has.

    Args:
        steps, values, kind, rng: as of `judge`.
        to: the later step.

    Returns:
        NaN where the curve has diverged or is too short.
    """
    sign = -1.0 if kind == "score" else 1.0
    series = prepare(steps, sign * np.asarray(values, np.float64))
    if series.broke_at is not None or len(series.steps) < FEWEST:
        return Range()
    found = fit(series, rng, _floor(series, kind))
    if found is None:
        return Range()
    unit = float(np.median(np.diff(series.steps)))
    now = float(np.median(found.values(float(found.at[-1]))))
    then = found.values(to - float(series.steps[0]) + unit)
    middle, low, high = interval(then, now, _floor(series, kind))
    return Range(middle, low, high) if sign > 0 else Range(-middle, -high, -low)


def _judged(series: Series, kind: Kind, sign: float, rng: np.random.Generator) -> Judgement:
    n = len(series.steps)
    base = Judgement(says.UNKNOWN, "", n, warnings=series.warnings)
    if n:
        base = dataclasses.replace(base, last_step=float(series.steps[-1]))
    if series.broke_at is not None:
        at = series.broke_at
        why = f"Not finite from step {step(at)} on."
        last = sign * float(series.values[-1]) if n else math.nan
        return dataclasses.replace(
            base, verdict=says.DIVERGED, sentence=why, diverged_at=at, last=last
        )
    if n < FEWEST:
        why = f"Only {n} point{'' if n == 1 else 's'}; at least {FEWEST} are needed."
        return dataclasses.replace(base, sentence=why)
    level = levels(series)
    base = dataclasses.replace(
        base,
        start=sign * level.start,
        last=sign * level.end,
        error=level.error,
        noise=series.noise,
        descent=level.descent,
        best_step=float(series.steps[level.best_at]),
    )
    if np.ptp(series.values) == 0:
        why = f"Every value is {number(base.last)}: nothing was learned after the first point."
        return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)
    floor = _floor(series, kind)
    found = fit(series, rng, floor)
    told = measures(series, level, found, floor, kind, rng)
    chances = possible(weigh(told), level, told)
    base = dataclasses.replace(base, chances=chances)
    verdict = max(chances, key=lambda name: chances[name])
    if verdict == says.DIVERGED:
        return saying.diverged(series, level, base, sign)
    if verdict == says.OVERTRAINED:
        return saying.overtrained(series, level, base, sign)
    if verdict == says.OSCILLATING:
        return saying.oscillating(series, level, base, sign)
    if found is None:
        if verdict == says.NOT_LEARNING:
            return saying.not_learning(level, base, sign)
        why = f"{n} points are too few to see where it is heading."
        return dataclasses.replace(base, sentence=why)
    base = _mirrored(described(series, found, base, floor), sign)
    if chances[verdict] < UNSURE:
        return saying.unknown(base)
    if verdict == says.NOT_LEARNING:
        return saying.not_learning(level, base, sign)
    if verdict == says.STUCK:
        return saying.stuck(series, level, told, floor, base, sign)
    return saying.improving(base) if verdict == says.IMPROVING else saying.converged(base)


def possible(
    chances: Mapping[str, float], level: Levels, measures: Mapping[str, float]
) -> dict[str, float]:
    """The chances without those of verdicts that the curve rules out.

    What never swung does not oscillate, and what never was better than at its start is not
    over-trained.
    """
    ruled_out = set()
    if measures["swing"] <= SMALLEST:
        ruled_out.add(says.OSCILLATING)
    if level.descent <= max(NOTHING * abs(level.start), level.rise_error):
        ruled_out.add(says.OVERTRAINED)
    return scaled(chances, dict.fromkeys(ruled_out, 0.0))


def measured(
    steps: np.ndarray, values: np.ndarray, *, kind: Kind, rng: np.random.Generator
) -> dict[str, float] | None:
    """What `judge` would weigh of a curve; None where its verdict is certain.

    Args:
        steps, values, kind, rng: as of `judge`.
    """
    sign = -1.0 if kind == "score" else 1.0
    series = prepare(steps, sign * np.asarray(values, np.float64))
    if series.broke_at is not None or len(series.steps) < FEWEST or np.ptp(series.values) == 0:
        return None
    floor = _floor(series, kind)
    found = fit(series, rng, floor)
    return measures(series, levels(series), found, floor, kind, rng)


def _floor(series: Series, kind: Kind) -> float:
    """The lowest that values like these can be: 0 of losses that never were negative."""
    if kind == "score":
        return -1.0 if series.values.min() >= -1 and series.values.max() <= 0 else -math.inf
    return 0.0 if series.values.min() >= 0 else -math.inf


def _mirrored(one: Judgement, sign: float) -> Judgement:
    """The judgement with its limit in the direction of the curve's own values."""
    if sign > 0:
        return one
    limit = Range(-one.limit.estimate, -one.limit.high, -one.limit.low)
    return dataclasses.replace(one, limit=limit)
