"""Where each arm's training curves ended: the verdicts on its trials, with limit and gain."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from convergence.analysis.curves import VERDICTS, Judgement, judge_together
from convergence.reporting import tables
from convergence.reporting.records import Records

Made = tuple[str, str, tuple[str, ...], list[tuple[str, ...]], str]  # see report.luck
MOST = 96  # curves judged, spread evenly over the arms: about a second
HEADERS = ("arm", "verdicts", "of", "last", "limit", "gain of ten times the steps")


def made(records: Records) -> list[Made]:
    """The table, where the training loss of trials was recorded."""
    curves = records.curves
    if "loss_mean" not in curves or "loss_step" not in curves or not records.arms:
        return []
    steps = curves["loss_step"].astype(np.float64)
    each = max(1, MOST // len(records.arms))
    lengths = records.column("steps")
    arms, trials = [], []
    for arm in records.arms[:MOST]:
        for row in records.rows[arm][:each]:
            length = lengths[row]
            inside = steps <= length if np.isfinite(length) else np.ones(len(steps), bool)
            values = curves["loss_mean"][row].astype(np.float64)
            trials.append((steps[inside], values[inside]))
            arms.append(arm)
    told = judge_together(trials)
    rows = [
        _row(arm, [one for one, of in zip(told, arms) if of == arm]) for arm in dict.fromkeys(arms)
    ]
    left = f" Arms beyond the first {MOST} are not judged." if len(records.arms) > MOST else ""
    note = (
        "Each trial's training loss is judged beside the others that start alike, as by"
        f" scripts/judge.py; figures are medians over the trials{_few(records, each)}.{left}"
    )
    return [("endings", "Where each arm's training curves ended", HEADERS, rows, note)]


def _few(records: Records, each: int) -> str:
    most = max(len(records.rows[arm]) for arm in records.arms)
    return f" (the first {each} of each arm)" if most > each else ""


def _row(arm: str, said: list[Judgement]) -> tuple[str, ...]:
    counts = Counter(one.verdict for one in said)
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
    levels = (
        [one.last for one in said],
        [one.limit.estimate for one in said],
        [one.gain.estimate for one in said],
    )
    return (arm, verdicts, str(len(said)), *map(_median, levels))


def _median(values: list[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return tables.number(float(np.median(known))) if known else "–"
