"""Figures of one flipped bit: how far it is carried, and from which learning rate on it matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.luck import bounds
from convergence.reporting.figures.palette import DASHES, MARKERS, MOST_SERIES, Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-12  # of the axis, as a share of its top: what healed lies below it
Rate = Mapping[str, Any]


def twins(records: Records) -> Drawn | None:
    """The distance of params between trials and their twins over the run, by learning rate."""
    told = records.summary.get("twins") or {}
    rates, steps = told.get("rates") or (), np.array(told.get("steps") or (), np.float64)
    drawn = [one for one in _shown(rates, told) if _line(one, "median").size == len(steps)]
    if not drawn or len(steps) < 2:
        return None
    envelope = told.get("envelope") or {}
    tops = np.concatenate([_line(one, "high") for one in drawn])
    tops = tops[np.isfinite(tops) & (tops > 0)]
    if not len(tops):
        return None

    def paint(axes: Axes, palette: Palette) -> None:
        low, high = ax.limits(np.concatenate([*map(_positive, drawn)]), True)
        low = max(low, high * LEAST)
        at = np.maximum(steps, 0.5)  # step 0 on a logarithmic axis
        if envelope:
            _paint_envelope(axes, palette, envelope)
        for k, one in enumerate(drawn):
            lower, middle, upper = (
                np.where(_line(one, name) > 0, _line(one, name), low / 2)
                for name in ("low", "median", "high")
            )
            shade = palette.series[k]
            axes.fill_between(at, lower, upper, color=shade, alpha=0.16, linewidth=0, zorder=2)
            ax.line(axes, at, middle, palette, k)
        ax.scale(axes, "y", low, high, True)
        ax.scale(axes, "x", 0.5, float(steps[-1]), True)
        axes.set_xlabel(ax.STEP, fontsize=7.5, labelpad=1.5)

    legend = [ax.entry(f"rate {tables.number(one['rate'])}", k) for k, one in enumerate(drawn)]
    if envelope:
        legend.append(ax.entry(f"rounding at every step, rate {tables.number(envelope['rate'])}"))
    return Drawn(
        "twins",
        "How far one flipped bit is carried",
        _growth_words(told, rates),
        (Panel("", paint, "distance of params between twins", tuple(legend), height=2.2),),
        "Median and quartiles over pairs of runs that differ in the last bit of one initial"
        " weight; a difference that healed lies below the frame."
        + (
            " Dark line and strip: random last bits in params and gradients at each step, as large"
            " as a change of vmap's width makes them: what other rounding does."
            if envelope
            else ""
        ),
    )


def _paint_envelope(axes: Axes, palette: Palette, told: Mapping[str, Any]) -> None:
    at = np.maximum(np.array(told["steps"], np.float64), 0.5)
    low, middle, high = (_numbers(told[name]) for name in ("low", "median", "high"))
    low, middle, high = (np.where(line > 0, line, np.nan) for line in (low, middle, high))
    axes.fill_between(at, low, high, color=palette.ink, alpha=0.14, linewidth=0, zorder=1)
    ax.line(axes, at, middle, palette, None)


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([from_strict(value) for value in values], np.float64)


def _line(one: Rate, name: str) -> np.ndarray:
    return _numbers((one.get("distance") or {}).get(name) or ())


def _positive(one: Rate) -> np.ndarray:
    values = np.concatenate([_line(one, "median"), _line(one, "high")])
    return values[np.isfinite(values) & (values > 0)]


def _shown(rates: Sequence[Rate], told: Mapping[str, Any]) -> list[Rate]:
    """At most as many rates as have a style: those nearest the threshold, the ends, one's own."""
    known = [one for one in rates if _positive(one).size]
    if len(known) <= MOST_SERIES:
        return known
    places = [int(k) for k in np.linspace(0, len(known) - 1, MOST_SERIES).round()]
    own = from_strict(told.get("own"))
    nearest = min(range(len(known)), key=lambda k: abs(math.log(known[k]["rate"] / own)))
    if nearest not in places:
        inner = min(range(1, MOST_SERIES - 1), key=lambda k: abs(places[k] - nearest))
        places[inner] = nearest
    return [known[k] for k in sorted(set(places))]


