"""The verdict on one training curve.

What is certain is said at once (not finite at its end, too few points, constant); all else is
measured and weighed. What one curve cannot show for sure, that another rate would end lower, the
others of its task show.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves import saying
from convergence.analysis.curves.company import RISEN, Standing, company, standing
from convergence.analysis.curves.company import measures as beside
from convergence.analysis.curves.describing import described
from convergence.analysis.curves.features import Levels, levels
from convergence.analysis.curves.fit import Fit, fit, interval
from convergence.analysis.curves.judgement import Judgement, Kind, Range
from convergence.analysis.curves.measuring import measures
from convergence.analysis.curves.resting import ERRORS
from convergence.analysis.curves.series import Series, prepare
from convergence.analysis.curves.weighing import UNSURE, scaled, weigh
from convergence.analysis.curves.words import number

FEWEST = 5  # points
SMALLEST = -4.5  # the logarithm of a swing: below, there is none
NOTHING = 0.005  # of the start level: who gains no more was never better than at its start


def judge(
    steps: np.ndarray,
    values: np.ndarray,
    *,
    kind: Kind = "loss",
    others: Sequence[Standing] = (),
    rng: np.random.Generator,
) -> Judgement:
    """The verdict on one training curve.

    Args:
        steps: [n], as recorded; gaps, repeated and restarted steps are dealt with, and said.
        values: [n], as recorded; NaN and infinities too.
        kind: ``loss`` of training, ``held-out`` loss (may be over-trained), or ``score``, which is
            held out and higher where it is better.
        others: of its task and quantity, as by `stands`; those that start alike and are as long
            are compared with it.
        rng: for the intervals' redraws.

    Raises:
        ValueError: the arrays are not two rows of one length.
    """
    return _judged(_seen(steps, values, kind, rng), others)


def judge_together(
    curves: Sequence[tuple[np.ndarray, np.ndarray]], *, kind: Kind = "loss", seed: int = 0
) -> list[Judgement]:
    """The verdicts on curves of one task and quantity, each in the light of the others.

    Args:
        curves: (steps, values) each, as of `judge`.
        kind: as of `judge`.
        seed: of the intervals' redraws, which are the same whatever the other curves are.

    Raises:
        ValueError: as of `judge`.
    """
    seen = [_seen(*curve, kind, np.random.default_rng(seed)) for curve in curves]
    there = [one.standing for one in seen if one.standing is not None]
    return [_judged(one, [other for other in there if other is not one.standing]) for one in seen]


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
    series, sign = _series(steps, values, kind)
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


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """What is seen of a curve alone.

    Attributes:
        series: the curve, lower where it is better.
        sign: of its values; those of a score are negated.
        base: what can be said without a verdict.
        level: None of a curve with too few points.
        floor: the lowest that values like these can be.
        found: the laws that it may follow, if it has points enough.
        told: its measures; empty where its verdict is certain.
        standing: what others are held against.
    """

    series: Series
    sign: float
    base: Judgement
    level: Levels | None = None
    floor: float = -math.inf
    found: Fit | None = None
    told: Mapping[str, float] = dataclasses.field(default_factory=dict)
    standing: Standing | None = None


def _seen(steps: np.ndarray, values: np.ndarray, kind: Kind, rng: np.random.Generator) -> _Seen:
    series, sign = _series(steps, values, kind)
    n = len(series.steps)
    base = Judgement(says.UNKNOWN, "", n, warnings=series.warnings)
    if n:
        base = dataclasses.replace(base, last_step=float(series.steps[-1]))
    if n < FEWEST:
        return _Seen(series, sign, base)
    level = levels(series)
    own = standing(series, level)
    if series.broke_at is not None:
        return _Seen(series, sign, base, level, standing=own)
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
        return _Seen(series, sign, base, level, standing=own)
    floor = _floor(series, kind)
    found = fit(series, rng, floor)
    told = measures(series, level, found, floor, kind, rng)
    return _Seen(series, sign, base, level, floor, found, told, own)


def _judged(seen: _Seen, others: Sequence[Standing]) -> Judgement:
    series, base, sign, level = seen.series, seen.base, seen.sign, seen.level
    if series.broke_at is not None:
        return saying.broken(series, base, sign)
    if level is None or seen.standing is None:
        n = base.points
        why = f"Only {n} point{'' if n == 1 else 's'}; at least {FEWEST} are needed."
        return dataclasses.replace(base, sentence=why)
    if not seen.told:
        why = f"Every value is {number(base.last)}: nothing was learned after the first point."
        return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)
    among = company(seen.standing, others)
    told = {**seen.told, **(beside(seen.standing, among) if among.whole else {})}
    chances = possible(weigh(told), level, told)
    base = dataclasses.replace(base, chances=chances)
    verdict = max(chances, key=lambda name: chances[name])
    if verdict == says.DIVERGED:
        return saying.diverged(series, level, base, sign)
    if verdict == says.OVERTRAINED:
        return saying.overtrained(series, level, base, sign)
    if verdict == says.OSCILLATING:
        return saying.oscillating(series, level, base, sign)
    if seen.found is None:
        if verdict == says.NOT_LEARNING:
            return saying.not_learning(level, among, base, sign)
        why = f"{base.points} points are too few to see where it is heading."
        return dataclasses.replace(base, sentence=why)
    base = _mirrored(described(series, seen.found, base, seen.floor), sign)
    if chances[verdict] < UNSURE:
        return saying.unknown(base)
    if verdict == says.NOT_LEARNING:
        return saying.not_learning(level, among, base, sign)
    if verdict == says.STUCK:
        better = among.better(seen.standing)
        return saying.stuck(series, level, told, seen.floor, better, base, sign)
    if verdict == says.IMPROVING:
        return saying.improving(base)
    return saying.converged(seen.standing, among, base)


def possible(
    chances: Mapping[str, float], level: Levels, measures: Mapping[str, float]
) -> dict[str, float]:
    """The chances without those of verdicts that the curve rules out.

    What never swung does not oscillate, what never was better than at its start is not
    over-trained, and what ends surely above it is not merely not learning.
    """
    ruled_out = set()
    if measures["swing"] <= SMALLEST:
        ruled_out.add(says.OSCILLATING)
    if level.descent <= max(NOTHING * abs(level.start), level.rise_error):
        ruled_out.add(says.OVERTRAINED)
    if level.end - level.start > RISEN * abs(level.start) + ERRORS * level.rise_error:
        ruled_out.add(says.NOT_LEARNING)
    return scaled(chances, dict.fromkeys(ruled_out, 0.0))


def measured(
    steps: np.ndarray, values: np.ndarray, *, kind: Kind, rng: np.random.Generator
) -> tuple[Mapping[str, float], Standing | None]:
    """What `judge` sees of a curve: its measures and its standing.

    Args:
        steps, values, kind, rng: as of `judge`.

    Returns:
        No measures where its verdict is certain, no standing where it has too few points.
    """
    seen = _seen(steps, values, kind, rng)
    return seen.told, seen.standing


def stands(steps: np.ndarray, values: np.ndarray, *, kind: Kind) -> Standing | None:
    """What others are held against of a curve; None of one with too few points.

    Args:
        steps, values, kind: as of `judge`.
    """
    series, _ = _series(steps, values, kind)
    return standing(series, levels(series)) if len(series.steps) >= FEWEST else None


def _series(steps: np.ndarray, values: np.ndarray, kind: Kind) -> tuple[Series, float]:
    """The series of a curve, lower where it is better, and the sign that its values were given."""
    sign = -1.0 if kind == "score" else 1.0
    return prepare(steps, sign * np.asarray(values, np.float64)), sign


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
