"""The tables of a search for a learning rate, made of summary.json alone."""

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

MARGIN = 0.05  # as in finder.claims
FOUND = ("what", "rate", "95 % interval")
GRID = ("rate", "mean loss", "95 % interval", "lost", "diverged")
RULES = ("rule", "median", "lowest", "highest", "suggests", "lost, mean", "worst")
FREE = ("optimiser", "mean loss", "lost")


def percent(value: Any) -> str:
    """A share in percent."""
    number = from_strict(value)
    return f"{100 * number:.1f} %" if math.isfinite(number) else "–"


def _rate(value: Any) -> str:
    number = from_strict(value)
    return f"{number:.3g}" if math.isfinite(number) else "–"


def _bounds(row: Told) -> str:
    low, high = from_strict(row["low"]), from_strict(row["high"])
    return tables.interval(low, high) if math.isfinite(low) and math.isfinite(high) else "–"


def grid_rows(rows: Sequence[Told]) -> Rows:
    """Rates with their losses."""
    return [
        (
            _rate(row["rate"]),
            from_strict(row["loss"]) if row["loss"] is not None else "–",
            _bounds(row),
            percent(row["lost"]),
            f"{row['diverged']}/{row['seeds']}",
        )
        for row in rows
    ]


def rule_rows(rows: Sequence[Told]) -> Rows:
    """Rules with what they suggest and lose."""
    return [
        (
            row["rule"],
            *(_rate(row[name]) for name in ("median", "lowest", "highest")),
            f"{row['suggests']}/{row['seeds']}",
            percent(row["lost_mean"]),
            percent(row["lost_worst"]),
        )
        for row in rows
    ]


def free_rows(rows: Sequence[Told]) -> Rows:
    """Rate-free optimisers."""
    return [(row["optimizer"], from_strict(row["loss"]), percent(row["lost"])) for row in rows]


def found(records: Records) -> Made | None:
    """The finding: rate, divergence, margin, and the optimum by the length of the run."""
    told = records.summary.get("finding")
    if not told:
        return None
    rows: Rows = []
    if told["verdict"] == "found":
        rows.append(
            (f"start from, for {told['horizon']:,} steps", _rate(told["rate"]), _bounds(told))
        )
        edge = {"low": told["divergence_low"], "high": told["divergence_high"]}
        rows.append(("runs diverge from", _rate(told["divergence"]), _bounds(edge)))
        rows.append(("margin (times)", _rate(told["margin"]), "–"))
        rows += [(f"best over {steps:,} steps", _rate(rate), "–") for steps, rate in told["optima"]]
    return "finding", "The learning rate to start from", FOUND, rows, str(told["sentence"])


def grid(records: Records) -> Made | None:
    """The losses by rate, both searches."""
    told = records.summary.get("first_search")
    if not told:
        return None
    rows = grid_rows(told)
    note = (
        "Mean training loss over the first search's runs; lost: share of the best rate's descent."
    )
    return "rate-losses", "Training loss by learning rate", GRID, rows, note


def rules(records: Records) -> Made | None:
    """Every rule."""
    told = records.summary.get("rules")
    if not told:
        return None
    note = (
        "A seed's suggestion is judged by the other seeds' mean loss over the first search's runs;"
        " no suggestion counts as all of the descent lost. Literal rule: raise the rate by the"
        " factor until the criterion is met, then step so many notches back."
    )
    title = "What each rule suggests, and the share of the best descent that it loses"
    return "rules", title, RULES, rule_rows(told), note


def free(records: Records) -> Made | None:
    """The rate-free optimisers beside the found rate."""
    told = records.summary.get("rate_free")
    if not told:
        return None
    note = (
        "Mean training loss over runs of the search's length, at documented rates; lost: of the"
        " best rate's descent; negative: the optimiser does better than this study's at any rate."
    )
    return "rate-free", "Optimisers without a tuned rate", FREE, free_rows(told), note


def all_made(records: Records) -> list[Made]:
    """Every table for which there are data."""
    made = (found(records), grid(records), rules(records), free(records))
    return [one for one in made if one]
