"""Panels of bands over steps: what the figures of losses, metrics and rates have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from convergence.analysis.bands import FEWEST_FOR_PERCENTILES, band, thinned
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Panel
from convergence.reporting.figures.groups import Group
from convergence.reporting.figures.palette import Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 100  # of a drawn curve
Curve = tuple[np.ndarray, np.ndarray]  # steps [points], values [seeds, points]
Scale = tuple[float, float, bool]  # limits of the y axis, and whether it is logarithmic


def there(records: Records, *wanted: str) -> bool:
    there = all(name in records.curves for name in wanted)
    return bool(there and records.arms and len(records.curves[wanted[0]]))


def until(records: Records, arm: str, steps: np.ndarray, values: np.ndarray) -> Curve:
    """The part of a curve that lies within the arm's own number of steps."""
    inside = steps <= max(records.steps(arm), int(steps[0]))
    return steps[inside], values[:, inside].astype(np.float64)


def loss_curve(records: Records, arm: str) -> Curve:
    curves = records.curves
    whole = until(records, arm, curves["loss_step"], curves["loss_mean"][records.rows[arm]])
    return thinned(*whole, POINTS)


def edges(curve: Curve) -> np.ndarray:
    """The values that a drawing of the curve reaches."""
    low, middle, high = band(curve[1])
    return np.concatenate([low, middle, high])


def lines_panel(
    title: str,
    entries: Sequence[tuple[str, int | None]],
    curves: dict[str, Curve],
    subtitle: str,
    words: dict[str, str],
    scale: Scale | None,
) -> Panel:
    """A panel of bands over steps, with a legend of its arms (or of `words` for them)."""
    if scale is None:
        reached = np.concatenate([edges(curve) for curve in curves.values()])
        finite = reached[np.isfinite(reached)]
        log = bool(len(finite) and finite.min() > 0)
        scale = (*ax.limits(finite, log), log)
    told = scale

    def paint(axes: Axes, palette: Palette) -> None:
        last = 1
        for arm, series in entries:
            steps, values = curves[arm]
            last = max(last, int(steps[-1]) if len(steps) else 1)
            _paint_band(axes, steps, values, palette, series)
        ax.scale(axes, "y", *told)
        ax.steps_axis(axes, last)

    legend = tuple(ax.entry(words.get(arm, arm), series) for arm, series in entries)
    single = len(legend) == 1 and not words
    return Panel(title, paint, subtitle, () if single and not title else legend)


def group_panel(
    records: Records,
    group: Group,
    curve: Callable[[str], Curve],
    subtitle: str,
    scale: Scale,
) -> Panel:
    entries: list[tuple[str, int | None]] = [(arm, k) for k, arm in enumerate(group.arms)]
    if group.reference:
        entries.insert(0, (group.reference, None))
    curves = {arm: curve(arm) for arm, _ in entries}
    return lines_panel(group.title, entries, curves, subtitle, {}, scale)


def _paint_band(
    axes: Axes, steps: np.ndarray, values: np.ndarray, palette: Palette, series: int | None
) -> None:
    low, middle, high = band(values)
    if len(values) > 1:
        axes.fill_between(
            steps, low, high, color=ax.colour(palette, series), alpha=0.16, linewidth=0, zorder=2
        )
    ax.line(axes, steps, middle, palette, series)
    for one in values:
        there = np.flatnonzero(np.isfinite(one))
        if len(there) and there[-1] < len(steps) - 1:
            axes.plot(
                steps[there[-1]],
                one[there[-1]],
                marker="x",
                markersize=5,
                color=ax.colour(palette, series),
                zorder=10,
            )


def band_note(records: Records) -> str:
    count = seeds(records)
    if count == 1:
        return "One seed: there is no band."
    if count < FEWEST_FOR_PERCENTILES:
        return f"Line: median; band: lowest to highest of {count} seeds."
    return f"Line: median; band: 10th to 90th percentile of {count} seeds."


def end(curve: Curve) -> float:
    """The median over seeds at the last point; NaN where no seed got there."""
    return float(band(curve[1])[1][-1]) if curve[1].size else float("nan")


def seeds(records: Records) -> int:
    return max((len(records.rows[arm]) for arm in records.arms), default=0)
