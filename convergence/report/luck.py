"""The tables of a study of randomness: by source, by learning rate, by dose, and seeds needed.

They are made of summary.json alone, so that a report can be drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convergence.analysis.statistics import from_strict
from convergence.reporting import tables
from convergence.reporting.records import Records

Rows = list[tuple[Any, ...]]
Made = tuple[str, str, tuple[str, ...], Rows, str]  # name, title, headers, rows, note
Told = Mapping[str, Any]

SOURCES = ("varies", "sd", "95 % interval", "itself", "any way", "churn", "gain", "multiple", "n")
CROSSED = ("source", "by itself", "in any way")
GROWTH = ("rate", "growth a step", "healed", "sd bit", "sd seed", "ratio", "churn bit", "seed")
DOSES = ("dose", "mean", "sd", "95 % interval", "n")
SEEDS = ("difference", "seeds, shared", "seeds, each its own")


def _interval(told: Told | None) -> str:
    if not told or not math.isfinite(from_strict(told["estimate"])):
        return "–"
    return tables.estimate(*(from_strict(told[name]) for name in ("estimate", "low", "high")))


def _percent(told: Told | None) -> str:
    value = from_strict(told["estimate"]) if told else math.nan
    return f"{100 * min(max(value, 0.0), 1.0):.0f} %" if math.isfinite(value) else "–"


def _bounded(told: Told | None) -> str:
    """A share with its interval, in percent; estimates are not clipped to 0 and 1."""
    if not told or not math.isfinite(from_strict(told["estimate"])):
        return "–"
    low, high = (
        f"{100 * min(max(from_strict(told[name]), 0.0), 1.0):.0f}" for name in ("low", "high")
    )
    return f"{_percent(told)} [{low}, {high}]"


def _spread(told: Told) -> tuple[Any, str]:
    low, high = from_strict(told["low"]), from_strict(told["high"])
    return from_strict(told["estimate"]), tables.interval(low, high)


def sources(records: Records) -> Made | None:
    """What each source does by itself, and all together."""
    told: Sequence[Told] = records.summary.get("sources") or ()
    if not told:
        return None
    rows: Rows = []
    for one in told:
        parts = one.get("parts") or {}
        rows.append(
            (
                one["source"],
                *_spread(one["sd"]),
                _percent(parts.get("share")),
                _percent(parts.get("total_share")),
                _interval(one.get("churn")),
                _interval(one.get("gain")),
                _interval(one.get("rows")),
                f"{one['seeds']}/{one['trials']}",
            )
        )
    note = (
        "Itself, any way: its shares of the variance of first and of total order. Churn: between"
        " two of its draws. Gain: of the ensemble of its draws over one of them. Multiple: of the"
        " standard deviation that independent rows alone would make, √Σp(1 − p)/n. Intervals:"
        " 95 %, over draws of the source."
    )
    harmless = str(records.summary.get("none_is_harmless") or "")
    note += f" {harmless[:1].upper()}{harmless[1:]}" if harmless else ""
    return "sources", f"Spread of {records.metric} by source", SOURCES, rows, note


def crossed(records: Records) -> Made | None:
    """Initialisations crossed with orders."""
    told = records.summary.get("crossed")
    if not told:
        return None
    rows: Rows = [
        (name, _bounded(told[name]["share"]), _bounded(told[name]["total_share"]))
        for name in ("init", "order")
    ]
    title = f"{told['inits']} initialisations × {told['orders']} orders: shares of the variance"
    note = "Of first order, and of total order; intervals: 95 %."
    return "crossed", title, CROSSED, rows, note


def growth(records: Records) -> Made | None:
    """What one flipped bit does at each learning rate."""
    told = records.summary.get("twins")
    if not told:
        return None
    rows: Rows = []
    for one in told["rates"]:
        grown = one["growth"]
        healed = from_strict((grown.get("healed") or {}).get("estimate"))
        count = f"{healed * grown['pairs']:.0f}/{grown['pairs']}" if grown["pairs"] else "–"
        spreads = (from_strict(one[name]["estimate"]) for name in ("bit_sd", "seed_sd"))
        churns = (from_strict(one[name]["estimate"]) for name in ("churn", "seed_churn"))
        pace, ratio = _interval(grown.get("rate")), _interval(one.get("ratio"))
        rows.append((f"{one['rate']:.4g}", pace, count, *spreads, ratio, *churns))
    note = (
        "Growth: of the logarithm of the distance of params between twins, which differ in the last"
        " bit of one initial weight. Healed: pairs at distance 0 at the end. Ratio: spread of the"
        " score by that bit, as a share of the spread by seed. Intervals: 95 %, over seeds."
    )
    return "twins", "One flipped bit, by learning rate", GROWTH, rows, note


def doses(records: Records) -> Made | None:
    """The spread over seeds by the share of spoiled targets."""
    told = records.summary.get("consistency")
    if not told:
        return None
    rows: Rows = [
        (
            one["dose"],
            from_strict(one["mean"]),
            from_strict(one["sd"]),
            tables.interval(from_strict(one["low"]), from_strict(one["high"])),
            f"{one['n']}/{one['trials']}",
        )
        for one in told["doses"]
    ]
    title = f"Spread of clean {records.metric} over seeds, by {told['field']}"
    slope = _interval(told["slope"])
    note = f"Slope of the standard deviation from no target spoiled to all: {slope}."
    return "doses", title, DOSES, rows, note


def seeds(records: Records) -> Made | None:
    """How many seeds tell differences of given sizes apart."""
    told = records.summary.get("seeds_needed")
    if not told:
        return None

    def count(one: Told) -> str:
        def shown(value: Any) -> str:
            return f">{told['cap']}" if value is None else str(value)

        return f"{shown(one['estimate'])} [{shown(one['low'])}, {shown(one['high'])}]"

    rows: Rows = [
        (from_strict(one["difference"]), count(one["paired"]), count(one["unpaired"]))
        for one in told["differences"]
    ]
    note = (
        f"Of each setting; power {told['power']}, two-sided level {told['alpha']}. Shared seeds: as"
        f" between the setting and {told['neighbour']} (correlation"
        f" {tables.number(from_strict(told['correlation']), 2)})."
    )
    return "seeds", f"Seeds that show a difference in {records.metric}", SEEDS, rows, note


def all_made(records: Records) -> list[Made]:
    """Every table for which there are data."""
    found = (sources(records), crossed(records), growth(records), doses(records), seeds(records))
    return [made for made in found if made]
