"""The sentence that goes with a verdict, and the steps that it names.

Levels are those of a series, which is lower where it is better; sentences speak of the curve's own
values: of a score, whose ``sign`` is -1, all is mirrored. Judgements already are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.company import Company, Standing
from convergence.analysis.curves.features import Levels
from convergence.analysis.curves.judgement import Judgement
from convergence.analysis.curves.resting import ERRORS, MATTERS, left
from convergence.analysis.curves.series import Series
from convergence.analysis.curves.swinging import residuals, swing
from convergence.analysis.curves.words import number, step

LEFT = 0.5  # of the start level left where a curve is stuck
EARLY = 0.3  # of the run by which a stuck curve has come to rest
ABRUPT_END = 0.7  # of `abruptness`: below, the descent was broken off
SLOW_BEGIN = 0.95  # of `abruptness`: above, the descent begins as slowly as it ends
BROKEN_OFF = (0.06, 2.0)  # of the descent: what the law of the earlier part promised beyond the end
LITTLE = 5.0  # times what it gained: where another gained more, that is said
COMPANY = 3  # others, at least, of which none ended lower, before that is said


def diverged(series: Series, level: Levels, base: Judgement, sign: float) -> Judgement:
    """When it rose, and from where to where."""
    line = level.best + 0.5 * level.rise
    later = np.flatnonzero(series.calm[level.best_at :] > line)
    at = float(series.steps[level.best_at + int(later[0])]) if len(later) else base.last_step
    goes = "rises" if sign > 0 else "falls"
    low = level.best if level.rise > 0 else level.start
    why = f"It {goes} from {number(sign * low)} to {number(sign * level.end)}, half of that"
    return dataclasses.replace(
        base, verdict=says.DIVERGED, sentence=f"{why} by step {step(at)}.", diverged_at=at
    )


def broken(series: Series, base: Judgement, sign: float) -> Judgement:
    """From where on it is not finite."""
    at = series.broke_at
    assert at is not None
    last = sign * float(series.values[-1]) if len(series.values) else math.nan
    why = f"Not finite from step {step(at)} on."
    return dataclasses.replace(base, verdict=says.DIVERGED, sentence=why, diverged_at=at, last=last)


def not_learning(level: Levels, among: Company, base: Judgement, sign: float) -> Judgement:
    """That it hardly fell, or hardly beside others."""
    first, last = number(sign * level.start), number(sign * level.end)
    why = f"It ends at {last} where it began at {first}"
    if abs(level.end - level.start) <= ERRORS * level.rise_error:
        why = f"{why}, within its noise"
    elif level.descent > ERRORS * level.rise_error:
        why = f"From {first} it gained {number(level.descent)} only"
        best = among.whole[0].fall if among.whole else 0.0
        if best > LITTLE * level.descent:
            why = f"{why}, where another that starts alike gained {number(best)}"
    return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=f"{why}.", best_step=None)


def overtrained(series: Series, level: Levels, base: Judgement, sign: float) -> Judgement:
    """Where its best step was, and what is lost since."""
    best = step(float(series.steps[level.best_at]))
    why = f"Best near step {best}, at {number(sign * level.best)}; by the end it is worse by"
    return dataclasses.replace(
        base, verdict=says.OVERTRAINED, sentence=f"{why} {number(level.rise)}."
    )


def oscillating(series: Series, level: Levels, base: Judgement, sign: float) -> Judgement:
    """By how much it swings, and with which period."""
    found = swing(*residuals(series))
    how = f"every {step(found.period)} steps" if found.regular else "at no fixed period"
    gone = "fallen" if sign > 0 else "risen"
    why = (
        f"It swings by ±{number(found.amplitude)} {how}, without settling (it has {gone} by"
        f" {number(level.descent)})."
    )
    return dataclasses.replace(
        base,
        verdict=says.OSCILLATING,
        sentence=why,
        amplitude=found.amplitude,
        period=found.period if found.regular else math.nan,
    )


def improving(base: Judgement) -> Judgement:
    """Where it is heading and when."""
    why = f"Heading for {number(base.limit.estimate)}: {ahead(base)}"
    if math.isfinite(base.half_gain_at):
        why = f"{why}, half of it by step {step(base.half_gain_at)}"
    return dataclasses.replace(base, verdict=says.IMPROVING, sentence=f"{why}.")


def converged(own: Standing, among: Company, base: Judgement) -> Judgement:
    """Where it has settled, and whether that is as good as others."""
    why = f"Settled near {number(base.last)}"
    if len(among.whole) >= COMPANY and among.better(own) is None:
        why = f"{why}, about as good as any of the {len(among.whole)} others that start alike"
    why = f"{why}: {ahead(base)}."
    return dataclasses.replace(base, verdict=says.CONVERGED, sentence=why)


def ahead(base: Judgement) -> str:
    """What ten times the length would gain."""
    gain = base.gain
    told = f"{number(gain.estimate)} [{number(gain.low)}, {number(gain.high)}]"
    return f"ten times the length would gain {told} more"


def stuck(
    series: Series,
    level: Levels,
    measures: Mapping[str, float],
    floor: float,
    better: Standing | None,
    base: Judgement,
    sign: float,
) -> Judgement:
    """What speaks most plainly for its being stuck: its own course, or that another came lower."""
    rest, length = measures["rest"], float(series.steps[-1] - series.steps[0])
    why = f"At rest from step {step(float(series.steps[0]) + rest * length)} on"
    remains, ends, begins = left(level, floor), measures["ends"], measures["begins"]
    low, high = BROKEN_OFF
    if level.rise > max(MATTERS * level.descent, ERRORS * level.rise_error):
        best = step(float(series.steps[level.best_at]))
        why = f"It came to {number(sign * level.best)} by step {best} and has lost"
        why = f"{why} {number(level.rise)} since: another rate would end better."
    elif better is not None:
        why = f"It came to rest at {number(base.last)} where another that starts alike reached"
        why = f"{why} {number(sign * better.end)}."
    elif remains > LEFT and rest < EARLY and sign > 0:
        why = f"{why} with {100 * remains:.0f} % of its start level left."
    elif 0 <= ends < ABRUPT_END and begins < SLOW_BEGIN:
        course = "fall" if sign > 0 else "rise"
        why = f"{why}: its {course} ended as suddenly as no law's does, so something broke it off."
    elif low < measures["promised"] < high:
        promised = number(sign * (level.end - measures["promised"] * level.descent))
        why = f"{why}; as it went before, it would have come to {promised} instead of"
        why = f"{why} {number(sign * level.end)}."
    else:
        why = f"{why}: curves that rest like this often end better at another rate."
    return dataclasses.replace(base, verdict=says.STUCK, sentence=why)


def unknown(base: Judgement) -> Judgement:
    """Between which verdicts it cannot be told."""
    first, second = sorted(base.chances, key=lambda name: -base.chances[name])[:2]
    chances = f"{base.chances[first]:.2f} and {base.chances[second]:.2f}"
    why = f"It may be {first} or {second} (chances {chances})"
    why = f"{why}: {ahead(base)}." if base.gain else f"{why}."
    return dataclasses.replace(base, verdict=says.UNKNOWN, sentence=why)
