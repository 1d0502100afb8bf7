"""Figures of the loss between and around the ends of descents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.bands import band
from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import MARKERS, Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Told = Mapping[str, Any]
LEVELS = 12  # contours
HEIGHT = 2.9


def _array(values: Any) -> np.ndarray:
    if isinstance(values, list):
        return np.array([_array(one) for one in values], np.float64)
    return np.array(from_strict(values))


def _surface(one: Told) -> Panel | None:
    x, y, loss = _array(one["x"]), _array(one["y"]), _array(one["loss"])
    known = loss[np.isfinite(loss)]
    if not len(known) or known.max() <= known.min():
        return None
    log = bool(known.min() > 0)
    levels = (
        np.geomspace(known.min(), known.max(), LEVELS + 1)
        if log
        else np.linspace(known.min(), known.max(), LEVELS + 1)
    )
    if (np.diff(levels) <= 0).any():
        return None

    def paint(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import to_rgba

        axes.grid(False)
        shades = [to_rgba(palette.muted, 0.04 + 0.5 * k / LEVELS) for k in range(LEVELS)]
        axes.contourf(x, y, np.clip(loss, levels[0], levels[-1]), levels, colors=shades)
        for k, line in enumerate(one["descents"]):
            places = _array(line["places"])
            shade = ax.colour(palette, k % len(palette.series))
            ax.line(axes, places[:, 0], places[:, 1], palette, k)
            axes.plot(*places[0], MARKERS[0], color=shade, markersize=4, zorder=5)
            axes.plot(*places[-1], "X", color=shade, markersize=6, zorder=6)
        ax.scale(axes, "x", float(x[0]), float(x[-1]), False)
        ax.scale(axes, "y", float(y[0]), float(y[-1]), False)
        held = [100 * from_strict(share) for share in one["held"]]
        axes.set_xlabel(f"first direction ({held[0]:.0f} %)", fontsize=7.5, labelpad=1.5)

    held = 100 * from_strict(one["held"][1])
    legend = tuple(
        ax.entry(f"descent of seed {line['seed']}", k) for k, line in enumerate(one["descents"])
    )
    title = f"Plane of {one['title']}"
    return Panel(title, paint, f"second direction ({held:.0f} %)", legend, HEIGHT)


def surfaces(records: Records) -> Drawn | None:
    """The loss around where descents ended, with the descents, from two starts or more."""
    told: Sequence[Told] = records.summary.get("surfaces") or ()
    panels = [panel for panel in map(_surface, told) if panel]
    if not panels:
        return None
    ends = [
        f"seed {line['seed']} from {tables.number(from_strict(line['losses'][0]))} to"
        f" {tables.number(from_strict(line['losses'][-1]))}"
        for one in told[: max(1, len(told) - 1)]
        for line in one["descents"]
    ]
    shares = [100 * from_strict(line["held"]) for one in told for line in one["descents"]]
    return Drawn(
        "surfaces",
        "The descent to the minimum",
        f"Training loss: {'; '.join(dict.fromkeys(ends))}. The planes hold"
        f" {min(shares):.0f} to {max(shares):.0f} % of the descents drawn on them.",
        tuple(panels),
        "Planes of the two principal directions of a descent's own params, around its end (of both:"
        " around the middle of the ends); darker is a higher loss"
        " (logarithmic where all are above 0). Dot: start, cross: end. A descent leaves its plane:"
        " its shadow is drawn; percentages are shares of its squared distances.",
    )


def barriers(records: Records) -> Drawn | None:
    """The training loss on the straight path between two ends."""
    told: Sequence[Told] = records.summary.get("barriers") or ()
    curves = [(one, _array(one["shares"]), _array(one["losses"])) for one in told]
    if not curves:
        return None
    reached = np.concatenate([losses.ravel() for _, _, losses in curves])
    log = ax.wide(reached)
    low, high = ax.limits(reached, log)

    def paint(axes: Axes, palette: Palette) -> None:
        for series, (_, shares, losses) in enumerate(curves):
            bottom, middle, top = band(losses)
            shade = ax.colour(palette, series)
            if len(losses) > 1:
                axes.fill_between(shares, bottom, top, color=shade, alpha=0.16, linewidth=0)
            ax.line(axes, shares, middle, palette, series)
        ax.scale(axes, "x", 0.0, 1.0, False)
        ax.scale(axes, "y", low, high, log)
        axes.set_xlabel("share of the way from one end to the other", fontsize=7.5, labelpad=1.5)

    heights = [
        f"between {one['what']}"
        f" {tables.estimate(*(from_strict(one['height'][k]) for k in ('estimate', 'low', 'high')))}"
        for one, _, _ in curves
    ]
    legend = tuple(
        ax.entry(f"{one['what']} ({one['pairs']} pairs)", k) for k, (one, _, _) in enumerate(curves)
    )
    return Drawn(
        "barriers",
        "The straight path between two ends",
        f"Mean barrier in the training loss: {'; '.join(heights)}.",
        (Panel("", paint, "training loss", legend),),
        "Line: median over pairs; band: their spread. A barrier is the most by which the path lies"
        " above the line between its ends' losses.",
    )
