"""What panels have in common: scales, ticks, bands and lines of arms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.reporting import tables
from convergence.reporting.figures.drawing import Entry
from convergence.reporting.figures.palette import DASHES, SOLID, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = "step"
LONGEST_TICK = 6  # characters
NARROW = 0.6  # decades below which a logarithmic axis has the ticks of a linear one
SUBDIVIDED = ((1.5, (1.0, 2.0, 5.0)), (2.2, (1.0, 3.0)))  # ticks of a decade, up to so many decades


def colour(palette: Palette, series: int | None) -> str:
    """The colour of a series, or of the reference."""
    return palette.ink if series is None else palette.series[series]


def entry(label: str, series: int | None = None) -> Entry:
    """A legend's line in the style of `line`."""
    return Entry(label, series, SOLID if series is None else DASHES[series])


def line(axes: Axes, x: Any, y: Any, palette: Palette, series: int | None) -> None:
    """A line in the style of a series; the reference is a solid line of ink below the others."""
    axes.plot(
        x,
        y,
        color=colour(palette, series),
        linestyle=SOLID if series is None else DASHES[series],
        zorder=3 if series is None else 4 + series,
    )


def steps_axis(axes: Axes, last: float) -> None:
    """The x axis from 0 to the last step."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))
    axes.set_xlabel(STEP, fontsize=7.5, labelpad=1.5)


def _whole(value: float, _: Any) -> str:
    return f"{value:,.0f}"


def tick(value: float) -> str:
    """A tick's label of at most six characters or so.

    >>> [tick(x) for x in (0.25, 0.00025, 1200, 1.5e7)]
    ['0.25', '2.5e-4', '1200', '1.5e7']
    """
    text = tables.number(value)
    if len(text.lstrip("-")) <= LONGEST_TICK or "e" in text:
        return text
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def scale(axes: Axes, which: str, low: float, high: float, log: bool) -> None:
    """The limits and ticks of one axis ("x" or "y"), linear or logarithmic.

    A logarithmic one needs limits above 0.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    locator: Any = MaxNLocator(5)
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = np.log10(high / low)
        if decades > NARROW:
            subs = next((s for most, s in SUBDIVIDED if decades < most), (1.0,))
            locator = LogLocator(subs=subs, numticks=6)
        axis.set_minor_locator(NullLocator())
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    set_limits(low, high)


def limits(values: Any, log: bool, share: float = 0.06) -> tuple[float, float]:
    """Limits around the finite values, with a little room; usable whatever the values are."""
    array = np.asarray(values, np.float64).ravel()
    array = array[np.isfinite(array) & ((array > 0) if log else True)]
    if not len(array):
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = float(array.min()), float(array.max())
    if log:
        low, high = max(low, high * 1e-12), max(high, 1e-300)
        room = max((high / low) ** share, 1.1)
        return low / room, high * room
    room = share * (high - low) or 0.1 * abs(high) or 0.1
    return low - room, high + room


def wide(values: Any) -> bool:
    """Whether the values want a logarithmic axis: all above 0 and more than a decade apart."""
    array = np.asarray(values, np.float64).ravel()
    array = array[np.isfinite(array)]
    return bool(len(array) and array.min() > 0 and array.max() > 10 * array.min())


def symlog_ticks(axes: Axes, margin: float, low: float, high: float) -> None:
    """Ticks of an x axis that is linear within the margin: 0, the margin, and decades of it."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    furthest = max(abs(low), abs(high), 10 * margin)
    decades = int(np.ceil(np.log10(furthest / margin)))
    every = max(1, -(-decades // 2))
    sizes = [margin * 10.0**k for k in range(0, decades + 1, every)]
    ticks = [t for t in (*(-s for s in reversed(sizes)), 0.0, *sizes) if low <= t <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
