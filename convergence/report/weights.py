"""The tables of a study of initial weights, made of summary.json alone.

The terminal's closing text shows the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables

Rows = list[tuple[Any, ...]]
Made = tuple[str, str, tuple[str, ...], Rows, str]  # name, title, headers, rows, note
Told = Mapping[str, Any]

REACHED = ("arm", "became", "steps", "95 % interval", "reach it", "improve", "fall")
LAYERS = ("arm", "activation", "gradient", "dead", "saturated", "units", "update", "noise")
BARRIERS = ("path between", "pairs", "barrier", "95 % interval", "of the descent")
CELL = "scale x"  # how the names of arms begin that are in no other table
SHORT = {"diverged": "diverged", "useful": "useful", "too slow": "slow"}


def _number(value: Any, digits: int = 3) -> str:
    number = from_strict(value)
    if math.isinf(number):
        return "never"
    return tables.number(number, digits) if math.isfinite(number) else "–"


def _percent(value: Any) -> str:
    number = from_strict(value)
    return f"{100 * number:.0f} %" if math.isfinite(number) else "–"


def _interval(low: Any, high: Any) -> str:
    if math.isinf(from_strict(low)):
        return "–"
    upper = from_strict(high)
    bound = "never" if math.isinf(upper) else tables.number(upper)
    return f"[{tables.number(from_strict(low))}, {bound}]"


def in_grid(told: Told) -> set[str]:
    """The arms that only the grid is told of."""
    cells = (told.get("grid") or {}).get("cells") or ()
    return {one["arm"] for one in cells if one["arm"].startswith(CELL)}


def reached(told: Told) -> Made | None:
    """How soon each arm reaches the target, and how steadily; the grid's arms have their own."""
    rows: Rows = []
    elsewhere = in_grid(told)
    for one in told.get("reached") or ():
        if one["arm"] not in elsewhere:
            rows.append(
                (
                    one["arm"],
                    one["outcome"],
                    _number(one["median"]),
                    _interval(one["low"], one["high"]),
                    f"{one['count']}/{one['seeds']}",
                    _percent(one["improving"]),
                    _percent(one["falling"]),
                )
            )
    if not rows:
        return None
    goal = told["target"]
    title = (
        f"Steps to a training loss of {_number(goal['level'])}: {_percent(goal['share'])} of the"
        " default's descent"
    )
    note = (
        "Median over seeds, exact interval; a loss is averaged over"
        f" {_number(goal['span'])} steps. Improve: steps below the step before; fall: parts of the"
        " run (a twentieth) below the part before."
    )
    if goal.get("reason"):
        note = f"No target: {goal['reason']}."
    return "reached", title, REACHED, rows, note


def grid(told: Told) -> Made | None:
    """Initial scale × rate: what became of each cell."""
    found = told.get("grid")
    if not found:
        return None
    cells = {(one["scale"], one["rate"]): one for one in found["cells"]}
    rows: Rows = []
    for scale in found["scales"]:
        line = [f"start x{scale:g}"]
        for rate in found["rates"]:
            one = cells[scale, rate]
            count = one["diverged"] if one["outcome"] == "diverged" else one["reached"]
            line.append(f"{SHORT[one['outcome']]} {count}/{one['seeds']}")
        rows.append(tuple(line))
    headers = ("", *(f"rate x{rate:g}" for rate in found["rates"]))
    note = (
        "Useful: half of the seeds or more reach the target (counted). Diverged: of the others,"
        " where most rise far above their first loss or end in none that is finite (counted)."
        " Slow: the rest (counted: that reach the target)."
    )
    return "grid", "Initial scale and learning rate, factors of your own", headers, rows, note


def _crossed(told: Told, key: str, field: str, name: str, title: str) -> Made | None:
    found: Sequence[Told] = told.get(key) or ()
    if not found:
        return None
    arms = {one["arm"]: one for one in told["arms"]}
    known = {one["arm"]: one for one in told["reached"]}
    inits = list(dict.fromkeys(one["init"] for one in found))
    rows: Rows = []
    for value in dict.fromkeys(one[field] for one in found):
        line = {}
        for one in found:
            if one[field] == value:
                mean, seeds = arms[one["arm"]]["mean"], known[one["arm"]]
                line[one["init"]] = (
                    f"{_number(mean['estimate'])} ({seeds['count']}/{seeds['seeds']})"
                )
        rows.append((value, *(line.get(init, "–") for init in inits)))
    note = f"Mean {told['metric']} of the seeds that finished (seeds that reach the target)."
    return name, title, (field, *inits), rows, note


def depths(told: Told) -> Made | None:
    """Depth × initialiser."""
    title = "Depth (hidden layers) and initialiser"
    return _crossed(told, "depths", "depth", "depths", title)


def activations(told: Told) -> Made | None:
    """Activation × initialiser."""
    title = "Non-linearity and initialiser"
    return _crossed(told, "activations", "activation", "activations", title)


def _mean(values: Sequence[Any]) -> float:
    known = [x for x in map(from_strict, values) if math.isfinite(x)]
    return sum(known) / len(known) if known else math.nan


def _ratio(first: Any, last: Any) -> float:
    a, b = from_strict(first), from_strict(last)
    return a / b if b else math.nan


def layers(told: Told) -> Made | None:
    """What layers do at the start and at the end."""
    rows: Rows = []
    for one in told.get("layers") or ():
        hidden = one["activation"][0][:-1] or one["activation"][0]
        units = [x for x in one["distinct"][-1] if x]
        rows.append(
            (
                one["arm"],
                _number(_ratio(hidden[-1], hidden[0]), 2),
                _number(_ratio(one["gradient"][0][0], one["gradient"][0][-1]), 2),
                _percent(_mean(one["dead"][-1])),
                _percent(_mean(one["saturated"][-1])),
                f"{min(units):.0f}" if units else "–",
                _number(_mean(one["update"][max(len(one["update"]) - 2, 0)]), 2),
                _number(one["noise_scale"][-1], 2).replace("never", "inf"),
            )
        )
    if not rows:
        return None
    notes = dict.fromkeys(one["note"] for one in told["layers"] if one["note"])
    note = (
        "Activation: of the last hidden layer over the first's, at the start. Gradient: of the"
        " first layer's weights over the last's, at the start. At the end: dead units, saturated"
        " values, fewest distinct units of a layer, one step's change over the weights, and rows"
        " for a gradient as large as its noise. Medians over seeds."
    )
    note += "".join(f" {text[:1].upper()}{text[1:]}." for text in notes)
    return "layers", "Inside the network", LAYERS, rows, note


def barriers(told: Told) -> Made | None:
    """How far the straight path between two ends rises."""
    rows: Rows = []
    for one in told.get("barriers") or ():
        height = one["height"]
        rows.append(
            (
                one["what"],
                one["pairs"],
                _number(height["estimate"]),
                tables.interval(from_strict(height["low"]), from_strict(height["high"])),
                _percent(_ratio(height["estimate"], one["scale"])),
            )
        )
    if not rows:
        return None
    note = (
        "Most by which the training loss on the straight path lies above the line between its"
        " ends (Frankle et al., 2020); mean over disjoint pairs of seeds."
    )
    return "barriers", "Barriers between ends", BARRIERS, rows, note


def all_made(told: Told) -> list[Made]:
    """Every table for which there are data."""
    found = (reached(told), grid(told), activations(told), depths(told), layers(told))
    return [made for made in (*found, barriers(told)) if made]
