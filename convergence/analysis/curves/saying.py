"""The sentence that goes with a verdict, and the steps that it names."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.features import Levels
from convergence.analysis.curves.judgement import Judgement
from convergence.analysis.curves.resting import left
from convergence.analysis.curves.series import Series
from convergence.analysis.curves.swinging import residuals, swing
from convergence.analysis.curves.words import number

LEFT = 0.5  # of the start level left where a curve is stuck
EARLY = 0.3  # of the run by which a stuck curve has come to rest
ABRUPT_END = 0.7  # of `abruptness`: below, the descent was broken off
SLOW_BEGIN = 0.95  # of `abruptness`: above, the descent begins as slowly as it ends
BROKEN_OFF = 0.06  # of the descent that the law of the earlier part promised beyond the end
LEAST = 1.0  # errors that a fall or rise of noise has


def diverged(series: Series, level: Levels, base: Judgement) -> Judgement:
    """When it rose, and from where to where."""
    line = level.best + 0.5 * level.rise
    later = np.flatnonzero(series.calm[level.best_at :] > line)
    at = float(series.steps[level.best_at + int(later[0])]) if len(later) else base.last_step
    why = f"It rises from {number(level.best)} to {number(level.end)}, half of that by step"
    return dataclasses.replace(
        base, verdict=says.DIVERGED, sentence=f"{why} {number(at)}.", diverged_at=at
    )


def not_learning(level: Levels, base: Judgement) -> Judgement:
    """That it hardly fell."""
    why = f"It fell from {number(level.start)} to {number(level.best)} only."
    if level.descent <= LEAST * level.rise_error:
        why = f"It ends at {number(level.end)} where it began at {number(level.start)}"
        why = f"{why}, within its noise."
    return dataclasses.replace(base, verdict=says.NOT_LEARNING, sentence=why, best_step=None)


def overtrained(series: Series, level: Levels, base: Judgement) -> Judgement:
    """Where its best step was, and what is lost since."""
    best = float(series.steps[level.best_at])
    why = f"Best near step {number(best)}; by the end {number(level.rise)} of it is lost again."
    return dataclasses.replace(base, verdict=says.OVERTRAINED, sentence=why)


def oscillating(series: Series, level: Levels, base: Judgement) -> Judgement:
    """By how much it swings, and with which period."""
    found = swing(*residuals(series))
    how = f"every {number(found.period)} steps" if found.regular else "at no fixed period"
    why = (
        f"It swings by ±{number(found.amplitude)} {how}, without settling (it has fallen by"
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
        why = f"{why}, half of it by step {number(base.half_gain_at)}"
    return dataclasses.replace(base, verdict=says.IMPROVING, sentence=f"{why}.")


def converged(base: Judgement) -> Judgement:
    """Where it has settled."""
    why = f"Settled near {number(base.last)}: {ahead(base)}."
    return dataclasses.replace(base, verdict=says.CONVERGED, sentence=why)


def ahead(base: Judgement) -> str:
    """What ten times the length would gain."""
    gain = base.gain
    told = f"{number(gain.estimate)} [{number(gain.low)}, {number(gain.high)}]"
    return f"ten times the length would gain {told} more"


def stuck(
    series: Series, level: Levels, measures: dict[str, float], floor: float, base: Judgement
) -> Judgement:
    """What of the curve speaks most plainly for its being stuck."""
    rest, length = measures["rest"], float(series.steps[-1] - series.steps[0])
    why = f"At rest from step {number(float(series.steps[0]) + rest * length)} on"
    remains, ends, begins = left(level, floor), measures["ends"], measures["begins"]
    if remains > LEFT and rest < EARLY:
        why = f"{why} with {100 * remains:.0f} % of its start level left."
    elif 0 <= ends < ABRUPT_END and begins < SLOW_BEGIN:
        why = f"{why}: its fall ended there as suddenly as no law's does: something broke it off."
    elif measures["promised"] > BROKEN_OFF:
        lower = number(level.end - measures["promised"] * level.descent)
        why = f"{why}; as it fell before, it would have come to {lower}, not {number(level.end)}."
    else:
        why = f"{why}: most that rest like this end lower at another rate."
    return dataclasses.replace(base, verdict=says.STUCK, sentence=why)


def unknown(base: Judgement) -> Judgement:
    """Between which verdicts it cannot be told."""
    first, second = sorted(base.chances, key=lambda name: -base.chances[name])[:2]
    chances = f"{base.chances[first]:.2f} and {base.chances[second]:.2f}"
    why = f"It may be {first} or {second} (chances {chances})"
    why = f"{why}: {ahead(base)}." if base.gain else f"{why}."
    return dataclasses.replace(base, verdict=says.UNKNOWN, sentence=why)
