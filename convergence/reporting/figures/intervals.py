"""Figures of estimates with their intervals: paired differences, final scores, spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convergence import names
from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict
from convergence.reporting import tables
from convergence.reporting.figures.drawing import Drawn, Panel, short
from convergence.reporting.figures.rows import WRAP, Row, rows_panel, span_of
from convergence.reporting.records import Records

MOST_ROWS = 8  # of a panel
FAR = 4.0  # times the range of most arms: an arm further off ends in an arrow


def differences(records: Records, verdicts: Sequence[Verdict]) -> Drawn | None:
    """Every claim's effect with its corrected interval, the margin, and the pairs behind it."""
    if not verdicts:
        return None
    families: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        families.setdefault(verdict.claim.family, []).append(verdict)
    panels = []
    for family, members in families.items():
        title = family if len(families) > 1 else ""
        for alike in _on_one_axis(members):
            for k in range(0, len(alike), MOST_ROWS):
                panels.append(_claims_panel(records, alike[k : k + MOST_ROWS], title))
    return Drawn(
        "differences",
        "Paired differences with their intervals",
        f"{counts(verdicts)}.{_strongest(verdicts)}",
        tuple(panels),
        "Right of 0 supports the claim; the shaded strip is within the margin. Disc: holds,"
        " cross: fails, diamond: undecided. Small dots are the pairs of seeds, where the effect is"
        " a plain difference of scores. Intervals are corrected within each panel's family"
        " of claims; an arrow goes on beyond the frame.",
    )


