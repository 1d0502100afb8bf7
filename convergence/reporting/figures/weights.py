"""Figures of initial weights: what becomes of a start and a rate, steps to a target, layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import Palette
from convergence.reporting.figures.rows import Row, rows_panel
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Told = Mapping[str, Any]
CELL = 0.34  # inches of a row of cells
SHOWN = {"diverged": "diverged", "useful": "useful", "too slow": "too slow"}
MOST_ARMS = 4  # whose layers are drawn
DRAWN_MARKS = 3


def grid(records: Records) -> Drawn | None:
    """Initial scale × learning rate: diverged, useful or too slow, as a map of cells."""
    told = records.summary.get("grid")
    if not told:
        return None
    scales, rates = told["scales"], told["rates"]
    cells = {(one["scale"], one["rate"]): one for one in told["cells"]}
    counts = dict.fromkeys(SHOWN, 0)
    for one in told["cells"]:
        counts[one["outcome"]] += 1

    def paint(axes: Axes, palette: Palette) -> None:
        from matplotlib.patches import Rectangle

        shades = {
            "diverged": palette.fails,
            "useful": palette.holds,
            "too slow": palette.undecided,
        }
        axes.grid(False)
        for k, scale in enumerate(scales):
            for j, rate in enumerate(rates):
                one = cells[scale, rate]
                shade, word = shades[one["outcome"]], SHOWN[one["outcome"]]
                lost = word == "diverged"
                patch = Rectangle((j - 0.48, k - 0.46), 0.96, 0.92, color=shade, alpha=0.3)
                patch.set_linewidth(0)
                axes.add_patch(patch)
                count = one["diverged"] if lost else one["reached"]
                text = f"{word}\n{count}/{one['seeds']}"
                style: Any = {"ha": "center", "va": "center", "fontsize": 6.5}
                axes.text(j, k, text, color=palette.ink, **style)
        axes.set_xlim(-0.5, len(rates) - 0.5)
        axes.set_ylim(-0.5, len(scales) - 0.5)
        axes.set_xticks(range(len(rates)), [ax.tick(rate) for rate in rates])
        axes.set_yticks(range(len(scales)), [ax.tick(scale) for scale in scales])
        axes.set_xlabel("factor of the learning rate", fontsize=7.5, labelpad=1.5)

    height = max(1.2, CELL * len(scales))
    useful = f"{counts['useful']} of {len(cells)} settings are useful at this length of run"
    return Drawn(
        "scale_by_rate",
        "How ruthless a start and a rate may be",
        f"{useful}; {counts['diverged']} diverge, {counts['too slow']} are too slow.",
        (Panel("", paint, "factor of the initial weights", (), height),),
        "Useful: half of the seeds or more reach the target (counted). Diverged: of the others,"
        " where most rise far above their first loss or end in none that is finite (counted)."
        " Too slow: the rest.",
    )


def reached(records: Records) -> Drawn | None:
    """Steps to the target, an arm a line."""
    told: Sequence[Told] = records.summary.get("reached") or ()
    goal = records.summary.get("target") or {}
    cells = (records.summary.get("grid") or {}).get("cells") or ()
    elsewhere = {one["arm"] for one in cells if one["arm"].startswith("scale x")}
    shown = [one for one in told if one["arm"] not in elsewhere]
    last = max((records.steps(arm) for arm in records.arms), default=0)
    if not shown or goal.get("reason") or not last:
        return None
    rows, finite = [], []
    for one in shown:
        middle, low, high = (from_strict(one[name]) for name in ("median", "low", "high"))
        if math.isfinite(middle):
            finite.append((middle, one["arm"]))
        text = f"{one['count']}/{one['seeds']}"
        if not math.isfinite(middle):
            text = f"{text} reach it"
            middle = math.nan
        rows.append(Row(one["arm"], middle, low, high, (), "", text))
    if not finite:
        return None
    soonest, latest = min(finite), max(finite)
    return Drawn(
        "steps_to_target",
        "Steps to the target",
        f"Soonest ‘{soonest[1]}’ ({tables.number(soonest[0])} steps), latest of those that get"
        f" there ‘{latest[1]}’ ({tables.number(latest[0])}); {len(shown) - len(finite)} of"
        f" {len(shown)} arms get there with fewer than half of their seeds.",
        (rows_panel("", rows, "steps", span=(0.0, 1.02 * last)),),
        f"Target: a training loss of {tables.number(from_strict(goal['level']))},"
        f" {100 * from_strict(goal['share']):.0f} % of the default's descent. Median over seeds"
        " with its exact interval; beside it, seeds that reach it.",
    )


def _arms(told: Sequence[Told]) -> list[Told]:
    """The deepest networks first, then the default: where layers have most to tell."""
    ranked = sorted(told, key=lambda one: -len(one["layers"]))
    deep = [one for one in ranked if len(one["layers"]) > 3][: MOST_ARMS - 1]
    rest = [one for one in told if one not in deep]
    return [*deep, *rest][:MOST_ARMS]


def _panel(one: Told, name: str, axis: str, what: str) -> Panel | None:
    steps = one["steps"]
    places = sorted({0, len(steps) // 2, len(steps) - 1})[:DRAWN_MARKS]
    lines = [np.array([from_strict(v) for v in one[name][k]]) for k in places]
    known = np.concatenate(lines)
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        return None
    low, high = ax.limits(known, True)
    count = len(one[axis])

    def paint(axes: Axes, palette: Palette) -> None:
        from matplotlib.ticker import MaxNLocator

        at = np.arange(1, count + 1)
        for series, values in enumerate(lines):
            seen = np.where(values > 0, values, np.nan)
            ax.line(axes, at, seen, palette, series)
            if count == 1:
                axes.plot(at, seen, "o", color=ax.colour(palette, series), markersize=4)
        ax.scale(axes, "y", low, high, True)
        axes.set_xlim(0.5, count + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("layer, from the input", fontsize=7.5, labelpad=1.5)

    legend = tuple(ax.entry(f"step {steps[k]:,}", series) for series, k in enumerate(places))
    return Panel(one["arm"], paint, what, legend)


def layers(records: Records) -> Drawn | None:
    """Activation and gradient scale by layer, at the start, midway and at the end."""
    told: Sequence[Told] = records.summary.get("layers") or ()
    panels: list[Panel] = []
    for one in _arms(told):
        for name, axis, what in (
            ("activation", "layers", "activation, root mean square"),
            ("gradient", "groups", "gradient of the weights, root mean square"),
        ):
            panel = _panel(one, name, axis, what)
            panels += [panel] if panel else []
    if not panels:
        return None
    return Drawn(
        "layers",
        "Activations and gradients by layer",
        _layers_sentence(_arms(told)),
        tuple(panels),
        "Medians over seeds, on the same training rows at each step; the last layer is the output."
        " What is 0 or not finite is not drawn.",
    )


def _layers_sentence(told: Sequence[Told]) -> str:
    parts = []
    for one in told:
        values = [from_strict(v) for v in one["activation"][0]]
        hidden = values[:-1] if len(values) > 1 else values
        if hidden and hidden[0] > 0 and math.isfinite(hidden[-1]):
            ratio = tables.number(hidden[-1] / hidden[0], 2)
            parts.append(f"‘{one['arm']}’ × {ratio}")
    if not parts:
        return "Gradients by layer; activations are not visible or 0."
    return (
        f"At the start activations change from first to last hidden layer by: {', '.join(parts)}."
    )
