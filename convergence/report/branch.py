"""The table of a branch test: the run as it was and its branches, made of summary.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.analysis import branches as judged
from convergence.analysis.statistics import from_strict
from convergence.report.luck import Made, Rows
from convergence.reporting import tables
from convergence.reporting.records import Records

HEADERS = ("rate", "own steps", "median", "10 % to 90 %", "gain", "interval", "ends better")


def branches(records: Records) -> Made | None:
    """Where the run and its branches ended, and what each gains over it."""
    told: Mapping[str, Any] | None = records.summary.get("branch")
    if not told:
        return None
    rows: Rows = []
    for place, way in enumerate(told["ways"]):
        quantiles = [from_strict(way[name]) for name in ("low", "median", "high")]
        row: list[Any] = [
            way["name"],
            way["start"],
            tables.number(quantiles[1], 4),
            tables.interval(quantiles[0], quantiles[2]),
        ]
        rows.append((*row, *(_gain(told["verdict"]["branches"][place - 1]) if place else "–––")))
    note = (
        f"Own steps: taken in common with the run as it was. Quantiles over {told['seeds']} seeds"
        f" of {told['metric']} on {told['split']}. Gain: over the run as it was, paired by seed;"
        f" intervals are corrected for all branches (Holm), margin"
        f" {tables.number(from_strict(told['margin']))}."
    )
    title = f"Branch test: {told['verdict']['verdict']}"
    if told["verdict"]["verdict"] == judged.UNDECIDED:
        title += f" ({told['verdict']['reason']})"
    return "branches", title, HEADERS, rows, note


def _gain(one: Mapping[str, Any]) -> tuple[Any, ...]:
    sign = one["claim"]["direction"]
    low, high = sorted(sign * from_strict(one[name]) for name in ("low", "high"))
    why = f" ({one['reason']})" if one["reason"] else ""
    answer = judged.answered(one["decision"] + why)
    return sign * from_strict(one["effect"]), tables.interval(low, high), answer


def all_made(records: Records) -> list[Made]:
    """The table, where there are data."""
    found = branches(records)
    return [found] if found else []