def _growth_words(told: Mapping[str, Any], rates: Sequence[Rate]) -> str:
    own = from_strict(told.get("own"))
    mine = [one for one in rates if one["rate"] == own] or list(rates[:1])
    growth = (mine[0].get("growth") or {}) if mine else {}
    slope = bounds(growth.get("rate"))
    words = "One flipped bit"
    if math.isfinite(slope[0]):
        pace = f"{tables.estimate(*slope)} per step"
        kind = "grows" if slope[1] > 0 else "shrinks" if slope[2] < 0 else "neither grows nor dies"
        words += f" {kind} at the setting's own rate ({tables.number(own)}): exponent {pace}."
    else:
        words += f" at the setting's own rate ({tables.number(own)}) leaves no slope to measure."
    return f"{words} {_threshold_words(told)}".strip()


def _threshold_words(told: Mapping[str, Any]) -> str:
    found = told.get("threshold") or {}
    rate, interval = from_strict(found.get("rate")), found.get("interval")
    share = from_strict(told.get("share"))
    if math.isnan(rate):
        return ""
    what = f"it moves the result at least {tables.number(100 * share, 2)} % as much as a new seed"
    if rate == 0:
        return f"At every rate of the grid {what}."
    if math.isinf(rate):
        return f"At no rate of the grid {what}."
    _, low, high = bounds(interval)
    return f"From a rate of {tables.number(rate)} {tables.interval(low, high)} on {what}."


def forgiving(records: Records) -> Drawn | None:
    """What one bit does to the result against the learning rate, as a share of what a seed does."""
    told = records.summary.get("twins") or {}
    rates = [one for one in told.get("rates") or () if math.isfinite(bounds(one.get("ratio"))[0])]
    if len(rates) < 2:
        return None
    at = np.array([one["rate"] for one in rates], np.float64)
    ratio = np.array([bounds(one["ratio"]) for one in rates])
    share = from_strict(told.get("share"))
    marks = _marks(told)

    def paint(axes: Axes, palette: Palette) -> None:
        colour = palette.series[0]
        high = np.where(np.isfinite(ratio[:, 2]), ratio[:, 2], ratio[:, 0])
        axes.vlines(at, ratio[:, 1], high, color=colour, linewidth=1.8, zorder=3)
        axes.plot(at, ratio[:, 0], "o-", color=colour, markersize=5, zorder=4)
        axes.axhline(share, color=palette.muted, linewidth=0.8, zorder=1)
        for k, (_, rate) in enumerate(marks):
            shade = palette.series[k + 1]
            axes.axvline(rate, color=shade, linestyle=DASHES[k + 1], linewidth=1.2, zorder=2)
            axes.plot(rate, share, MARKERS[k + 1], color=shade, markersize=5, zorder=5)
        ax.scale(axes, "x", *ax.limits([*at, *(rate for _, rate in marks)], True), True)
        ax.scale(axes, "y", 0.0, 1.08 * max(float(np.nanmax([*high, share])), 1e-9), False)
        axes.set_xlabel("learning rate", fontsize=7.5, labelpad=1.5)

    fastest = bounds((told.get("fastest") or {}).get("interval"))
    beside = (
        f" Training is fastest at {tables.number(fastest[0])} {tables.interval(*fastest[1:])}."
        if math.isfinite(fastest[0])
        else ""
    )
    legend = (
        ax.entry("one bit's spread of the result / a seed's", 0),
        *(ax.entry(label, k + 1) for k, (label, _) in enumerate(marks)),
    )
    return Drawn(
        "forgiving",
        "From which rate on rounding matters",
        f"{_threshold_words(told)}{beside}".strip() or "No rate of the grid tells it.",
        (Panel("", paint, f"spread of {records.metric}, as a share of a seed's", legend),),
        "Thin line: the share from which on a bit counts as moving the result. Intervals: 95 %,"
        " over seeds.",
    )


def _marks(told: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Rates to mark: where forgiving ends, where training is fastest, the setting's own."""
    found = [
        ("forgiving ends", from_strict((told.get("threshold") or {}).get("rate"))),
        ("training is fastest", from_strict((told.get("fastest") or {}).get("rate"))),
        ("the setting's own rate", from_strict(told.get("own"))),
    ]
    return [(label, rate) for label, rate in found if math.isfinite(rate) and rate > 0]
