"""Curves of one task, each judged in the light of the others.

Whether a curve at rest is stuck, one curve alone hardly shows: that another of its task came lower
does. And a fall that is small beside the others' is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from convergence.analysis.curves import judgement as says
from convergence.analysis.curves import saying
from convergence.analysis.curves.judgement import Judgement, Kind
from convergence.analysis.curves.judging import judge
from convergence.analysis.curves.resting import MATTERS
from convergence.analysis.curves.weighing import UNSURE, scaled
from convergence.analysis.curves.words import number

ALIKE = 0.15  # of the start level: curves that start so near each other are compared
AS_LONG = 0.1  # of the last step: curves that end so near each other are as long
RISEN = 0.05  # of the start level: a curve that ends so far above its start says nothing of others
SPREAD = 3.0  # standard deviations of a point by which starts differ by their batches
COMPANY = 3  # other curves, at least, of which none ended lower: then nothing speaks for "stuck"
NOTHING = 0.02  # of the largest fall: a smaller one is none
SOMETHING = 0.03  # of the largest fall: a larger one is one
ERRORS = 2.0  # standard errors by which the best of several may be better by luck
AGAINST = 0.05  # what remains of a chance that the others speak against
FALLS = (says.CONVERGED, says.IMPROVING, says.STUCK)


def judge_together(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    kind: Kind = "loss",
    rng: np.random.Generator,
) -> list[Judgement]:
    """The verdicts on curves of one task and quantity, each in the light of the others.

    Args:
        curves: (steps, values) each.
        kind, rng: as of `judge`.
    """
    return beside([judge(*curve, kind=kind, rng=rng) for curve in curves], kind)


def beside(alone: Sequence[Judgement], kind: Kind) -> list[Judgement]:
    """The judgements of curves of one task and quantity, each in the light of the others.

    Only curves that start alike and are as long are compared (`ALIKE`, `AS_LONG`).
    """
    sign = -1.0 if kind == "score" else 1.0
    whole = [
        one
        for one in alone
        if one.verdict != says.DIVERGED and sign * (one.last - one.start) <= RISEN * abs(one.start)
    ]
    return [_beside(one, [x for x in whole if _like(one, x)], sign, kind) for one in alone]


def _like(one: Judgement, other: Judgement) -> bool:
    apart = abs(other.start - one.start) - SPREAD * math.hypot(one.noise, other.noise)
    return (
        other is not one
        and apart <= ALIKE * max(abs(one.start), one.descent)
        and abs(other.last_step - one.last_step) <= AS_LONG * abs(one.last_step)
    )


def _beside(one: Judgement, alike: Sequence[Judgement], sign: float, kind: Kind) -> Judgement:
    if not alike or not one.gain or _likeliest(one.chances) not in (*FALLS, says.NOT_LEARNING):
        return one
    best = min(alike, key=lambda x: sign * x.last)
    fall = sign * (one.start - one.last)
    beyond = sign * (one.last - best.last) - MATTERS * max(fall, 0.0)
    noise = ERRORS * math.hypot(one.error, best.error)
    beaten = beyond > noise
    largest = max(fall, *(sign * (x.start - x.last) for x in alike), 1e-300)
    share = (fall if kind == "loss" else one.descent) / largest
    against = set(FALLS) if share < NOTHING else {says.NOT_LEARNING} if share > SOMETHING else set()
    if beaten:
        against.add(says.CONVERGED)
    elif len(alike) >= COMPANY and beyond < -noise / ERRORS:
        against.add(says.STUCK)
    now = dataclasses.replace(one, chances=scaled(one.chances, dict.fromkeys(against, AGAINST)))
    verdict = _likeliest(now.chances)
    if now.chances[verdict] < UNSURE:
        return saying.unknown(now)
    if verdict == one.verdict:
        return now
    if verdict == says.IMPROVING:
        return saying.improving(now)
    there = number(one.last)
    why = f"Beside those that start alike, {verdict} is likelier than {one.verdict}."
    if verdict == says.STUCK and beaten:
        why = f"It came to rest at {there} where another that starts alike reached"
        why = f"{why} {number(best.last)}."
    elif verdict == says.NOT_LEARNING:
        why = f"It gains {100 * share:.1f} % of what another does that starts alike."
    elif verdict == says.CONVERGED and not beaten:
        why = f"It came to rest at {there}, as good as any of the {len(alike)} that start alike."
    return dataclasses.replace(now, verdict=verdict, sentence=why)


def _likeliest(chances: Mapping[str, float]) -> str:
    return max(chances, key=lambda name: chances[name], default=says.UNKNOWN)
