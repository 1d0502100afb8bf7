"""Panels of estimates: a line each, with its label above, its interval and the seeds behind it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Panel
from convergence.reporting.figures.palette import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW, LINE = 0.2, 0.145  # inches of an estimate's line and of a line of its label
WRAP = 58  # characters of a label's line
LABEL_LINES = 3
BEYOND = 3.0  # times the furthest effect: intervals that reach further end in an arrow
LINEAR = 30.0  # effects beyond so many margins need a scale that is linear only within the margin
MARKS = {"holds": "o", "fails": "X", "undecided": "D", "not applicable": "D"}


class Row:
    """An estimate with its interval, its label and the single seeds behind it."""

    def __init__(
        self,
        label: str,
        value: float,
        low: float,
        high: float,
        seeds: ArrayLike = (),
        kind: str = "",
        text: str = "",
    ) -> None:
        self.lines = textwrap.wrap(tables.clean(label), WRAP)[:LABEL_LINES] or [""]
        self.value, self.low, self.high = value, low, high
        self.seeds = np.asarray(seeds, np.float64)
        self.kind = kind
        self.text = text or ("" if math.isfinite(value) else "no seed finished")
        if self.text and len(self.lines[-1]) + len(self.text) > WRAP:
            self.lines.append("")  # what is told stands beside the label, never over the seeds

    @property
    def height(self) -> float:
        """Inches of the label and the estimate."""
        return LINE * len(self.lines) + ROW


def span_of(rows: Sequence[Row], margin: float | None) -> tuple[float, float]:
    """The x axis' ends: all estimates and seeds, and bounds that are not much further out."""
    inner = [row.value for row in rows if math.isfinite(row.value)]
    inner += [float(x) for row in rows for x in row.seeds if math.isfinite(x)]
    inner += [-margin, margin, 0.0] if margin else []
    if not inner:
        return 0.0, 1.0
    low, high = min(inner), max(inner)
    reach = max(high - low, 1e-12 + 1e-3 * abs(high))
    bounds = [b for row in rows for b in (row.low, row.high) if math.isfinite(b)]
    low = min([low, *(b for b in bounds if b >= low - (BEYOND - 1) / 2 * reach)])
    high = max([high, *(b for b in bounds if b <= high + (BEYOND - 1) / 2 * reach)])
    room = 0.05 * max(high - low, reach)
    return low - room, high + room


def rows_panel(
    title: str,
    rows: Sequence[Row],
    quantity: str,
    margin: float | None = None,
    span: tuple[float, float] | None = None,
) -> Panel:
    low, high = span or span_of(rows, margin)
    height = sum(row.height for row in rows) + 0.05
    furthest = max((abs(row.value) for row in rows if math.isfinite(row.value)), default=0.0)
    bent = bool(margin and furthest > LINEAR * margin)
    if bent:  # room on a scale of decades
        low, high = (1.6 * end if abs(end) > 2 * (margin or 0) else end for end in (low, high))

    def paint(axes: Axes, palette: Palette) -> None:
        if margin and bent:
            axes.set_xscale("symlog", linthresh=margin)
            ax.symlog_ticks(axes, margin, low, high)
        else:
            ax.scale(axes, "x", low, high, log=False)
        axes.set_xlim(low, high)
        axes.set_ylim(height, 0)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        beyond = " (linear within the margin, decades beyond)" if bent else ""
        axes.set_xlabel(quantity + beyond, fontsize=7.5, labelpad=1.5)
        if margin:
            axes.axvspan(-margin, margin, color=palette.area, zorder=0, linewidth=0)
            axes.axvline(0, color=palette.muted, linewidth=0.8, zorder=1)
        y = 0.05
        for row in rows:
            _paint_row(axes, palette, row, y, (low, high))
            y += row.height

    return Panel(title, paint, "", (), height, ticks=False)


def _paint_row(
    axes: Axes, palette: Palette, row: Row, top: float, span: tuple[float, float]
) -> None:
    colour = {"holds": palette.holds, "fails": palette.fails}.get(
        row.kind, palette.undecided if row.kind else palette.series[0]
    )
    for k, text in enumerate(row.lines):
        place = top + LINE * (k + 0.55)
        axes.text(
            0.0,
            place,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=palette.ink,
        )
    y = top + LINE * len(row.lines) + ROW * 0.4
    seeds = row.seeds[(row.seeds >= span[0]) & (row.seeds <= span[1])]
    axes.plot(seeds, np.full(len(seeds), y), ".", color=palette.muted, markersize=3, zorder=2)
    low, high = max(row.low, span[0]), min(row.high, span[1])
    if math.isfinite(row.value) and low <= high:
        axes.plot([low, high], [y, y], color=colour, linewidth=1.8, zorder=3)
    inside = span[0] <= row.value <= span[1]
    for bound, edge, marker in ((row.low, span[0], "<"), (row.high, span[1], ">")):
        beyond = bound < edge if marker == "<" else bound > edge
        there = math.isfinite(row.value) and (inside or (row.value < edge) == (marker == "<"))
        if beyond and there:
            axes.plot(edge, y, marker, color=colour, markersize=4.5, zorder=4, clip_on=False)
    if math.isfinite(row.value) and not inside:
        left = row.value < span[0]
        axes.text(
            0.03 if left else 0.97,
            y,
            tables.number(row.value),
            transform=axes.get_yaxis_transform(),
            va="center",
            ha="left" if left else "right",
            fontsize=7,
            color=colour,
        )
    elif math.isfinite(row.value):
        open_face = palette.paper if row.kind in ("undecided", "not applicable") else colour
        axes.plot(
            row.value,
            y,
            MARKS.get(row.kind, "o"),
            color=colour,
            markerfacecolor=open_face,
            markersize=5.5,
            zorder=5,
        )
    if row.text:
        axes.text(
            1.0,
            top + LINE * (len(row.lines) - 0.45),
            row.text,
            transform=axes.get_yaxis_transform(),
            va="center",
            ha="right",
            fontsize=7,
            color=palette.muted,
        )
