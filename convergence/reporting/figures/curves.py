"""Figures of the training loss and of the metric on held-out rows, over steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convergence import names
from convergence.analysis.bands import band
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.groups import (
    Group,
    groups,
    loss_name,
    loss_scale,
    validation_words,
)
from convergence.reporting.figures.lines import (
    Curve,
    band_note,
    edges,
    end,
    group_panel,
    loss_curve,
    there,
    until,
)
from convergence.reporting.records import Records

FURTHEST = 1e4  # times the middle value: what lies beyond would flatten all the rest


def loss(records: Records) -> Drawn | None:
    """Training loss of every arm: median and band over seeds, with marks where seeds broke off."""
    if not there(records, "loss_step", "loss_mean"):
        return None
    panels = [_loss_panel(records, group) for group in groups(records, loss_scale)]
    return Drawn(
        "loss",
        "Training loss",
        _loss_sentence(records),
        tuple(panels),
        band_note(records)
        + (" Only losses of one kind share an axis." if len(panels) > 1 else "")
        + (" A cross marks a seed's first non-finite step." if _diverged(records) else ""),
    )


def metric(records: Records) -> Drawn | None:
    """The study's metric on held-out rows over the run: median and band over seeds."""
    name = f"{records.split}_{records.metric}"
    if not records.split or not there(records, "eval_step", name):
        return None
    if len(records.curves["eval_step"]) < 2:
        return None

    def curve(arm: str) -> Curve:
        steps = records.curves["eval_step"]
        return until(records, arm, steps, records.curves[name][records.rows[arm]])

    drawn_groups = groups(records)
    shared = [edges(curve(arm)) for arm in records.arms]
    low, high = ax.limits(_middle_range(shared), log=False)
    log = records.metric not in names.HIGHER_IS_BETTER and ax.wide(np.concatenate(shared))
    if log:
        low, high = ax.limits(np.concatenate(shared), log=True)
    panels = tuple(
        group_panel(
            records,
            group,
            curve,
            f"{records.metric}, {validation_words(records)}",
            (low, high, log),
        )
        for group in drawn_groups
    )
    return Drawn(
        "metric",
        f"{records.metric} on held-out rows",
        _metric_sentence(records),
        panels,
        band_note(records) + (" All panels share their axes." if len(panels) > 1 else ""),
    )


def _middle_range(reached: Sequence[np.ndarray]) -> np.ndarray:
    """All values, but for those so far off that they would flatten all the others."""
    values = np.concatenate(reached)
    values = values[np.isfinite(values)]
    if not len(values):
        return values
    low, high = np.percentile(values, [2, 98])
    room = high - low
    return values[(values >= low - room) & (values <= high + room)]


def _loss_panel(records: Records, group: Group) -> Panel:
    def curve(arm: str) -> Curve:
        return loss_curve(records, arm)

    arms = [*group.arms, *([group.reference] if group.reference else [])]
    kind = loss_name(records, arms[0])
    reached = np.concatenate([edges(curve(arm)) for arm in arms])
    reached = reached[np.isfinite(reached)]
    log = bool(len(reached) and reached.min() > 0)
    if log:
        reached = reached[reached <= FURTHEST * np.median(reached)]
    low, high = ax.limits(reached, log)
    return group_panel(records, group, curve, kind, (low, high, log))


def _diverged(records: Records) -> int:
    return sum(status == "diverged" for status in records.trials.get("status", ()))


def _loss_sentence(records: Records) -> str:
    reference = records.arms[0]
    steps, values = loss_curve(records, reference)
    low, middle, high = (float(one[-1]) for one in band(values))
    seeds = len(values)
    told = tables.number(middle)
    if seeds > 1 and np.isfinite(middle):
        told += f" (band {tables.number(low)} to {tables.number(high)})"
    what = "median training loss" if seeds > 1 else "training loss"
    text = (
        f"The {what} of ‘{reference}’ ends at {told} after {steps[-1]:,} steps"
        if np.isfinite(middle)
        else f"No seed of ‘{reference}’ reached its last step"
    )
    scale = loss_scale(records, reference)
    same = [arm for arm in records.arms if loss_scale(records, arm) == scale]
    last = {arm: end(loss_curve(records, arm)) for arm in same}
    ends = {arm: value for arm, value in last.items() if np.isfinite(value)}
    if len(ends) > 1:
        best = min(ends, key=lambda arm: ends[arm])
        worst = max(ends, key=lambda arm: ends[arm])
        text += (
            f"; lowest of its kind ‘{best}’ ({tables.number(ends[best])}),"
            f" highest ‘{worst}’ ({tables.number(ends[worst])})"
        )
    return f"{text}."


def _metric_sentence(records: Records) -> str:
    name = f"{records.split}_{records.metric}"
    values = records.curves[name][records.rows[records.arms[0]]].astype(np.float64)
    steps = records.curves["eval_step"]
    middle = band(values)[1]
    text = (
        f"‘{records.arms[0]}’ goes from {tables.number(middle[0])} to {tables.number(middle[-1])}"
    )
    share = np.abs(middle - middle[0])
    if np.isfinite(share).all() and share[-1] > 0:
        at = int(np.argmax(share >= 0.9 * share[-1]))
        text += f", nine tenths of the way by step {steps[at]:,}"
    over = "median over seeds" if len(values) > 1 else "one seed"
    return f"{text} ({over}, {validation_words(records)})."
