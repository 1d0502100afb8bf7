"""How arms and verdicts are put into words and tables for the terminal; pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convergence import names
from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict
from convergence.reporting import tables

MOST_SEEDS = 10_000  # beyond this a number of seeds is no advice
ARM_HEADERS = ("arm", "mean", "95 % interval", "sd", "diverged")
SPREAD_HEADERS = ("varies", "sd", "95 % interval", "n")
CHOICE_HEADERS = ("factor", "setting", "gain", "std. error", "leads")
HEADERS = ("claim", "effect", "interval", "verdict")


def arm_lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The arms' summaries (`laboratory.arm_table`) as rows of a table."""
    lines = []
    for row in rows:
        mean = row["mean"]
        least, most = names.RANGES[row["metric"]]
        low, high = max(from_strict(mean["low"]), least), min(from_strict(mean["high"]), most)
        lines.append(
            (
                row["arm"],
                tables.number(from_strict(mean["estimate"]), 4),
                tables.interval(low, high) if row["n"] > row["diverged_count"] else "–",
                tables.number(from_strict(row["sd"])),
                f"{row['diverged_count']}/{row['n']}",
            )
        )
    return lines


def arm_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The arms' summaries (`laboratory.arm_table`) as a table."""
    return tables.text(arm_lines(rows), ARM_HEADERS)


def spread_lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The spreads by source, as summary.json has them, as rows of a table."""
    return [
        (
            row["varies"],
            tables.number(from_strict(row["sd"])),
            tables.interval(from_strict(row["low"]), from_strict(row["high"])),
            row["n"],
        )
        for row in rows
    ]


def choice_lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Settings held against the default, as summary.json has them, as rows of a table."""
    return [
        (
            row["factor"],
            row["arm"],
            tables.number(from_strict(row["lead"]["gain"])),
            tables.number(from_strict(row["lead"]["error"])),
            "yes" if row["leads"] else "no",
        )
        for row in rows
    ]


def arm_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader should know before trusting the means' intervals, each said once."""
    told = (str(row["mean"]["warning"]) for row in rows if row["mean"]["warning"])
    return [f"note: means: {note}" for note in dict.fromkeys(told)]


def decision(verdict: Verdict) -> str:
    """A verdict's decision and reason; of an undecided one, what it takes to decide it."""
    if verdict.decision != "undecided" or verdict.reason:
        return verdict.decision + (f" ({verdict.reason})" if verdict.reason else "")
    parts = []
    if math.isfinite(verdict.smallest_detectable):
        parts.append(f"would show {tables.number(verdict.smallest_detectable, 2)}")
    needed = verdict.seeds_needed.fewest
    if needed and needed <= MOST_SEEDS:
        parts.append(f"about {needed} seeds")
    return verdict.decision + (f" ({'; '.join(parts)})" if parts else "")


def verdict_line(verdict: Verdict) -> tuple[str, str, str, str]:
    """A verdict as a row of a table, turned so that a positive effect supports the claim.

    A star marks an interval that speaks of seeds alone.
    """
    claim, low, high = verdict.claim, verdict.low, verdict.high
    if claim.direction < 0:
        low, high = -high, -low
    star = "*" if verdict.speaks_of == "seeds" else ""
    effect, interval = "–", "–"
    if math.isfinite(verdict.effect):
        effect, interval = (
            tables.number(claim.direction * verdict.effect),
            tables.interval(low, high),
        )
    return (f"{claim.id}{star} {claim.statement}", effect, interval, decision(verdict))


def asked_line(id: str, statement: str, reason: str) -> tuple[str, str, str, str]:
    """A claim that these data or this model cannot be asked, as a row of the same table."""
    return (f"{id} {statement}", "–", "–", f"not applicable ({reason})")


def legend(verdicts: Sequence[Verdict]) -> str:
    """The line below a table of verdicts: what its signs and intervals mean."""
    kinds = {verdict.speaks_of for verdict in verdicts}
    of = "seeds and rows; *: seeds" if len(kinds) > 1 else "".join(kinds)
    star = "" if len(kinds) > 1 or kinds != {"seeds"} else " (*)"
    return f"Positive effects support the claim. Intervals speak of {of}{star}."


def verdict_text(verdicts: Sequence[Verdict]) -> str:
    """Claims with effect, interval and verdict, as a table with its legend."""
    lines = [verdict_line(verdict) for verdict in verdicts]
    return f"{tables.text(lines, HEADERS)}\n{legend(verdicts)}"


def warnings_by_claim(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """The verdicts' warnings, each with the claims that it is about."""
    seen: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        for warning in verdict.warnings:
            seen.setdefault(warning, {})[f"{verdict.claim.id} {verdict.claim.statement}"] = None
    return {warning: list(about) for warning, about in seen.items()}


def warnings_text(verdicts: Sequence[Verdict]) -> str:
    """The verdicts' warnings, each said once, with the claims that it is about."""
    told = warnings_by_claim(verdicts).items()
    return "\n".join(f"note: {warning} ({_about(claims)})" for warning, claims in told)


def _about(claims: Sequence[str]) -> str:
    """One claim in full; of several how many they are, and their ids."""
    ids = dict.fromkeys(claim.split(" ")[0] for claim in claims)
    return claims[0] if len(claims) == 1 else f"{len(claims)} claims: {', '.join(ids)}"
