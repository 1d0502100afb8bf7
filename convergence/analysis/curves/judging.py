"""Rules that turn what was measured of a curve into a verdict.

Thresholds were set on the setting cases of tests/helpers/curve_cases.py, never on those reported.
What one curve cannot show: that another rate would end lower. "Stuck early" is therefore said
where the curve flattens early though most of its start level is left, where it breaks off a descent
that was well under way, or where a like curve (`judge_together`) ended clearly lower.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.features import (
    Levels,
    Swing,
    abruptness,
    knee,
    levels,
    swing,
    trend,
)
from convergence.analysis.curves.fit import AHEAD, BINS, Fit, bins, fit, interval
from convergence.analysis.curves.judgement import Judgement, Kind, Range
from convergence.analysis.curves.series import Series, prepare

FEWEST = 5  # points
MATTERS = 0.05  # of the descent: a remaining gain above this is worth going on for
SURE = 0.5  # share of the redraws on one side of MATTERS that decides; UNSURE below
UNSURE = 0.06  # and so close to a half it cannot be told
LOST = 0.7  # of the descent lost again at the end: diverged
RISES = 3.0  # standard errors of a rise or descent that are noise
REGRESSES = 2.0  # standard errors of a rise of a held-out loss
FAR = 20.0  # times the start level: no noise goes so far up
NOTHING = 0.02  # of the start level: a descent below this is none
TREND = 3.5  # standard errors of a rank correlation with the step that is no noise
ALIKE = 0.15  # of the start level: curves that start so near each other are compared
SWINGS = 0.08  # of the descent: the amplitude of an oscillation
REGULAR = 0.4  # autocorrelation one period apart of an oscillation
LEFT = 0.5  # of the start level left where a curve is stuck
EARLY = 0.3  # of the run by which a stuck curve has come to rest
ABRUPT_END = 0.7  # of `abruptness`: below, the descent was broken off
SLOW_BEGIN = 0.95  # of `abruptness`: above, the descent begins as slowly as it ends
FOLLOWS = 3.0  # times the noise: a descent that scatters more about its law promises nothing
PROMISED = 0.75  # the quantile of the redraws that counts as promised
LATEST = 0.6  # of the run: a descent that ended later is not called broken off
BROKEN_OFF = 0.06  # of the descent that the law of the earlier part promised beyond the end
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
    if one.verdict != says.CONVERGED:
        return one
    alike = [
        x for x in others if abs(x.start - one.start) <= ALIKE * max(abs(one.start), one.descent)
    ]
    best = min(sign * x.last for x in alike)
    above = sign * one.last - best
    low = sign * (one.limit.high if sign < 0 else one.limit.low)
    if not above > MATTERS * one.descent or low <= best:
        return one
    told = f"It came to rest at {_n(one.last)} where another curve of its kind reached"
    return dataclasses.replace(one, verdict=says.STUCK, sentence=f"{told} {_n(sign * best)}.")


def _n(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _judged(series: Series, kind: Kind, rng: np.random.Generator) -> Judgement:
    n = len(series.steps)
    base = Judgement(says.UNKNOWN, "", n, warnings=series.warnings)
    if n:
        base = dataclasses.replace(base, last_step=float(series.steps[-1]))
    if series.broke_at is not None:
        at = series.broke_at
        why = f"Not finite from step {_n(at)} on."
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
        why = f"Every value is {_n(level.end)}: nothing was learned after the first point."
        return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)
    for rule in (_diverged, _overtrained, _oscillating, _not_learning):
        if found := rule(series, level, kind, base):
            return found
    return _resting_or_not(series, level, rng, base, _floor(series, kind))


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
    why = f"It rises from {_n(level.best)} to {_n(level.end)}, half of that by step {_n(at)}."
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
    why = f"It ends at {_n(level.end)} where it began at {_n(level.start)}, within its noise."
    if level.descent > noise:
        why = f"It fell from {_n(level.start)} to {_n(level.best)} only."
    return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)


def _overtrained(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    if kind == "loss" or level.rise <= max(REGRESSES * level.rise_error, MATTERS * level.descent):
        return None
    best = float(series.steps[level.best_at])
    why = f"Best near step {_n(best)}; by the end {_n(level.rise)} of it is lost again."
    return dataclasses.replace(base, verdict=says.OVERTRAINED, sentence=why)


def _oscillating(series: Series, level: Levels, kind: Kind, base: Judgement) -> Judgement | None:
    found: Swing = swing(series)
    descent = max(level.start - level.end, 0.0)
    regular = found.regularity > max(REGULAR, found.chance)
    if found.amplitude <= SWINGS * descent or not regular:
        return None
    why = (
        f"It swings by ±{_n(found.amplitude)} every {_n(found.period)} steps, without settling"
        f" (it has fallen by {_n(level.descent)})."
    )
    return dataclasses.replace(base, verdict=says.OSCILLATING, sentence=why)


def _resting_or_not(
    series: Series, level: Levels, rng: np.random.Generator, base: Judgement, floor: float
) -> Judgement:
    """Converged, still improving, stuck, or it cannot be told."""
    found = fit(series, rng, floor)
    if found is None:
        why = f"{len(series.steps)} points are too few to see where it is heading."
        return dataclasses.replace(base, sentence=why)
    base = _described(series, found, base, floor)
    at = float(found.at[-1])
    gains = found.values(at) - found.values(AHEAD * at)
    share = float((gains > MATTERS * level.descent).mean())
    gain = f"{_n(base.gain.estimate)} [{_n(base.gain.low)}, {_n(base.gain.high)}]"
    ahead = f"ten times the length would gain {gain} more"
    if abs(share - SURE) < UNSURE:
        return dataclasses.replace(base, sentence=f"It may be at rest or not: {ahead}.")
    if share > SURE:
        why = f"Heading for {_n(base.limit.estimate)}: {ahead}, half of it by step"
        return dataclasses.replace(
            base, verdict=says.IMPROVING, sentence=f"{why} {_n(base.half_gain_at)}."
        )
    stuck = _stuck(series, level, rng, floor)
    if stuck:
        return dataclasses.replace(base, verdict=says.STUCK, sentence=stuck)
    why = f"Settled near {_n(level.end)}: {ahead}."
    return dataclasses.replace(base, verdict=says.CONVERGED, sentence=why)


def _stuck(series: Series, level: Levels, rng: np.random.Generator, floor: float) -> str:
    """Why a curve at rest is stuck, '' if nothing says so."""
    at, means, _ = bins(series)
    rest = level.end + MATTERS * level.descent + 2 * level.error
    above = np.flatnonzero(means > rest)
    if not len(above) or above[-1] + 1 >= len(at):
        return ""
    reached = at[above[-1] + 1] / at[-1]
    since = float(series.steps[0] + reached * at[-1])
    left = (level.end - floor) / (level.start - floor) if math.isfinite(floor) else 0.0
    if left > LEFT and reached < EARLY:
        return f"At rest from step {_n(since)} on with {100 * left:.0f} % of its start level left."
    fine, finely, _ = bins(series, 2 * BINS)
    unsure = 2 * max(level.error, series.noise / 2) / level.descent
    end, begin = abruptness(fine, (finely - level.end) / level.descent, unsure)
    if reached < LATEST and end < ABRUPT_END and begin < SLOW_BEGIN:
        return (
            f"At rest from step {_n(since)} on: its fall ended there as suddenly as no law's does,"
            " so something broke it off."
        )
    promised = _promised(series, since, rng, floor) if reached < LATEST else math.nan
    lower = level.end - promised
    if level.descent > lower > max(BROKEN_OFF * level.descent, RISES * level.error):
        return (
            f"At rest from step {_n(since)} on; as it fell before, it would have come to"
            f" {_n(promised)} instead of {_n(level.end)}."
        )
    return ""


def _promised(series: Series, since: float, rng: np.random.Generator, floor: float) -> float:
    """The level, at most, that the descent before a step promised for the curve's end."""
    before = int(np.searchsorted(series.steps, since))
    if before < 2 * FEWEST:
        return math.nan
    early = dataclasses.replace(
        series,
        steps=series.steps[:before],
        values=series.values[:before],
        calm=series.calm[:before],
    )
    found = fit(early, rng, floor)
    if found is None or found.scatter > FOLLOWS:
        return math.nan
    last = float(found.at[-1])
    ahead = last * float(series.steps[-1] - series.steps[0]) / max(since - series.steps[0], 1e-300)
    return float(np.quantile(found.values(ahead), PROMISED))


