"""Curves with what was judged of them: one panel a curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convergence.analysis.bands import thinned
from convergence.analysis.curves import Judgement
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Panel
from convergence.reporting.figures.palette import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 300


def panel(name: str, tag: str, steps: np.ndarray, values: np.ndarray, said: Judgement) -> Panel:
    """One curve: its points, its limit with the interval, its best step or where it broke.

    Args:
        name: what the panel shows.
        tag: the quantity.
        steps, values: [n] as recorded.
        said: the judgement on them.
    """
    there = np.isfinite(steps) & np.isfinite(values)
    order = np.argsort(steps[there], kind="stable")
    at, drawn = thinned(steps[there][order], values[there][order][None], POINTS)
    middle = drawn[0]
    if len(middle) > 20:  # what flies off would flatten the rest
        low, high = np.percentile(middle, [2, 98])
        shown = middle[(middle >= low - 2 * (high - low)) & (middle <= high + 2 * (high - low))]
    else:
        shown = middle
    log = ax.wide(shown)

    def paint(axes: Axes, palette: Palette) -> None:
        if said.limit and math.isfinite(said.limit.low + said.limit.high):
            axes.axhspan(said.limit.low, said.limit.high, color=palette.area, zorder=1)
            axes.axhline(said.limit.estimate, color=palette.muted, linewidth=0.8, zorder=2)
        ax.line(axes, at, middle, palette, 0)
        if len(at) == 1:
            axes.plot(at, middle, "o", color=ax.colour(palette, 0), markersize=3)
        for mark, shade in (
            (said.diverged_at, palette.fails),
            (said.best_step if said.verdict == "over-trained" else None, palette.muted),
        ):
            if mark is not None:
                axes.axvline(mark, color=shade, linewidth=1.0, zorder=3)
        ax.scale(axes, "y", *ax.limits(shown, log), log)
        ax.steps_axis(axes, float(at[-1]) if len(at) else 1.0)

    return Panel(name, paint, f"{tag}: {said.verdict}", height=1.4)
