"""Figures of one study, from its records: each one idea, with the sentence that it supports."""

from __future__ import annotations

from collections.abc import Sequence

from convergence.analysis.verdict import Verdict
from convergence.reporting.figures import (
    branch,
    curves,
    descents,
    finder,
    growth,
    intervals,
    luck,
    rates,
    schedules,
    surfaces,
    weights,
)
from convergence.reporting.figures.drawing import Drawn, Panel
from convergence.reporting.figures.palette import DARK, LIGHT, SENTINELS, Palette
from convergence.reporting.records import Records

__all__ = ["DARK", "LIGHT", "SENTINELS", "Drawn", "Palette", "Panel", "draw", "verdicts_of"]


def verdicts_of(records: Records) -> list[Verdict]:
    """The verdicts in a study's summary.

    Raises:
        KeyError, TypeError, ValueError: the summary holds something else.
    """
    return [Verdict.from_json(one) for one in records.summary.get("verdicts") or ()]


def draw(records: Records, verdicts: Sequence[Verdict] | None = None) -> list[Drawn]:
    """Every figure for which there are data, in the order of a report.

    Nothing is painted before a figure's `Drawn.svgs` or `Drawn.png` is asked for.

    Args:
        records: one study's, as `records.read` gives them.
        verdicts: to draw instead of those in its summary.
    """
    told = verdicts_of(records) if verdicts is None else verdicts
    found = (
        schedules.by_budget(records, told),
        intervals.differences(records, told),
        finder.losses(records),
        schedules.tuning(records),
        branch.branches(records),
        weights.grid(records),
        weights.reached(records),
        weights.layers(records),
        surfaces.surfaces(records),
        surfaces.barriers(records),
        luck.sources(records),
        growth.twins(records),
        growth.forgiving(records),
        luck.consistency(records),
        intervals.finals(records),
        curves.metric(records),
        curves.loss(records),
        rates.misfits(records),
        rates.rates(records),
        descents.halving(records),
        intervals.spreads(records),
        descents.broken(records),
    )
    return [figure for figure in found if figure]
