"""Rules that turn what was measured of a curve into a verdict.

Thresholds and weights were set on the setting cases of tests/helpers/curve_cases.py, never on those
reported. What one curve cannot show for sure: that another rate would end lower. "Stuck early" is
therefore said where what `weighing` adds up speaks for it, or where a like curve
(`judge_together`) ended clearly lower.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.describing import described
from convergence.analysis.curves.features import (
    Levels,
    Swing,
    levels,
    swing,
    trend,
)
from convergence.analysis.curves.fit import fit, interval
from convergence.analysis.curves.judgement import Judgement, Kind, Range
from convergence.analysis.curves.resting import MATTERS, measures, rested_from
from convergence.analysis.curves.series import Series, prepare
from convergence.analysis.curves.stuck import why_stuck
from convergence.analysis.curves.weighing import UNSURE, weigh
from convergence.analysis.curves.words import number

FEWEST = 5  # points
LOST = 0.7  # of the descent lost again at the end: diverged
RISES = 3.0  # standard errors of a rise or descent that are noise
REGRESSES = 1.25  # standard errors of a rise of a held-out loss that has clearly fallen before
UNLEARNS = 2.0  # and of one that has not: there noise alone makes rises
CLEARLY = 4.0  # standard errors of a rise that a clear descent has
FAR = 20.0  # times the start level: no noise goes so far up
NOTHING = 0.02  # of the start level: a descent below this is none
TREND = 3.5  # standard errors of a rank correlation with the step that is no noise
ALIKE = 0.15  # of the start level: curves that start so near each other are compared
COMPANY = 3  # like curves, at least, that end no lower: then nothing speaks for being stuck
SWINGS = 0.06  # of the descent: the amplitude of an oscillation
REGULAR = 0.35  # autocorrelation one period apart of an oscillation
UNNAMED = 0.75  # chance above which a curve is called stuck though no one thing says so
ABRUPT = 0.6  # of a rise within a twentieth of the run: a break, not over-training


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
    series = prepare(steps, sign * np.asarray(values, np.float64))
    return _signed(_judged(series, kind, rng), sign)


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


def judge_together(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    kind: Kind = "loss",
    rng: np.random.Generator,
) -> list[Judgement]:
    """The verdicts on curves of one task and quantity, each in the light of the others.

    A curve that came to rest clearly above where a like one came to is stuck, whatever its shape.

    Args:
        curves: (steps, values) each.
        kind, rng: as of `judge`.
    """
    return beside([judge(*curve, kind=kind, rng=rng) for curve in curves], kind)


def beside(alone: Sequence[Judgement], kind: Kind) -> list[Judgement]:
    """The judgements of curves of one task and quantity, each in the light of the others.

    Only curves that start alike (`ALIKE`) are compared: others may be of another loss.
    """
    sign = -1.0 if kind == "score" else 1.0
    whole = [one for one in alone if one.verdict != says.DIVERGED and math.isfinite(one.last)]
    return [_beside(one, whole, sign) for one in alone]


def _beside(one: Judgement, others: Sequence[Judgement], sign: float) -> Judgement:
    if one.verdict != says.CONVERGED and not one.by_odds:
        return one
    alike = [
        x for x in others if abs(x.start - one.start) <= ALIKE * max(abs(one.start), one.descent)
    ]
    best = min(sign * x.last for x in alike)
    gain = one.gain.estimate if one.gain else 0.0
    lower = sign * one.last - gain - best > MATTERS * one.descent  # than it would come by going on
    if one.by_odds and not lower and len(alike) > COMPANY:
        why = f"It came to rest at {number(one.last)}, as low as any of its {len(alike) - 1} like."
        return dataclasses.replace(one, verdict=says.CONVERGED, sentence=why, by_odds=False)
    if one.by_odds or not lower:
        return one
    told = f"It came to rest at {number(one.last)} where another curve of its kind reached"
    return dataclasses.replace(one, verdict=says.STUCK, sentence=f"{told} {number(sign * best)}.")


def _judged(series: Series, kind: Kind, rng: np.random.Generator) -> Judgement:
    n = len(series.steps)
    base = Judgement(says.UNKNOWN, "", n, warnings=series.warnings)
    if n:
        base = dataclasses.replace(base, last_step=float(series.steps[-1]))
    if series.broke_at is not None:
        at = series.broke_at
        why = f"Not finite from step {number(at)} on."
        last = float(series.values[-1]) if n else math.nan
        return dataclasses.replace(
            base, verdict=says.DIVERGED, sentence=why, diverged_at=at, last=last
        )
    if n < FEWEST:
        why = f"Only {n} point{'' if n == 1 else 's'}; at least {FEWEST} are needed."
        return dataclasses.replace(base, sentence=why)
    level = levels(series)
    base = dataclasses.replace(
        base,
        start=level.start,
        last=level.end,
        descent=level.descent,
        best_step=float(series.steps[level.best_at]),
    )
    if np.ptp(series.values) == 0:
        why = f"Every value is {number(level.end)}: nothing was learned after the first point."
        return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)
    for rule in RULES:
        if found := rule(series, level, kind, base):
            return found
    return _resting_or_not(series, level, kind, rng, base, _floor(series, kind))


def _floor(series: Series, kind: Kind) -> float:
    """The lowest that values like these can be: 0 of losses that never were negative."""
    if kind == "score":
        return -1.0 if series.values.min() >= -1 and series.values.max() <= 0 else -math.inf
    return 0.0 if series.values.min() >= 0 else -math.inf


def _diverged(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    above = level.end - level.start
    lost = level.rise > LOST * level.descent and level.rise > RISES * level.rise_error
    grown = above > RISES * level.rise_error and above > NOTHING * abs(level.start)
    # Thrown far up, and come to rest where it began: what was learned is gone, or never was.
    grown |= series.values.max() > FAR * level.start > 0 and above > -NOTHING * level.start
    whole = level.descent > max(RISES * level.error, NOTHING * abs(level.start))
    abrupt = level.jump > ABRUPT
    if not ((lost and whole) or grown or _climbed(series, level)) or (
        kind != "loss" and not abrupt
    ):
        return None
    line = level.best + 0.5 * level.rise
    later = np.flatnonzero(series.calm[level.best_at :] > line)
    at = float(series.steps[level.best_at + int(later[0])]) if len(later) else base.last_step
    why = f"It rises from {number(level.best)} to {number(level.end)}, half of that by step"
    why = f"{why} {number(at)}."
    return dataclasses.replace(base, verdict=says.DIVERGED, sentence=why, diverged_at=at)


def _climbed(series: Series, level: Levels) -> bool:
    """Whether the last points all lie above every point up to the best: a rise beyond all noise."""
    before, last = series.calm[: level.best_at + 1], series.calm[-3:]
    enough = len(before) > len(series.calm) // 4 and level.best_at < len(series.calm) - 3
    return bool(enough and last.min() > before.max() + NOTHING * abs(level.start))


def _not_learning(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    noise = RISES * math.hypot(level.rise_error, series.noise / math.sqrt(3))
    if level.descent > NOTHING * abs(level.start) and (
        level.descent > noise or trend(series) < -TREND
    ):
        return None
    why = (
        f"It ends at {number(level.end)} where it began at {number(level.start)}, within its noise."
    )
    if level.descent > noise:
        why = f"It fell from {number(level.start)} to {number(level.best)} only."
    return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)


def _overtrained(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    clearly = level.descent > max(CLEARLY * level.rise_error, NOTHING * abs(level.start))
    noise = (REGRESSES if clearly else UNLEARNS) * level.rise_error
    if kind == "loss" or level.rise <= max(noise, MATTERS * level.descent):
        return None
    best = float(series.steps[level.best_at])
    why = f"Best near step {number(best)}; by the end {number(level.rise)} of it is lost again."
    return dataclasses.replace(base, verdict=says.OVERTRAINED, sentence=why)


def _oscillating(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    found: Swing = swing(series)
    descent = max(level.start - level.end, 0.0)
    regular = found.regularity > max(REGULAR, found.chance)
    if found.amplitude <= SWINGS * descent or not regular:
        return None
    why = (
        f"It swings by ±{number(found.amplitude)} every {number(found.period)} steps, without"
        f" settling (it has fallen by {number(level.descent)})."
    )
    return dataclasses.replace(base, verdict=says.OSCILLATING, sentence=why)


def _resting_or_not(
    series: Series,
    level: Levels,
    kind: Kind,
    rng: np.random.Generator,
    base: Judgement,
    floor: float,
) -> Judgement:
    """Converged, still improving, stuck, or it cannot be told."""
    found = fit(series, rng, floor)
    if found is None:
        why = f"{len(series.steps)} points are too few to see where it is heading."
        return dataclasses.replace(base, sentence=why)
    base = described(series, found, base, floor)
    evidence = measures(series, level, found, floor, kind != "loss")
    chances = weigh(evidence)
    verdict = max(chances, key=lambda name: chances[name])
    gain = f"{number(base.gain.estimate)} [{number(base.gain.low)}, {number(base.gain.high)}]"
    ahead = f"ten times the length would gain {gain} more"
    since = rested_from(series, level) * (series.steps[-1] - series.steps[0])
    odds = f"At rest from step {number(series.steps[0] + since)} on: most that rest like this end"
    odds = f"{odds} lower at another rate."
    why = ""
    if chances[verdict] < UNSURE:
        return dataclasses.replace(base, sentence=f"It may be at rest or not: {ahead}.")
    if verdict == says.IMPROVING:
        why = f"Heading for {number(base.limit.estimate)}: {ahead}, half of it by step"
        why = f"{why} {number(base.half_gain_at)}."
    elif verdict == says.STUCK:
        why = why_stuck(series, level, rng, floor)
        if not why and chances[verdict] > UNNAMED:
            why = odds
    if not why:
        verdict = says.CONVERGED
        why = f"Settled near {number(level.end)}: {ahead}."
    by_odds = verdict == says.STUCK and why == odds
    return dataclasses.replace(base, verdict=verdict, sentence=why, by_odds=by_odds)


def measured(
    steps: np.ndarray, values: np.ndarray, *, kind: Kind, rng: np.random.Generator
) -> dict[str, float] | None:
    """What `weighing` would add up of a curve; None where another rule decides.

    Args:
        steps, values, kind, rng: as of `judge`.
    """
    sign = -1.0 if kind == "score" else 1.0
    series = prepare(steps, sign * np.asarray(values, np.float64))
    if series.broke_at is not None or len(series.steps) < FEWEST or np.ptp(series.values) == 0:
        return None
    level, base = levels(series), Judgement(says.UNKNOWN, "")
    floor = _floor(series, kind)
    if any(rule(series, level, kind, base) for rule in RULES):
        return None
    found = fit(series, rng, floor)
    return None if found is None else measures(series, level, found, floor, kind != "loss")


RULES = (_diverged, _overtrained, _oscillating, _not_learning)


def _signed(one: Judgement, sign: float) -> Judgement:
    """The judgement in the direction of the curve's own values."""
    if sign > 0:
        return one
    limit = Range(-one.limit.estimate, -one.limit.high, -one.limit.low)
    return dataclasses.replace(one, limit=limit, start=-one.start, last=-one.last)
