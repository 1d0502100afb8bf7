"""Figures of schedules and optimisers: differences by budget, and what each rate scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict, verdict_on
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Entry, Panel
from convergence.reporting.figures.palette import MARKERS, MOST_SERIES, Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Told = Mapping[str, Any]
DODGE = 0.06  # decades by which the options of one budget are set apart
FAR = 6.0  # margins, at least, that the axis of differences reaches to where intervals do


def told(records: Records) -> bool:
    """Whether the study is one of schedules or optimisers, with its tuning."""
    return {"options", "tuning", "budgets", "reference"} <= set(records.summary)


def arms_at_own(records: Records) -> tuple[str, ...]:
    """The arms at the budget of the user's own setting, with that setting; else all arms."""
    if not told(records):
        return records.arms
    own = str(records.summary["own"])
    kept = {one["arms"].get(own) for one in records.summary["options"]}
    return tuple(arm for k, arm in enumerate(records.arms) if k == 0 or arm in kept)


def contrast(summary: Told, part: str) -> tuple[str, Any]:
    """What the options of a part are held against, and the kind of the claim."""
    if part == "schedules":
        return str(summary["reference"]), "non-inferiority"
    return str(summary["optimizer"]), "superiority"


def _groups(names: Sequence[str]) -> list[list[str]]:
    """Names in parts of nearly equal size, few enough to be told apart."""
    count = -(-len(names) // MOST_SERIES)
    size = -(-len(names) // max(count, 1))
    return [list(names[k : k + size]) for k in range(0, len(names), max(size, 1))]


def by_budget(records: Records, verdicts: Sequence[Verdict]) -> Drawn | None:
    """The difference of each schedule to the reference, against the budget."""
    if not told(records) or len(records.summary["budgets"]) < 2:
        return None
    panels, best = [], []
    for part in records.summary["parts"]:
        control, kind = contrast(records.summary, part)
        held: dict[str, list[tuple[int, Verdict]]] = {}
        arms = {one["option"]: one["arms"] for one in records.summary["options"]
                if one["part"] == part}  # fmt: skip
        for option, at in arms.items():
            found = [
                (int(steps), verdict_on(verdicts, at[steps], arms[control][steps], kind))
                for steps in at
            ]
            points = [(steps, v) for steps, v in found if v and np.isfinite(v.effect)]
            if points:
                held[option] = points
        span = _span([v for points in held.values() for _, v in points])
        for names in _groups(list(held)):
            panels.append(_budget_panel(records, control, {n: held[n] for n in names}, span))
        best += [_count(part, control, held)] if held else []
    if not panels:
        return None
    return Drawn(
        "by_budget",
        "Tuned schedules by budget",
        " ".join(best),
        tuple(panels),
        "Above 0: better than the reference. Lines: intervals corrected within each budget; the"
        " shaded strip is within the margin. An arrow goes on beyond the frame.",
    )


def _count(part: str, control: str, held: Mapping[str, Sequence[tuple[int, Verdict]]]) -> str:
    every = [verdict for points in held.values() for _, verdict in points]
    holding = sum(verdict.decision == "holds" for verdict in every)
    words = "no worse than" if part == "schedules" else "better than"
    return (
        f"{holding} of {len(every)} pairs of {part} and budget are shown to be {words} {control}."
    )


def _oriented(verdict: Verdict) -> tuple[float, float, float]:
    """Effect and bounds, turned so that positive is better."""
    if verdict.claim.direction < 0:
        return -verdict.effect, -verdict.high, -verdict.low
    return verdict.effect, verdict.low, verdict.high


def _span(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """An axis that holds every effect and its interval, where that is not boundless."""
    if not verdicts:
        return -1.0, 1.0
    margin = verdicts[0].claim.margin
    values = np.array([_oriented(verdict) for verdict in verdicts])
    reach = max(FAR * margin, 3.0 * float(np.abs(values[:, 0]).max()))
    finite = values[np.isfinite(values)]
    low = max(float(finite.min()), -reach)
    high = min(float(finite.max()), reach)
    return ax.limits([min(low, -1.5 * margin), max(high, 1.5 * margin)], False)


def _budget_panel(
    records: Records,
    control: str,
    held: Mapping[str, Sequence[tuple[int, Verdict]]],
    span: tuple[float, float],
) -> Panel:
    steps = sorted({steps for points in held.values() for steps, _ in points})
    margin = next(iter(held.values()))[0][1].claim.margin

    def paint(axes: Axes, palette: Palette) -> None:
        axes.axhspan(-margin, margin, color=palette.area, zorder=0)
        axes.axhline(0.0, color=palette.ink, linewidth=0.8, zorder=1)
        for k, points in enumerate(held.values()):
            shift = 10.0 ** (DODGE * (k - (len(held) - 1) / 2))
            at = np.array([s * shift for s, _ in points])
            values = np.array([_oriented(verdict) for _, verdict in points])
            colour = ax.colour(palette, k)
            axes.vlines(at, np.clip(values[:, 1], *span), np.clip(values[:, 2], *span),
                        color=colour, linewidth=1.4, zorder=3)  # fmt: skip
            for bound, edge, mark in ((values[:, 1], span[0], "v"), (values[:, 2], span[1], "^")):
                beyond = bound < edge if mark == "v" else bound > edge
                axes.plot(at[beyond], np.full(beyond.sum(), edge), mark, color=colour,
                          markersize=4, clip_on=False, zorder=4)  # fmt: skip
            axes.plot(at, values[:, 0], MARKERS[k], color=colour, markersize=4.5, zorder=5)
        _log_axis(axes, steps, "steps")
        ax.scale(axes, "y", *span, False)

    legend = tuple(Entry(f"{option} ({MARKERS_TOLD[k]})", k) for k, option in enumerate(held))
    quantity = f"{records.metric}, gain over {control}"
    return Panel("", paint, quantity, legend)


MOST_TICKS = 6
MARKERS_TOLD = ("disc", "square", "triangle", "diamond", "triangle down")


def _log_axis(axes: Axes, values: Sequence[float], label: str) -> None:
    """A logarithmic x axis with a tick at each value where they are few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    low, high = min(values), max(values)
    room = max((high / low) ** 0.08, 1.3)
    axes.set_xlim(low / room, high * room)
    if len(values) > MOST_TICKS:
        ax.scale(axes, "x", low / room, high * room, True)
    else:
        axes.xaxis.set_major_locator(FixedLocator(list(values)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ax.tick(value)))
    axes.set_xlabel(label, fontsize=7.5, labelpad=1.5)


def tuning(records: Records) -> Drawn | None:
    """The metric against the rate for every option at every budget, the chosen rate marked."""
    if not told(records):
        return None
    cells = [one for one in records.summary["tuning"]["cells"] if len(one["rates"]) > 1]
    if not cells:
        return None
    panels = []
    for part in records.summary["parts"]:
        for steps in records.summary["budgets"]:
            there = {
                one["option"]: one for one in cells if (one["part"], one["steps"]) == (part, steps)
            }
            for names in _groups(list(there)):
                title = f"{part}, {steps} steps"
                panels.append(_tuning_panel(records, title, {n: there[n] for n in names}))
    edged = sum(bool(one["edge"]) for one in cells)
    tried = len(cells[0]["rates"])
    low, high = (pick(one["rate"] for one in cells) for pick in (min, max))
    sentence = (
        f"Each has the best of {tried} rates, from {tables.number(low)} to {tables.number(high)};"
        f" {edged or 'none'} of {len(cells)} lie at an end of their grid."
    )
    seeds = cells[0]["seeds"]
    return Drawn(
        "tuning",
        "What each rate scored in the tuning",
        sentence,
        tuple(panels),
        f"Mean over {seeds} seed{'s' * (seeds != 1)} of the tuning, validation rows; the large mark"
        " is the chosen rate. A rate at which some seed diverged is not joined.",
    )


def _tuning_panel(records: Records, title: str, cells: Mapping[str, Told]) -> Panel:
    curves = {}
    for option, cell in cells.items():
        scores = np.array([from_strict(score) for score in cell["scores"]])
        whole = np.array(cell["finished"]) == cell["seeds"]
        curves[option] = (np.array(cell["rates"]), np.where(whole, scores, np.nan), cell)
    rates = sorted({float(rate) for at, _, _ in curves.values() for rate in at})
    reached = np.concatenate([values for _, values, _ in curves.values()])

    def paint(axes: Axes, palette: Palette) -> None:
        for k, (at, values, cell) in enumerate(curves.values()):
            ax.line(axes, at, values, palette, k)
            axes.plot(at, values, ".", color=ax.colour(palette, k), markersize=3, zorder=4 + k)
            place = cell["rates"].index(cell["rate"])
            axes.plot(at[place], values[place], MARKERS[k], color=ax.colour(palette, k),
                      markersize=6, zorder=10)  # fmt: skip
        _log_axis(axes, rates, "learning rate")
        ax.scale(axes, "y", *ax.limits(reached, False), False)

    legend = tuple(ax.entry(option, k) for k, option in enumerate(curves))
    return Panel(title, paint, records.metric, legend)
