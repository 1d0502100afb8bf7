"""Figures of what is left to gain, and of where training broke off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convergence import names
from convergence.analysis.descent import Halving, Limit, halvings, limit
from convergence.reporting import tables
from convergence.reporting.figures import axes as ax
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.groups import loss_name, loss_scale
from convergence.reporting.figures.lines import there
from convergence.reporting.figures.palette import MARKERS, MOST_SERIES, Palette
from convergence.reporting.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.19  # inches of an arm's line among the marks


def costs(records: Records, arm: str) -> tuple[Limit, list[Halving]]:
    """The limit of an arm's training loss, and the cost of each halving of what exceeds it."""
    steps = records.curves["loss_step"]
    inside = steps <= records.steps(arm)
    losses = records.curves["loss_mean"][records.rows[arm]][:, inside].astype(np.float64)
    finished = losses[np.isfinite(losses).all(axis=1)]
    if not len(finished) or not inside.any():
        nan = float("nan")
        return Limit(nan, nan, nan, 0, "no seed finished"), []
    found = limit(steps[inside], finished)
    return found, halvings(steps[inside], finished, found)


def halving(records: Records) -> Drawn | None:
    """Steps that each halving of the excess training loss took, for the arms that matter most."""
    if not there(records, "loss_step", "loss_mean"):
        return None
    arms = _foremost(records)
    found = {arm: costs(records, arm) for arm in arms}
    told = {arm: steps for arm, (_, steps) in found.items() if len(steps) > 1}
    left_out = [f"{arm}: {found[arm][0].reason}" for arm in arms if found[arm][0].reason]
    if not told:
        return None
    entries = [(arm, None if arm == records.arms[0] else k) for k, arm in _numbered(told, records)]

    def paint(axes: Axes, palette: Palette) -> None:
        from matplotlib.ticker import MaxNLocator

        every = [h for steps in told.values() for h in steps]
        for arm, series in entries:
            number = np.array([h.number for h in told[arm]])
            cost, low, high = (
                np.array([getattr(h, name) for h in told[arm]]) for name in ("cost", "low", "high")
            )
            shade = ax.colour(palette, series)
            axes.vlines(number, low, high, color=shade, linewidth=3, alpha=0.35, zorder=2)
            ax.line(axes, number, cost, palette, series)
            marker = MARKERS[series] if series is not None else "o"
            axes.plot(number, cost, marker, color=shade, markersize=3.5, zorder=5)
        ax.scale(axes, "y", *ax.limits([x for h in every for x in (h.low, h.high)], True), True)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlim(0.7, max(h.number for h in every) + 0.3)
        axes.set_xlabel("halving of the excess loss", fontsize=7.5, labelpad=1.5)

    first = records.arms[0] if records.arms[0] in told else next(iter(told))
    steps, towards = told[first], found[first][0]
    ratio = steps[-1].cost / max(steps[0].cost, 1e-12)
    sentence = (
        f"Of ‘{first}’ the first halving took {tables.number(steps[0].cost)} steps, the"
        f" {_ordinal(len(steps))} {tables.number(steps[-1].cost)}"
        f" ({tables.number(ratio, 2)} times as many), towards {_towards(towards)}."
    )
    return Drawn(
        "halvings",
        "The cost of each further drop",
        sentence,
        (
            Panel(
                "",
                paint,
                f"steps per halving of the excess loss ({loss_name(records, first)})",
                tuple(ax.entry(arm, series) for arm, series in entries),
            ),
        ),
        "Excess: mean training loss over seeds minus its limit. The limit is extrapolated from the"
        " last half of the (logarithmic) steps by a power law or an exponential; bars: the cost"
        " over the limit's 95 % interval over seeds, which does not speak of the law's form."
        + (f" Left out – {'; '.join(left_out)}." if left_out else ""),
    )


def _towards(found: Limit) -> str:
    if found.low == found.high == 0:
        return "0 (no limit above it shows)"
    return f"a limit of {tables.number(found.estimate)} {tables.interval(found.low, found.high)}"


def _numbered(told: dict[str, list[Halving]], records: Records) -> list[tuple[int, str]]:
    """The arms with the number of their series; the reference's is not used."""
    rest = [arm for arm in told if arm != records.arms[0]]
    first = [(0, records.arms[0])] if records.arms[0] in told else []
    return first + list(enumerate(rest))


def _foremost(records: Records) -> list[str]:
    """The reference and the best arms by score whose loss is of its kind."""
    reference = records.arms[0]
    scale = loss_scale(records, reference)
    sign = 1 if records.metric in names.HIGHER_IS_BETTER else -1

    def score(arm: str) -> float:
        values = records.scores(arm) if records.split else np.zeros(0)
        good = len(values) and np.isfinite(values).all()
        return sign * float(np.mean(values)) if good else -np.inf

    spoiled = ("label_noise", "outliers", "vary", "twin")
    alike = [
        arm
        for arm in records.arms[1:]
        if loss_scale(records, arm) == scale
        and not any(name in records.changes.get(arm, {}) for name in spoiled)
    ]
    best = sorted(alike, key=score, reverse=True)[: MOST_SERIES - 1]
    return [reference, *best]


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else ending}"


def broken(records: Records) -> Drawn | None:
    """The first non-finite step of every trial that has one, by arm."""
    steps = records.column("first_non_finite_step")
    if not records.arms or not np.isfinite(steps).any():
        return None
    found = {arm: steps[index] for arm, index in records.rows.items()}
    hit = {arm: values for arm, values in found.items() if np.isfinite(values).any()}
    count = sum(int(np.isfinite(values).sum()) for values in hit.values())
    last = max(records.steps(arm) for arm in hit)
    first = min(hit, key=lambda arm: np.nanmin(hit[arm]))

    def paint(axes: Axes, palette: Palette) -> None:
        for k, (arm, values) in enumerate(hit.items()):
            there_ = values[np.isfinite(values)]
            y = (k + 0.7) * 2 * ROW
            axes.plot(there_, np.full(len(there_), y), "x", color=palette.fails, markersize=5)
            text = f"{arm}: {len(there_)} of {len(values)} seeds"
            axes.text(
                0.0,
                y - ROW,
                text,
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=7.5,
                color=palette.ink,
            )
        axes.set_ylim(2 * ROW * len(hit) + 0.05, 0)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        ax.steps_axis(axes, last)

    total = sum(len(index) for index in records.rows.values())
    return Drawn(
        "broken",
        "First non-finite steps",
        f"{count} of {total} trials became non-finite, the first after"
        f" {int(np.nanmin(hit[first])):,} steps (‘{first}’).",
        (Panel("", paint, "", (), 2 * ROW * len(hit) + 0.05, ticks=False),),
        "Each cross is a seed. Trials that diverge are counted and enter no mean.",
    )