def _described(series: Series, found: Fit, base: Judgement, floor: float) -> Judgement:
    """The judgement with limit, rate, gain and regime."""
    end, start = float(found.at[-1]), float(series.steps[0])
    now = found.values(end)
    gain = now - found.values(AHEAD * end)
    ahead = np.geomspace(end, AHEAD * end, 60)
    gained = np.array([np.median(now - found.values(x)) for x in ahead])
    middle = float(np.median(gain))
    half = float(ahead[np.argmax(gained >= middle / 2)]) if middle > 0 else math.nan
    slow = _slow_from(series)
    return dataclasses.replace(
        base,
        limit=Range(*interval(found.limits, float(np.median(now)), floor)),
        law=found.law,
        halving=_halving(found),
        gain=Range(*interval(gain, 0.0, 0.0)),
        half_gain_at=start + half,
        regime="slow" if slow else "plunge",
        slow_from=slow,
    )


def _halving(found: Fit) -> Range:
    """Steps in which the excess over the limit halves from the end on; NaN at rest."""
    end = float(found.at[-1])
    ahead = np.geomspace(end * (1 + 1e-6), 1e4 * end, 120)
    excess = np.array([found.values(x) for x in ahead]) - found.limits
    there = excess <= (found.values(end) - found.limits) / 2
    first = np.where(there.any(axis=0), ahead[np.argmax(there, axis=0)] - end, np.inf)
    falling = found.heights > 0
    if falling.mean() < 0.5 or not np.isfinite(np.median(first[falling])):
        return Range()
    middle, low, high = np.quantile(np.minimum(first[falling], 1e4 * end), [0.5, 0.025, 0.975])
    return Range(float(middle), float(low), float(high))


def _slow_from(series: Series) -> Range:
    """The step where the slow part begins, its interval from noise added to the smoothed curve."""
    at, means, sizes = bins(series)
    estimate = knee(at, means)
    if not math.isfinite(estimate):
        return Range()
    widened = (1 + series.correlation) / (1 - series.correlation)
    error = series.noise * np.sqrt(np.minimum(widened / sizes, 1.0))
    noise = np.random.default_rng(len(at)).standard_normal((100, len(at)))
    drawn = np.array([knee(at, means + error * one) for one in noise])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 50:
        return Range()
    start = float(series.steps[0])
    low, high = np.quantile(np.append(drawn, estimate), [0.025, 0.975])
    return Range(start + estimate, start + float(low), start + float(high))


def _signed(one: Judgement, sign: float) -> Judgement:
    """The judgement in the direction of the curve's own values."""
    if sign > 0:
        return one
    limit = Range(-one.limit.estimate, -one.limit.high, -one.limit.low)
    return dataclasses.replace(one, limit=limit, start=-one.start, last=-one.last)