def _on_one_axis(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """The claims by what their effects are measured in: metric and margin."""
    found: dict[tuple[str, float], list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault((verdict.claim.metric, verdict.claim.margin), []).append(verdict)
    return list(found.values())


def counts(verdicts: Sequence[Verdict]) -> str:
    """How many claims ended how: "Of 5 claims 3 hold, 1 fails, 1 is undecided"."""
    told = []
    for word, one, several in (
        ("holds", "holds", "hold"),
        ("fails", "fails", "fail"),
        ("undecided", "is undecided", "are undecided"),
        ("not applicable", "cannot be asked", "cannot be asked"),
    ):
        count = sum(verdict.decision == word for verdict in verdicts)
        told += [f"{count} {one if count == 1 else several}"] if count else []
    claims = "1 claim" if len(verdicts) == 1 else f"{len(verdicts)} claims"
    return f"Of {claims} {', '.join(told)}"


def _strongest(verdicts: Sequence[Verdict]) -> str:
    """The largest effect that holds, in margins."""
    held = [v for v in verdicts if v.decision == "holds" and math.isfinite(v.effect)]
    held = [v for v in held if v.claim.kind == "superiority"]
    if not held:
        return ""
    best = max(held, key=lambda v: abs(v.effect) / v.claim.margin)
    return (
        f" The largest that holds: {best.claim.statement}, by {tables.number(abs(best.effect))}"
        f" ({tables.number(abs(best.effect) / best.claim.margin, 2)} margins)."
    )


def _claims_panel(records: Records, verdicts: Sequence[Verdict], title: str) -> Panel:
    rows = []
    for verdict in verdicts:
        sign, low, high = verdict.claim.direction, verdict.low, verdict.high
        if sign < 0:
            low, high = -high, -low
        label = f"{verdict.claim.id} {verdict.claim.statement}"
        pairs = sign * _pairs(records, verdict)
        rows.append(Row(label, sign * verdict.effect, low, high, pairs, verdict.decision))
    margin = verdicts[0].claim.margin
    return rows_panel(title, rows, verdicts[0].claim.metric.split()[0], margin=margin)


def _pairs(records: Records, verdict: Verdict) -> np.ndarray:
    """Treatment minus control, seed by seed, where the claim compares plain scores."""
    claim = verdict.claim
    known = claim.treatment in records.rows and claim.control in records.rows
    if not known or not records.split or claim.metric != records.metric or _harms(records, verdict):
        return np.zeros(0)
    first, second = records.scores(claim.treatment), records.scores(claim.control)
    if len(first) != len(second):
        return np.zeros(0)
    return first - second


def _harms(records: Records, verdict: Verdict) -> bool:
    """Whether the effect is none of plain differences: their mean is another number."""
    scores = [records.scores(arm) for arm in (verdict.claim.treatment, verdict.claim.control)]
    if len(scores[0]) != len(scores[1]):
        return True
    difference = scores[0] - scores[1]
    difference = difference[np.isfinite(difference)]
    mean = float(np.mean(difference)) if len(difference) else math.nan
    return not math.isclose(mean, verdict.effect, rel_tol=1e-3, abs_tol=1e-2 * verdict.claim.margin)


def finals(records: Records) -> Drawn | None:
    """Where each arm's seeds ended, with the mean and its interval."""
    told = records.summary.get("arms")
    rows = []
    told = told if isinstance(told, list) else []
    known_splits = [one["split"] for one in told]
    # Of data that nothing spoiled, the clean scores are those of the validation rows.
    split = records.split if records.split in known_splits else "clean"
    for one in told:
        if one["metric"] != records.metric or one["split"] != split:
            continue
        mean = one["mean"]
        seeds = records.scores(one["arm"]) if one["arm"] in records.rows else ()
        least, most = names.RANGES[records.metric]
        bounds = (max(from_strict(mean["low"]), least), min(from_strict(mean["high"]), most))
        estimate = from_strict(mean["estimate"])
        if one["n"] - one["diverged_count"] < 2:
            bounds = (estimate, estimate)
        text = f"{one['diverged_count']} of {one['n']} diverged" if one["diverged_count"] else ""
        rows.append(Row(short(one["arm"], WRAP), estimate, *bounds, seeds, "", text))
    single = all(row.low == row.high for row in rows)
    if not rows or (single and len(rows) == 1):
        return None
    known = [row for row in rows if math.isfinite(row.value)]
    higher = records.metric in names.HIGHER_IS_BETTER
    if not known:
        sentence = "No arm has a seed that finished."
    else:
        asked = [row for row in known if not _aside(records, row)] or known
        best = (max if higher else min)(asked, key=lambda row: row.value)
        sentence = (
            f"Best mean {records.metric}: {tables.number(best.value)} by"
            f" ‘{' '.join(best.lines)}’; {'highest' if higher else 'lowest'} is best."
            if len(rows) > 1
            else f"Mean {records.metric} {tables.number(best.value)}"
            f" {tables.interval(best.low, best.high)} over {len(best.seeds)} seeds."
        )
    size = -(-len(rows) // max(1, -(-len(rows) // (2 * MOST_ROWS))))
    span = _usual(rows)
    panels = [
        rows_panel("", rows[k : k + size], records.metric, span=span)
        for k in range(0, len(rows), size)
    ]
    return Drawn(
        "finals",
        "Where each arm ended",
        sentence,
        tuple(panels),
        "One seed that finished: there are no intervals."
        if single
        else "Small dots: seeds; large dot and line: mean with its 95 % interval over seeds, not"
        " corrected for the number of arms.",
    )


def _aside(records: Records, row: Row) -> bool:
    """Whether an arm is no choice: other rows or other randomness, not another setting."""
    return bool({"vary", "twin"} & set(records.changes.get(" ".join(row.lines), {})))


def _usual(rows: Sequence[Row]) -> tuple[float, float]:
    """The x axis' ends where most arms lie; those far off are told in an arrow's number."""
    values = np.array([row.value for row in rows if math.isfinite(row.value)])
    low, high = span_of(rows, None)
    if len(values) < 3:
        return low, high
    near, middle, far = np.percentile(values, [10, 50, 90])
    reach = FAR * (far - near)
    room = 0.05 * reach
    if reach <= 0 or (low >= middle - reach - room and high <= middle + reach + room):
        return low, high
    inside = [row for row in rows if abs(row.value - middle) <= reach]
    return span_of(inside, None)


def spreads(records: Records) -> Drawn | None:
    """The spread over seeds by the source of randomness that varies."""
    told = records.summary.get("spread")
    rows = []
    for one in told if isinstance(told, list) else ():
        sd, low, high = (from_strict(one[name]) for name in ("sd", "low", "high"))
        text = "no interval: " + str(one["warning"]) if one["warning"] else ""
        if not math.isfinite(high):
            low = high = sd
        rows.append(Row(str(one["varies"]), sd, low, high, (), "", text))
    known = [row for row in rows if math.isfinite(row.value)]
    if not known:
        return None
    most = max(known, key=lambda row: row.value)
    interval = f" {tables.interval(most.low, most.high)}" if most.low < most.high else ""
    reach = 1.05 * max(max(row.value, row.high) for row in known) or 1.0
    return Drawn(
        "spread",
        "Spread over seeds, by what varies",
        f"Seeds lie furthest apart when {' '.join(most.lines)} varies:"
        f" standard deviation {tables.number(most.value)}{interval}.",
        (rows_panel("", rows, f"standard deviation of {records.metric}", span=(0.0, reach)),),
        "Each line: one source varies alone; the last: all that vary in this study. Intervals:"
        " 95 %, over seeds.",
    )
