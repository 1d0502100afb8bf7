"""The tables of a study of schedules or optimisers: one a budget, and what the tuning tried.

They are made of summary.json alone, so that a report can be drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence import names
from convergence.analysis.statistics import from_strict
from convergence.analysis.verdict import Verdict, verdict_on
from convergence.reporting import tables
from convergence.reporting.figures.schedules import contrast
from convergence.reporting.figures.schedules import told as has_schedules
from convergence.reporting.records import Records

Told = Mapping[str, Any]
Made = tuple[str, str, tuple[str, ...], list[tuple[Any, ...]], str]  # see report.luck
PARTS = {"schedules": "Schedules", "optimizers": "Optimisers"}
CONSTANT = "constant"
EDGES = {"": "", "low": "↓", "high": "↑"}
MOST_RATES = 10  # columns of the tuning's table


def rate_text(cell: Told) -> str:
    """A chosen rate, with an arrow where it lies at an end of its grid."""
    return f"{cell['rate']:g}{EDGES[cell['edge']]}"


def _effect(verdict: Verdict | None, turned: bool = False) -> str:
    if verdict is None or verdict.effect != verdict.effect:
        return "–"
    if turned:
        return tables.estimate(-verdict.effect, -verdict.high, -verdict.low)
    return tables.estimate(verdict.effect, verdict.low, verdict.high)


def arms_of(told: Told, part: str, steps: int) -> dict[str, str]:
    """The arms of a part at a budget, by the option's name."""
    return {
        str(one["option"]): str(one["arms"][str(steps)])
        for one in told["options"]
        if one["part"] == part
    }


def _mean(row: Told) -> str:
    """An arm's mean, with the seeds that diverged where any did."""
    lost = f" ({row['diverged_count']}/{row['n']} diverged)" if row["diverged_count"] else ""
    return f"{tables.number(from_strict(row['mean']['estimate']), 4)}{lost}"


def lines(told: Told, verdicts: Sequence[Verdict], part: str, steps: int) -> list[tuple[Any, ...]]:
    """Options of a part at a budget: rate, mean, difference to the reference with its verdict.

    Of schedules also the verdict on "beats constant". A difference is as it was measured, not
    turned by the metric's direction; its interval is corrected.
    """
    means = {row["arm"]: _mean(row) for row in told["arms"]}
    arms = arms_of(told, part, steps)
    control, kind = contrast(told, part)
    rows = []
    for cell in told["tuning"]["cells"]:
        if (cell["part"], cell["steps"]) != (part, steps):
            continue
        option = str(cell["option"])
        arm = arms[option]
        held = verdict_on(verdicts, arm, arms[control], kind)
        row = [option, rate_text(cell), means[arm]]
        if part == "schedules" and option == CONSTANT:  # claimed the other way round
            row += [_effect(verdict_on(verdicts, arms[control], arm, "superiority"), True), ""]
        else:
            row += [_effect(held), held.decision if held else ""]
        if part == "schedules":
            beats = verdict_on(verdicts, arm, arms[CONSTANT], "superiority")
            row.append(beats.decision if beats else "")
        rows.append(tuple(row))
    return rows


def headers(told: Told, part: str) -> tuple[str, ...]:
    """Of the columns of `lines`."""
    control, _ = contrast(told, part)
    if part == "schedules":
        return ("schedule", "rate", "mean", f"− {control}", "no worse", "> constant")
    return ("optimiser", "rate", "mean", f"− {control}", "beats it")


def budgets(records: Records, verdicts: Sequence[Verdict]) -> list[Made]:
    """A table for each part at each budget."""
    told, found = records.summary, []
    for part in told["parts"]:
        control, _ = contrast(told, part)
        for steps in told["budgets"]:
            note = (
                "Each with the best of the same number of rates (↓ the lowest, ↑ the highest that"
                f" was tried), on fresh seeds. Difference to {control}: paired over seeds, its"
                " interval corrected within the claims of this budget; the verdict is on the claim"
                f" that the column names, margin {tables.number(_margin(verdicts))}."
            )
            title = title_of(part, steps, records.metric)
            rows = lines(told, verdicts, part, steps)
            found.append((f"{part}-{steps}", title, headers(told, part), rows, note))
    return found


def title_of(part: str, steps: int, metric: str) -> str:
    """Of the table of a part at a budget."""
    better = "higher" if metric in names.HIGHER_IS_BETTER else "lower"
    return f"{PARTS[part]} at {steps} steps, tuned: {metric} ({better} is better)"


def _margin(verdicts: Sequence[Verdict]) -> float | None:
    return verdicts[0].claim.margin if verdicts else None


def tuning(records: Records) -> list[Made]:
    """What each rate scored in the tuning, a table for each part at each budget."""
    told, found = records.summary, []
    for part in told["parts"]:
        for steps in told["budgets"]:
            cells = [
                one
                for one in told["tuning"]["cells"]
                if (one["part"], one["steps"]) == (part, steps)
            ]
            rates = sorted({rate for cell in cells for rate in cell["rates"]})
            if len(rates) > MOST_RATES:  # grids of their own: told by place
                places = range(1, 1 + max(len(cell["rates"]) for cell in cells))
                heads = ("option", *(f"rate {k}" for k in places))
                rows = [
                    (cell["option"], *(_by_place(cell, k - 1) for k in places)) for cell in cells
                ]
            else:
                heads = ("option", *(f"{rate:g}" for rate in rates))
                rows = [(cell["option"], *(_score(cell, rate) for rate in rates)) for cell in cells]
            seeds = cells[0]["seeds"] if cells else 0
            note = (
                f"Mean {records.metric} on validation rows over {seeds} seeds of the tuning;"
                " * the chosen rate; † some seed diverged."
            )
            title = f"Tuning of {PARTS[part].lower()} at {steps} steps"
            found.append((f"tuned-{part}-{steps}", title, heads, rows, note))
    return found


def _score(cell: Told, rate: float) -> str:
    if rate not in cell["rates"]:
        return "–"
    place = cell["rates"].index(rate)
    mark = "*" if rate == cell["rate"] else ""
    lost = "†" if cell["finished"][place] < cell["seeds"] else ""
    return f"{tables.number(from_strict(cell['scores'][place]))}{mark}{lost}"


def _by_place(cell: Told, place: int) -> str:
    if place >= len(cell["rates"]):
        return "–"
    rate = cell["rates"][place]
    return f"{rate:g}: {_score(cell, rate)}"


def compounds(records: Records) -> list[Made]:
    """The claims made of parts."""
    told = records.summary.get("compounds") or ()
    rows: list[tuple[Any, ...]] = [
        (f"{one['id']} {one['statement']}", parts_holding(one), one["decision"]) for one in told
    ]
    note = "Each needs every part: it holds where all hold, and fails where one fails."
    heads = ("claim", "parts hold", "verdict")
    return [("compounds", "Claims made of parts", heads, rows, note)] if rows else []


def parts_holding(told: Told) -> str:
    """How many parts of a compound claim hold, of how many."""
    parts = told["parts"]
    return f"{sum(part['decision'] == 'holds' for part in parts)}/{len(parts)}"


def all_made(records: Records, verdicts: Sequence[Verdict]) -> list[Made]:
    """Every table for which there are data."""
    if not has_schedules(records):
        return []
    return [*budgets(records, verdicts), *compounds(records), *tuning(records)]
