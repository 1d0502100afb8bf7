"""The tables of a report, each made once and shown as HTML, Markdown and LaTeX."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convergence import wording
from convergence.analysis.verdict import Verdict
from convergence.report import branch, endings, finder, luck, schedules, weights
from convergence.reporting import latex, tables
from convergence.reporting.figures.descents import costs
from convergence.reporting.figures.groups import loss_name, validation_words
from convergence.reporting.records import Records
from convergence.reporting.tensorboard import safe_name

PRIMARY = "primary"  # the family that answers a study's question
MOST_COSTS = 3  # halvings whose cost the table tells, and the last one


@dataclasses.dataclass(frozen=True)
class Table:
    """A table in words.

    Attributes:
        name: of its files, and its id in the page.
        title: its caption.
        headers, rows: text.
        note: below it: what its intervals speak of.
        verdicts: whether the last column holds decisions.
    """

    name: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    verdicts: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return tables.numeric_columns(self.rows, len(self.headers))

    def markdown(self) -> str:
        """With its title and note, as a Markdown document."""
        parts = [f"**{tables.escape(self.title)}**", tables.markdown(self.rows, self.headers)]
        return "\n\n".join([*parts, *([tables.escape(self.note)] if self.note else [])]) + "\n"

    def tex(self) -> str:
        """As a LaTeX table environment."""
        return latex.table(self.rows, self.headers, self.title, self.note)


def _table(
    name: str,
    title: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    note: str = "",
    verdicts: bool = False,
) -> Table:
    cells = tuple(tuple(tables.shown(value) for value in row) for row in rows)
    return Table(name, title, tuple(headers), cells, note, verdicts)


def claims(records: Records, verdicts: Sequence[Verdict]) -> list[Table]:
    """The claims that answer the question, then the others by family."""
    families: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        families.setdefault(verdict.claim.family, []).append(verdict)
    asked = _not_asked(records)
    found = []
    first = PRIMARY if PRIMARY in families else next(iter(families), "")
    for family in sorted(families, key=lambda name: name != first):
        members = families[family]
        rows: list[Sequence[Any]] = [wording.verdict_line(verdict) for verdict in members]
        rows += [row for topic, row in asked if topic == family]
        title = "Claims, fixed before training" if family == first else f"Further claims: {family}"
        alone = len(members) == 1
        note = wording.legend(members)
        note += "" if alone else f" Corrected for the {len(members)} claims of this table (Holm)."
        name = "claims" if family == first else f"claims-{safe_name(family.replace(' ', '-'))}"
        found.append(_table(name, title, wording.HEADERS, rows, note, verdicts=True))
    untold = [row for topic, row in asked if topic not in families]
    if untold:
        title = "Claims that could not be asked"
        found.append(_table("claims-not-asked", title, wording.HEADERS, untold, verdicts=True))
    return found


def _not_asked(records: Records) -> list[tuple[str, tuple[str, ...]]]:
    """Claims that these data or this model could not be asked, with their family."""
    topics = records.summary.get("topics") or {}
    return [
        (
            str(topics.get(str(one["challenge"]), "")),
            (f"{one['id']} {one['statement']}", "–", "–", f"not applicable ({one['reason']})"),
        )
        for one in records.summary.get("not_applicable") or ()
    ]


def announced(records: Records) -> Table | None:
    """The claims written to the manifest before training, where no verdict was reached."""
    told = records.manifest.get("claims")
    rows = [
        (f"{one.get('id', '')} {one.get('statement', '')}", one.get("family", ""), "no verdict")
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, Mapping)
    ]
    if not rows:
        return None
    title = "Claims, fixed before training, without verdict"
    return _table("claims", title, ("claim", "family", "verdict"), rows, verdicts=True)


def arms(records: Records) -> Iterator[Table]:
    """Where each arm ended, a table for each split that was scored."""
    told = records.summary.get("arms") or ()
    for split in dict.fromkeys(one["split"] for one in told):
        members = [one for one in told if one["split"] == split]
        metric = members[0]["metric"]
        words = {"clean": validation_words(records)}.get(split, f"{split} rows")
        methods = ", ".join(dict.fromkeys(str(one["mean"]["method"]) for one in members))
        yield _table(
            f"arms-{split}",
            f"Arms: {metric} on {words}",
            wording.ARM_HEADERS,
            wording.arm_lines(members),
            f"Mean over the seeds that finished; intervals speak of seeds ({methods}), and are not"
            " corrected for the number of arms.",
        )


def scores(records: Records) -> Table | None:
    """Where each trial's arm ended, from the trials alone: for a study without a summary."""
    if not records.split:
        return None
    rows = []
    for arm in records.arms:
        values = records.scores(arm)
        finished = values[values == values]
        mean = float(finished.mean()) if len(finished) else math.nan
        rows.append((arm, mean, len(values), len(values) - len(finished)))
    headers = ("arm", f"mean {records.metric}", "trials", "diverged")
    title = f"Arms: {records.metric} where trials ended"
    return _table("arms", title, headers, rows, "No summary was written: means without intervals.")


