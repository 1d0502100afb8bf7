"""Figures of learning rates: their course, and what a rate that does not fit does to the loss."""

from __future__ import annotations

import numpy as np

from convergence import names
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn
from convergence.reporting.figures.groups import groups, loss_name
from convergence.reporting.figures.lines import (
    Curve,
    end,
    group_panel,
    lines_panel,
    loss_curve,
    there,
    until,
)
from convergence.reporting.figures.schedules import arms_at_own
from convergence.reporting.records import Records

RATE_POINTS = 300  # a schedule's corners should stay sharp


def rates(records: Records) -> Drawn | None:
    """The learning rate at each step, for every arm whose rate takes a course of its own."""
    if not there(records, "loss_step", "rate"):
        return None
    arms = arms_at_own(records)
    courses = {arm: _course(records, arm) for arm in arms}
    known = {arm: curve for arm, curve in courses.items() if np.isfinite(curve[1]).any()}
    if not known:
        return None
    reference = records.arms[0]
    alike = [arm for arm in known if _same(courses[arm], courses[reference])]
    others = tuple(arm for arm in known if arm not in alike)
    drawn_groups = groups(records, arms=others)
    values = np.concatenate([curve[1].ravel() for curve in known.values()])
    peaks = [np.nanmax(curve[1]) for curve in known.values()]
    log = ax.wide(peaks)
    low, high = ax.limits(values, log)
    # What falls to nearly nothing does not stretch the axis, but every arm's peak is on it.
    least = min((peak for peak in peaks if peak > 0), default=high)
    low = max(low, min(high * 1e-6, least / 2)) if log else min(low, 0.0)
    panels = tuple(
        group_panel(records, group, courses.__getitem__, "learning rate", (low, high, log))
        for group in drawn_groups
    )
    untold = [arm for arm in arms if arm not in known]
    several = len(alike) - 1
    take = "1 further arm takes" if several == 1 else f"{several} further arms take"
    sentence = (
        f"The rate takes {len(others) + 1} different courses, with peaks from"
        f" {tables.number(min(peaks))} to {tables.number(max(peaks))}"
        if others
        else f"All arms take the same course of the rate, {_course_words(courses[reference])}"
    )
    beside = f"; {take} that of ‘{reference}’" if others and several else ""
    left_out = f" Not recorded finely enough to draw: {', '.join(untold)}." if untold else ""
    return Drawn(
        "rate",
        "Learning rate at each step",
        f"{sentence}{beside}.{left_out}",
        panels,
        "Peak × schedule × control of each step; where seeds differ, the median and their band.",
    )


def misfits(records: Records) -> Drawn | None:
    """The training loss under a rate too low, a good one and one too high."""
    picked = rate_examples(records)
    if len(picked) < 2 or not there(records, "loss_step", "loss_mean"):
        return None
    words = {arm: f"{word}: {tables.number(rate)}" for arm, (rate, word) in picked.items()}
    entries = [(arm, k) for k, arm in enumerate(picked)]
    curves = {arm: loss_curve(records, arm) for arm in picked}
    panel = lines_panel("", entries, curves, loss_name(records, records.arms[0]), words, None)
    ends = {arm: end(curve) for arm, curve in curves.items()}
    told = "; ".join(
        f"{word} ({tables.number(rate)}): {tables.number(ends[arm])}"
        for arm, (rate, word) in picked.items()
    )
    last = max(curve[0][-1] for curve in curves.values())
    return Drawn(
        "rates_compared",
        "The loss under a rate too low, good and too high",
        f"Median training loss after {last:,} steps – {told}.",
        (panel,),
        "The words judge the final score on validation rows at this length of run, not the loss.",
    )


def rate_examples(records: Records) -> dict[str, tuple[float, str]]:
    """Arms that show what a rate does: the best one, and the furthest of each kind of misfit."""
    told = records.summary.get("rates")
    if not isinstance(told, list) or not records.study:
        return {}
    arm_of = {records.study.setting.train.learning_rate: records.arms[0]} if records.arms else {}
    for arm in records.arms:
        changes = records.changes.get(arm, {})
        if set(changes) == {"learning_rate"}:
            arm_of[changes["learning_rate"]] = arm
    by_word: dict[str, list[tuple[float, str]]] = {}
    for one in told:
        if isinstance(one, dict) and one.get("rate") in arm_of:
            by_word.setdefault(str(one.get("was")), []).append((one["rate"], arm_of[one["rate"]]))
    sign = 1 if records.metric in names.HIGHER_IS_BETTER else -1

    def score(pair: tuple[float, str]) -> float:
        values = records.scores(pair[1])
        return sign * float(np.mean(values)) if np.isfinite(values).all() else -np.inf

    found = {}
    for word, pick in (("too low", min), ("useful", None), ("too high", max), ("diverges", max)):
        if pairs := by_word.get(word):
            rate, arm = max(pairs, key=score) if pick is None else pick(pairs)
            found[arm] = (rate, "good" if word == "useful" else word)
    return found


def _course(records: Records, arm: str) -> Curve:
    """An arm's rates, one line where all seeds have the same; at most `RATE_POINTS` points."""
    steps, values = until(
        records, arm, records.curves["loss_step"], records.curves["rate"][records.rows[arm]]
    )
    if len(values) and all(np.array_equal(values[0], one, equal_nan=True) for one in values):
        values = values[:1]
    keep = np.unique(np.linspace(0, len(steps) - 1, RATE_POINTS).astype(int))
    return steps[keep], values[:, keep]


def _same(one: Curve, other: Curve) -> bool:
    return one[1].shape == other[1].shape and np.allclose(one[1], other[1], equal_nan=True)


def _course_words(curve: Curve) -> str:
    first, last = float(np.nanmedian(curve[1][:, 0])), float(np.nanmedian(curve[1][:, -1]))
    if np.nanmax(curve[1]) == np.nanmin(curve[1]):
        return f"constant at {tables.number(first)}"
    return f"from {tables.number(first)} to {tables.number(last)}"
