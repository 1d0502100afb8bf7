"""Figure of the branch test: the end against the branch point, and the branches' way there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import DASHES, MARKERS, SOLID, Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Told = Mapping[str, Any]
QUANTILES = ("low", "median", "high")
EARLIER, LATER = 0, 1  # series


def branches(records: Records) -> Drawn | None:
    """Where the run ends when its rate is lowered elsewhere, and how it gets there."""
    told: Told | None = records.summary.get("branch")
    if not told or len(told["ways"]) < 2:
        return None
    ends = _ends(told["ways"])
    if not np.isfinite(ends[:, 1]).any():
        return None
    return Drawn(
        "branches",
        "Lowered too early, held too long, or in time?",
        _sentence(told),
        (_ends_panel(told, ends), _ways_panel(told)),
        f"Bars and strips: from the 10th to the 90th percentile over {told['seeds']} seeds. Every"
        " branch shares the run's steps up to where its rate parts from it, and its budget."
        " Vertical line: where the run itself lowers its rate.",
    )


def _ends(ways: Sequence[Told]) -> np.ndarray:
    """float64[ways, 3]: quantiles over seeds where each ended."""
    return np.array([[from_strict(way[name]) for name in QUANTILES] for way in ways])


def _ends_panel(told: Told, ends: np.ndarray) -> Panel:
    points = np.array([way["point"] for way in told["ways"]], np.float64)
    sides = [
        (series, [k for k, way in enumerate(told["ways"]) if way["kind"] == kind])
        for kind, series in (("earlier", EARLIER), ("later", LATER))
    ]
    own = ends[0]
    log = ax.wide(ends[np.isfinite(ends)])

    def paint(axes: Axes, palette: Palette) -> None:
        axes.axvline(points[0], color=palette.muted, linewidth=0.8, zorder=1)
        if np.isfinite(own).all():
            axes.axhspan(own[0], own[2], color=palette.area, zorder=0)
            axes.axhline(own[1], color=palette.ink, linewidth=1.0, zorder=2)
        for series, places in sides:
            colour, at = palette.series[series], points[places]
            low, middle, high = ends[places].T
            axes.vlines(at, low, high, color=colour, linewidth=1.6, zorder=3)
            axes.plot(
                *(at, middle),
                marker=MARKERS[series],
                color=colour,
                linestyle=DASHES[series],
                linewidth=1.0,
                markersize=4.5,
                zorder=4,
            )
        axes.plot(points[0], own[1], "o", color=palette.ink, markersize=5, zorder=5)
        ax.scale(axes, "y", *ax.limits(ends, log), log)
        ax.steps_axis(axes, told["steps"])
        axes.set_xlim(-0.02 * told["steps"], 1.02 * told["steps"])
        axes.set_xlabel("step before which the rate comes down", fontsize=7.5, labelpad=1.5)

    words = {EARLIER: "lowered earlier", LATER: "held longer"}
    legend = (
        ax.entry("as it was"),
        *(ax.entry(words[series], series) for series, places in sides if places),
    )
    return Panel("Where it ends", paint, f"{told['metric']} at the end", legend)


def _curve(way: Told) -> np.ndarray:
    """float64[3, evaluations]; NaN before the branch left the run."""
    return np.array([[from_strict(value) for value in way["curve"][name]] for name in QUANTILES])


def _ways_panel(told: Told) -> Panel:
    at = np.array(told["eval_steps"], np.float64)
    curves = [_curve(way) for way in told["ways"]]
    # The first values are those of untrained weights: they would press all others together.
    shown = np.concatenate([curve[1][min(1, len(at) - 1) :] for curve in curves])
    log = ax.wide(shown[np.isfinite(shown)])

    def paint(axes: Axes, palette: Palette) -> None:
        axes.axvline(told["ways"][0]["point"], color=palette.muted, linewidth=0.8, zorder=1)
        for way, curve in zip(told["ways"][1:], curves[1:]):
            series = EARLIER if way["kind"] == "earlier" else LATER
            axes.plot(
                *(at, curve[1]),
                color=palette.series[series],
                linestyle=DASHES[series],
                linewidth=0.9,
                zorder=3,
            )
        low, middle, high = curves[0]
        axes.fill_between(at, low, high, color=palette.ink, alpha=0.12, linewidth=0, zorder=2)
        axes.plot(at, middle, color=palette.ink, linestyle=SOLID, zorder=4)
        ax.scale(axes, "y", *ax.limits(shown, log), log)
        ax.steps_axis(axes, told["steps"])

    return Panel("How it gets there", paint, f"{told['metric']}, median over seeds")


def _sentence(told: Told) -> str:
    verdict = told["verdict"]
    if verdict["best"] is None:
        why = f": {verdict['reason']}" if verdict["reason"] else ""
        if verdict["verdict"] == "in time":
            why = (
                ": no branch ends better by the margin of"
                f" {tables.number(from_strict(told['margin']))}"
            )
        return f"{verdict['verdict'][:1].upper()}{verdict['verdict'][1:]}{why}."
    best = verdict["branches"][verdict["best"]]
    sign = best["claim"]["direction"]
    bounds = sorted(sign * from_strict(best[name]) for name in ("low", "high"))
    effect = sign * from_strict(best["effect"])
    gain = tables.estimate(effect, *bounds) if math.isfinite(effect) else "divergences spared"
    return (
        f"The rate was {verdict['verdict']}: {best['claim']['treatment']}, the run gains {gain} in"
        f" {told['metric']}."
    )