def choices(records: Records) -> Table | None:
    """The best setting of each factor, and what led combined."""
    told = records.summary
    combined = [one for one in told.get("weighed") or () if one["factor"] == "combination"]
    rows = [one for one in (*(told.get("choices") or ()), *combined) if "leads" in one]
    if not rows:
        return None
    title = f"Best of each factor, and what leads combined: gain in {records.metric}"
    note = (
        "Gain over the default on validation rows, positive is better. A change that leads by a"
        " standard error is built upon; only the confirmation decides."
    )
    return _table("choices", title, wording.CHOICE_HEADERS, wording.choice_lines(rows), note)


def spreads(records: Records) -> Table | None:
    """The spread over seeds by what varies."""
    told = records.summary.get("spread")
    if not told:
        return None
    warnings = "; ".join(dict.fromkeys(str(one["warning"]) for one in told if one["warning"]))
    title = f"Spread of {records.metric} over seeds, by what varies"
    note = "Intervals of the standard deviation speak of seeds (Bonett 2006)."
    note += f" {warnings.capitalize()}." if warnings else ""
    rows = wording.spread_lines(told)
    return _table("spread", title, wording.SPREAD_HEADERS, rows, note)


def rates(records: Records) -> Table | None:
    """Each learning rate and what it was at this length of run."""
    told = records.summary.get("rates")
    if not told:
        return None
    title = "Learning rates at this length of run"
    note = (
        f"Useful: within the margin of the best mean {records.metric}. Of a rate that diverges,"
        " some seed does."
    )
    return _table("rates", title, ("rate", "was"), [(o["rate"], o["was"]) for o in told], note)


def descent(records: Records) -> Table | None:
    """For each arm the limit of its training loss, and what halvings of the excess cost."""
    if not {"loss_step", "loss_mean"} <= set(records.curves) or not records.arms:
        return None
    rows = []
    for arm in records.arms:
        towards, steps = costs(records, arm)
        told: list[Any]
        if towards.reason:
            told = [towards.reason, *["–"] * (MOST_COSTS + 2)]
        else:
            shown = [step.cost for step in steps[:MOST_COSTS]]
            limit = tables.estimate(towards.estimate, towards.low, towards.high)
            told = [limit, *shown, *[None] * (MOST_COSTS - len(shown)), len(steps)]
            told.append(steps[-1].cost if steps else None)
        rows.append((arm, loss_name(records, arm), *told))
    if not any(row[-1] not in ("–", None) for row in rows):
        return None
    headers = ("arm", "loss", "limit", "1st", "2nd", "3rd", "halvings", "last")
    return _table(
        "descent",
        "The cost of each further drop: steps per halving of the excess training loss",
        headers,
        rows,
        "Limit: extrapolated from the end of the curve by a power law or an exponential; its"
        " interval speaks of seeds, not of the law's form.",
    )


def all_tables(records: Records, verdicts: Sequence[Verdict]) -> list[Table]:
    """Every table for which there are data, the claims first."""
    found: list[Table | None] = [*claims(records, verdicts)]
    if not verdicts and not records.summary:
        found.append(announced(records))
    found += [_table(*made) for made in schedules.all_made(records, verdicts)]
    by_arm: list[Table | None] = list(arms(records))
    found += by_arm or [scores(records)]
    found += [choices(records), rates(records), spreads(records)]
    found += [_table(*made) for made in (*branch.all_made(records), *luck.all_made(records))]
    found += [_table(*made) for made in weights.all_made(records.summary)]
    found += [_table(*made) for made in finder.all_made(records)]
    found.append(descent(records))
    found += [_table(*one) for one in endings.made(records)]
    return [table for table in found if table]
