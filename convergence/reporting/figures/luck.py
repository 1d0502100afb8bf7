"""Figures of luck: which source makes how much of the spread, and how it grows with spoiling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence import names
from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import Palette
from convergence.reporting.figures.rows import Row, rows_panel
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bounds = tuple[float, float, float]  # estimate, low, high


def bounds(told: Mapping[str, Any] | None) -> Bounds:
    """An interval's estimate and bounds from strict JSON; NaN where there is none."""
    if not told:
        return math.nan, math.nan, math.nan
    estimate, low, high = (from_strict(told[name]) for name in ("estimate", "low", "high"))
    return estimate, low, high


def bars_row(label: str, told: Bounds, text: str = "") -> Row:
    """A line of a panel of spreads; one without upper bound is drawn as a point, and says so."""
    value, low, high = told
    if not math.isfinite(high):
        low = high = value
        text = text or "no interval"
    return Row(label, value, low, high, (), "", text)


def reach(rows: Sequence[Row]) -> tuple[float, float]:
    """An x axis from 0 to the furthest bound."""
    known = [max(row.value, row.high) for row in rows if math.isfinite(row.value)]
    return 0.0, 1.08 * max(known, default=0.0) or 1.0


def sources(records: Records) -> Drawn | None:
    """The spread that each source makes by itself, and how far its draws' predictions differ."""
    told = records.summary.get("sources") or ()
    if not told:
        return None
    spreads = [bars_row(one["source"], bounds(one["sd"])) for one in told]
    churns = [bars_row(one["source"], bounds(one["churn"])) for one in told]
    known = [row for row in spreads if math.isfinite(row.value)]
    if not known:
        return None
    single, whole = known[:-1], known[-1]
    most = max(single or known, key=lambda row: row.value)
    beside = (
        f" All that vary together: {tables.number(whole.value)}"
        f" {tables.interval(whole.low, whole.high)}."
        if single
        else ""
    )
    unit = "rows predicted otherwise" if _classes(records) else "root mean square difference"
    expected = [from_strict(one.get("expected")) for one in told]
    floor = max((value for value in expected if math.isfinite(value)), default=math.nan)
    chance = (
        f" Independent rows alone would make {tables.number(floor)} (√Σp(1 − p)/n)."
        if math.isfinite(floor)
        else ""
    )
    quantity = f"standard deviation of {records.metric}"
    panels = [rows_panel("Spread of the score", spreads, quantity, span=reach(spreads))]
    if any(math.isfinite(row.value) for row in churns):
        title = "Prediction churn between pairs of its draws"
        panels.append(rows_panel(title, churns, unit, span=reach(churns)))
    return Drawn(
        "sources",
        "Spread by source of randomness",
        f"By itself ‘{' '.join(most.lines)}’ moves the result most: standard deviation"
        f" {tables.number(most.value)} {tables.interval(most.low, most.high)}.{beside}{chance}",
        tuple(panels),
        "Each line: one source varies, all others are held, averaged over several draws of them;"
        " the last: all vary. Intervals: 95 %, over draws of the source.",
    )


def _classes(records: Records) -> bool:
    return records.metric in names.CLASSIFICATION_METRICS


def consistency(records: Records) -> Drawn | None:
    """The spread over seeds against the dose of spoiled targets."""
    told = records.summary.get("consistency") or {}
    doses = told.get("doses") or ()
    if len(doses) < 2:
        return None
    at = np.array([from_strict(one["dose"]) for one in doses])
    spread = np.array([[from_strict(one[name]) for name in ("sd", "low", "high")] for one in doses])
    slope = bounds(told.get("slope"))

    def paint(axes: Axes, palette: Palette) -> None:
        colour = palette.series[0]
        high = np.where(np.isfinite(spread[:, 2]), spread[:, 2], spread[:, 0])
        low = np.where(np.isfinite(spread[:, 1]), spread[:, 1], spread[:, 0])
        axes.vlines(at, low, high, color=colour, linewidth=1.8, zorder=3)
        axes.plot(at, spread[:, 0], "o-", color=colour, markersize=5, zorder=4)
        ax.scale(axes, "x", *ax.limits(at, False), False)
        ax.scale(axes, "y", 0.0, 1.08 * float(np.nanmax([*high, *spread[:, 0]])) or 1.0, False)
        axes.set_xlabel(f"share of {_spoiled(told)}", fontsize=7.5, labelpad=1.5)

    first, last = spread[0, 0], spread[-1, 0]
    sentence = (
        f"The spread over seeds goes from {tables.number(first)} at dose"
        f" {tables.number(float(at[0]))} to {tables.number(last)} at {tables.number(float(at[-1]))}"
    )
    if math.isfinite(slope[0]):
        sentence += f"; slope from nothing spoiled to all {tables.estimate(*slope)}"
    return Drawn(
        "consistency",
        "Less consistent data, more luck?",
        f"{sentence}.",
        (Panel("", paint, f"standard deviation of {records.metric} over seeds"),),
        "Targets of training and validation rows are spoiled, scores are against clean ones."
        " Intervals: 95 %, over seeds.",
    )


def _spoiled(told: Mapping[str, Any]) -> str:
    return {"label_noise": "labels redrawn", "outliers": "targets thrown far off"}.get(
        str(told.get("field")), "spoiled targets"
    )
