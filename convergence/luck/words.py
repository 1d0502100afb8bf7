"""What the experiment on randomness says at its end, in 80 columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convergence import wording
from convergence.analysis.power import CAP
from convergence.analysis.statistics import Interval
from convergence.analysis.threshold import Threshold
from convergence.challenges import Asked
from convergence.chance.again import Again
from convergence.chance.claims import Question
from convergence.chance.consistency import Consistency
from convergence.chance.decisions import Told
from convergence.chance.seeds import Count, SeedsNeeded
from convergence.chance.sources import InitByOrder, SourceSpread, none_is_harmless
from convergence.chance.twins import AS_A_SEED, Fastest, Twins
from convergence.reporting import tables
from convergence.spec import RunSpec

number, estimate = tables.number, tables.estimate


def _told(interval: Interval | None) -> str:
    if interval is None or not math.isfinite(interval.estimate):
        return "–"
    return estimate(interval.estimate, interval.low, interval.high)


def _percent(interval: Interval) -> str:
    return "–" if not math.isfinite(interval.estimate) else f"{_hundredths(interval.estimate)} %"


def _hundredths(share: float) -> int:
    return round(100 * min(max(share, 0.0), 1.0))  # estimates are not clipped to 0 and 1


def _shares(interval: Interval) -> str:
    if not math.isfinite(interval.estimate):
        return "–"
    low, high = map(_hundredths, (interval.low, interval.high))
    return f"{_hundredths(interval.estimate)} % [{low}, {high}]"


def sources_text(found: Sequence[SourceSpread], metric: str) -> str:
    """The spread by source, what it does to predictions, and the sentence on main effects."""
    if not found:
        return ""
    spreads = [
        (
            one.source,
            number(one.sd.estimate),
            tables.interval(one.sd.low, one.sd.high) if one.sd.n > 1 else "–",
            _percent(one.parts.share) if one.parts else "–",
            _percent(one.parts.total_share) if one.parts else "–",
            number(one.expected),
            f"{one.seeds}/{one.trials}",
        )
        for one in found
    ]
    predictions = [
        (one.source, _told(one.churn), _told(one.gain), _told(one.rows)) for one in found
    ]
    settings = f"{found[0].settings} setting{'s' * (found[0].settings != 1)}"
    title = (
        f"Spread of {metric} by what varies ({settings} of the others; share of the"
        " variance that it explains by itself, and in any way; sd by rows: what independent rows"
        " alone would give)"
    )
    further = (
        "Churn between two of its draws, gain of their ensemble, and the sd as a multiple of what"
        " the rows alone would give"
    )
    heads = ("varies", "sd", "95 % interval", "itself", "any way", "sd by rows", "n")
    parts = [
        f"{title}\n{tables.text(spreads, heads)}",
        f"{further}\n" + tables.text(predictions, ("varies", "churn", "gain", "multiple")),
        none_is_harmless(found),
    ]
    return "\n\n".join(part for part in parts if part)


def crossed_text(found: InitByOrder | None, metric: str) -> str:
    """Initialisations crossed with orders."""
    if found is None:
        return ""
    rows = [
        (source, _shares(told.share), _shares(told.total_share))
        for source, told in (("init", found.init), ("order", found.order))
    ]
    title = f"{found.inits} initialisations × {found.orders} orders: share of {metric}'s variance"
    return f"{title}\n" + tables.text(rows, ("source", "by itself", "in any way"))


def _where(found: float, what: str) -> str:
    if math.isnan(found):
        return "no rate tells"
    if found == 0:
        return f"at every rate of the grid {what}"
    if math.isinf(found):
        return f"at no rate of the grid {what}"
    return f"from {number(found)} on {what}"


def _bounds(interval: Interval) -> str:
    def one(bound: float) -> str:
        return {0.0: "below the grid", math.inf: "above the grid"}.get(bound) or number(bound)

    return f"[{one(interval.low)}, {one(interval.high)}]"


def threshold_text(found: Threshold, what: str) -> str:
    """Where something sets in, with its intervals."""
    text = f"{_where(found.rate, what)} (seeds: {_bounds(found.interval)}"
    if found.over_grids:
        grids = found.over_grids
        text += f"; {grids.n} grids: {estimate(grids.estimate, grids.low, grids.high)}"
    elif found.grids:
        text += f"; grids: {', '.join(number(rate) for rate in found.grids)}"
    return text + ")"


def _fastest(found: Fastest) -> str:
    return f"{number(found.rate)} {_bounds(found.interval)}"


def _growth_text(found: Twins) -> str:
    rows = [
        (
            _rate(found, one.rate),
            _told(one.growth.rate),
            f"{one.growth.healed.estimate * one.growth.pairs:.0f}/{one.growth.pairs}"
            if one.growth.pairs
            else "–",
            f"{one.growth.passing.estimate * one.growth.pairs:.0f}" if one.growth.pairs else "–",
            number(one.relative, 2),
        )
        for one in found.rates
    ]
    title = (
        "A flipped bit by learning rate: growth of the logarithm of the distance a step; twins at"
        " distance 0 at the end, or only for a while; distance to the twin as a share of that"
        " between seeds"
    )
    heads = ("rate", "growth a step", "healed", "for a while", "distance")
    return f"{title}\n{tables.text(rows, heads)}"


def _effect_text(found: Twins, metric: str) -> str:
    rows = [
        (
            _rate(found, one.rate),
            number(one.bit_sd.estimate),
            number(one.seed_sd.estimate),
            _told(one.ratio),
            number(one.churn.estimate),
            number(one.seed_churn.estimate),
            number(one.train, 2),
        )
        for one in found.rates
    ]
    title = (
        f"What it does: sd of {metric} by a bit and by seed, their ratio, churn by a bit and by"
        " seed; loss on training rows"
    )
    heads = ("rate", "sd bit", "sd seed", "ratio", "churn bit", "churn seed", "loss")
    return f"{title}\n{tables.text(rows, heads)}"


def _rate(found: Twins, rate: float) -> str:
    return f"{rate:.4g}{' (own)' if rate == found.own else ''}"


def twins_text(found: Twins | None, metric: str) -> str:
    """One flipped bit by learning rate, where it begins to matter, and the fastest rate."""
    if found is None:
        return ""
    what = f"one bit moves the result at least {AS_A_SEED:g} times as far as a seed"
    fastest, best = _fastest(found.fastest), _fastest(found.best)
    where = [
        threshold_text(found.metric, what),
        threshold_text(found.growing, "a one-bit difference grows"),
    ]
    if len(found.rates) == 1:
        where = ["one rate is no grid: from which rate on a bit matters cannot be told"]
    lines = [
        _growth_text(found),
        "",
        _effect_text(found, metric),
        "",
        *where,
        f"lowest training loss at rate {fastest}, best {metric} at {best}",
    ]
    return "\n".join(lines)


def consistency_text(found: Consistency | None, metric: str) -> str:
    """The spread over seeds by dose, and its slope."""
    if found is None:
        return ""
    rows = [
        (
            number(dose),
            number(mean),
            number(told.sd),
            tables.interval(told.low, told.high) if told.n > 1 else "–",
            f"{told.n}/{told.trials}",
        )
        for (dose, _), mean, told in zip(found.doses, found.means, found.spreads)
    ]
    heads = (found.field, "mean", "sd", "95 % interval", "n")
    slope = f"slope of the sd: {_told(found.slope)} from no target spoiled to all"
    return f"Spread of clean {metric} over seeds by dose\n{tables.text(rows, heads)}\n{slope}"


def _count(found: Count) -> str:
    def one(value: int) -> str:
        return f">{CAP}" if value > CAP else str(value)

    return f"{one(found.estimate)} [{one(found.low)}, {one(found.high)}]"


def seeds_text(found: SeedsNeeded | None, metric: str) -> str:
    """How many seeds tell differences of given sizes apart."""
    if found is None:
        return ""
    rows = [
        (number(row.difference), _count(row.paired), _count(row.unpaired)) for row in found.rows
    ]
    heads = (f"difference in {metric}", "seeds, shared", "seeds, each its own")
    note = (
        f"shared: as between the setting and {found.neighbour} (correlation"
        f" {number(found.correlation, 2)}); power .8, two-sided level .05"
    )
    return f"Seeds of each setting that show a difference\n{tables.text(rows, heads)}\n{note}"


def again_text(found: Again) -> str:
    """Whether trials trained once more ended in the same bits (claim 0a, its other half)."""
    count = len(found.trials)
    text = (
        f"0a With all keys fixed a run repeats: {count} of {count} trials, trained once more,"
        " ended in the same bits."
    )
    if not found.same:
        wrong = [str(t) for t, names in zip(found.trials, found.differing) if names]
        text = f"0a With all keys fixed runs did NOT repeat: other bits in trials {wrong}."
    told = [f"{source}: {models}" for source, (_, models) in found.models.items()]
    if told:
        trials = max(trials for trials, _ in found.models.values())
        text += f" Different models of {trials} draws: {'; '.join(told)}."
    return text


def claims_text(told: Told) -> str:
    """The table of the claims."""
    lines, verdicts = [], []
    for one, verdict in told:
        if isinstance(one, Asked):
            lines.append(wording.asked_line(one.id, one.statement, one.reason))
        elif verdict is not None and isinstance(one, Question):
            lines.append(wording.verdict_line(verdict))
            verdicts.append(verdict)
    if not lines:
        return ""
    return f"{tables.text(lines, wording.HEADERS)}\n{wording.legend(verdicts)}"


def _diverged(rows: Sequence[Mapping[str, Any]]) -> str:
    lost = sum(row["diverged_count"] for row in rows)
    trials = sum(row["n"] for row in rows)
    return f"note: {lost} of {trials} trials diverged; they enter no spread" if lost else ""


def closing_text(
    run: RunSpec,
    rows: Sequence[Mapping[str, Any]],
    *,
    told: Told,
    again: Again,
    sources: Sequence[SourceSpread],
    crossed: InitByOrder | None,
    twins: Twins | None,
    consistency: Consistency | None,
    seeds: SeedsNeeded | None,
) -> str:
    """All that is told at the end."""
    metric = run.metric
    claims = claims_text(told)
    verdicts = [verdict for _, verdict in told if verdict]
    parts = [
        sources_text(sources, metric),
        crossed_text(crossed, metric),
        twins_text(twins, metric),
        consistency_text(consistency, metric),
        seeds_text(seeds, metric),
        "\n".join(filter(None, [_diverged(rows), wording.warnings_text(verdicts)])),
        f"Claims, margin δ = {number(run.margin)}\n{claims}" if claims else "",
        again_text(again),
    ]
    return "\n\n".join(part for part in parts if part)
