"""The figure of a search for a learning rate: the loss by rate, and where to start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = (("first_search", "first search", 0), ("second_search", "second search", 1))


def losses(records: Records) -> Drawn | None:
    """The mean training loss by learning rate, with the suggestion and where runs diverge."""
    finding = records.summary.get("finding")
    curves = {name: _curve(records.summary.get(name) or ()) for name, _, _ in CURVES}
    known = np.concatenate([curve[:, 1] for curve in curves.values()])
    known = known[np.isfinite(known)]
    if not finding or not known.size:
        return None
    rates = np.concatenate([curve[:, 0] for curve in curves.values()])
    start = _start(curves["first_search"])
    suggestion, edge = (from_strict(finding[name]) for name in ("rate", "divergence"))
    bounds = [from_strict(finding[name]) for name in ("low", "high")]

    def paint(axes: Axes, palette: Palette) -> None:
        top = start + 0.6 * max(start - float(known.min()), 1e-9)
        low, high = ax.limits(np.minimum(known, top), False)
        if np.isfinite(bounds).all():
            axes.axvspan(*bounds, color=palette.ink, alpha=0.12, linewidth=0, zorder=1)
        if np.isfinite(suggestion):
            axes.axvline(suggestion, color=palette.ink, linewidth=1.2, zorder=2)
        if np.isfinite(edge):
            axes.axvline(edge, color=palette.series[2], linewidth=1.2, linestyle=":", zorder=2)
        for name, _, series in CURVES:
            x, y, lower, upper = np.minimum(curves[name], [np.inf, high, high, high]).T
            if not np.isfinite(y).any():
                continue
            shade = palette.series[series]
            axes.fill_between(x, lower, upper, color=shade, alpha=0.16, linewidth=0, zorder=3)
            ax.line(axes, x, y, palette, series)
        ax.scale(axes, "y", low, high, False)
        ax.scale(axes, "x", float(rates.min()), float(rates.max()), True)
        axes.set_xlabel("learning rate", fontsize=7.5, labelpad=1.5)

    legend = [ax.entry(label, series) for name, label, series in CURVES if len(curves[name])]
    if np.isfinite(suggestion):
        legend.append(ax.entry(f"start from {tables.number(suggestion)}"))
    if np.isfinite(edge):
        legend.append(ax.entry(f"runs diverge from {tables.number(edge)}", 2))
    return Drawn(
        "rate_losses",
        "The loss by learning rate",
        str(finding["sentence"]),
        (Panel("", paint, "mean training loss", tuple(legend), height=2.2),),
        "Mean over runs from the start, which take half as long in the first search; bands: 95 %"
        " over seeds, grey: the suggestion's. Losses far above the start are cut off.",
    )


def _curve(rows: Sequence[Any]) -> np.ndarray:
    """[rates, 4] rate, loss and its bounds; NaN where a seed's loss is not finite."""
    cells = [
        [_number(row.get(name)) for name in ("rate", "loss", "low", "high")]
        for row in rows
        if isinstance(row, dict)
    ]
    return np.array(cells, np.float64).reshape(-1, 4)


def _number(value: Any) -> float:
    number = from_strict(value)
    return number if np.isfinite(number) else float("nan")


def _start(curve: np.ndarray) -> float:
    """About the loss before training: that of the lowest rate."""
    there = curve[np.isfinite(curve[:, 1]), 1]
    return float(there[0]) if len(there) else 0.0
