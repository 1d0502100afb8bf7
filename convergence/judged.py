"""The curves in somebody's logs, judged: for the table, the machine's form and the page."""

from __future__ import annotations

import dataclasses
import math
import os
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convergence import logs
from convergence.analysis.curves import Judgement, Kind, Range, judge, judge_together
from convergence.analysis.curves import judgement as says
from convergence.errors import UserError
from convergence.logs import Curve
from convergence.reporting import tables

SHORTEST = 12  # columns of a curve's name
DETAIL = 30  # columns of what is told last; an interval that needs more is left to the page
RUN, TAG = 8, 6  # columns of a run and of its tag, at least, where a name is shortened
_GAP = "  "


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """A curve and what is said of it."""

    name: str
    curve: Curve
    kind: Kind
    judgement: Judgement


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """All curves that were judged, and sentences on what was guessed, left out or unreadable."""

    curves: tuple[Judged, ...]
    notes: tuple[str, ...]


def judge_paths(
    paths: Sequence[str],
    *,
    tag: Sequence[str] = (),
    step: str = "",
    value: Sequence[str] = (),
    higher: Sequence[str] | None = None,
    held_out: Sequence[str] = (),
    seed: int = 0,
    alone: bool = False,
) -> Found:
    """Judges every curve at some paths.

    Args:
        paths: as of `logs.read`.
        tag: parts of tags; only curves whose tag holds one are judged (all if empty).
        step, value: columns of tables.
        higher: tags that are better when higher; None to guess by their names.
        held_out: tags of held-out data, besides those that sound so.
        seed: of the intervals' draws.
        alone: judge each curve by itself, not beside the others of its tag.

    Raises:
        UserError: a path cannot be read, or no curve is left.
    """
    curves: list[tuple[str, Curve]] = []
    notes: list[str] = []
    for path in paths:
        found, told = logs.read(path, step, value)
        before = f"{os.path.basename(os.path.normpath(path))}: " if len(paths) > 1 else ""
        curves += [(before + curve.name, curve) for curve in found]
        notes += [before + line for line in told]
    there = sorted({curve.tag for _, curve in curves})
    for given, flag in ((higher or (), "higher_is_better"), (held_out, "held_out")):
        for name in given:
            if name not in there:
                raise UserError(f"there is no tag {name!r}; there are {_few(there)}.", flag)
    if tag:
        curves = [pair for pair in curves if any(part in pair[1].tag for part in tag)]
        if not curves:
            raise UserError(f"no tag holds {' or '.join(tag)}; there are {_few(there)}.", "tag")
    elif not value:
        curves, left = _judgeable(curves)
        if left:
            notes.append(f"Not judged, no losses or scores by their names: {_few(left)} (--tag).")
    if higher is None:
        guessed = sorted({c.tag for _, c in curves if logs.higher_is_better(c.tag)})
        if guessed:
            notes.append(f"Taken as better when higher, by name: {_few(guessed)}.")
    named = [(name, *_of_kind(curve, higher, held_out)) for name, curve in curves]
    return Found(tuple(_judged(named, seed, alone)), tuple(notes))


def _judgeable(curves: list[tuple[str, Curve]]) -> tuple[list[tuple[str, Curve]], list[str]]:
    """Curves that sound like losses or scores, if any do, and the tags of the others."""
    chosen = [pair for pair in curves if logs.sounds_judgeable(pair[1].tag)]
    if not chosen:
        return curves, []
    tags = {curve.tag for _, curve in chosen}
    return chosen, sorted({curve.tag for _, curve in curves} - tags)


def _of_kind(
    curve: Curve, higher: Sequence[str] | None, held_out: Sequence[str]
) -> tuple[Curve, Kind]:
    up = logs.higher_is_better(curve.tag) if higher is None else curve.tag in higher
    if curve.tag in held_out:
        curve = dataclasses.replace(curve, held_out=True)
    return curve, logs.kind_of(curve, up)


def _judged(named: Sequence[tuple[str, Curve, Kind]], seed: int, alone: bool) -> Iterator[Judged]:
    """Each curve, alone or in the light of the others of its tag."""
    groups: dict[tuple[str, Kind], list[int]] = {}
    for k, (_, curve, kind) in enumerate(named):
        groups.setdefault((curve.tag, kind), []).append(k)
    said: dict[int, Judgement] = {}
    for (_, kind), mine in groups.items():
        curves = [(named[k][1].steps, named[k][1].values) for k in mine]
        if alone:
            each = [judge(*one, kind=kind, rng=np.random.default_rng(seed)) for one in curves]
        else:
            each = judge_together(curves, kind=kind, seed=seed)
        said |= dict(zip(mine, each))
    for k, (name, curve, kind) in enumerate(named):
        warnings = (*curve.warnings, *said[k].warnings)
        yield Judged(name, curve, kind, dataclasses.replace(said[k], warnings=warnings))


def _few(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(tables.clean(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def table(found: Found) -> str:
    """One line a curve, at most 80 columns wide, then what is odd about some."""
    told = [
        (one.judgement.verdict, sure(one.judgement), tables.number(one.judgement.last))
        for one in found.curves
    ]
    ends = [_short(detail(one.judgement)) for one in found.curves]
    heads = ("verdict", "sure", "last")
    fixed = 4 * len(_GAP) + max(map(len, ends), default=0)
    fixed += sum(max(map(len, column)) for column in zip(heads, *told))
    room = max(tables.WIDTH - fixed, SHORTEST)
    rows = [
        (shortened(one.name, room), *pair, end) for one, pair, end in zip(found.curves, told, ends)
    ]
    text = tables.text(rows, ["curve", *heads, "limit, gain or step"])
    odd = [
        textwrap.fill(
            f"{tables.clean(one.name)}: {'; '.join(one.judgement.warnings)}.",
            tables.WIDTH,
            subsequent_indent="  ",
        )
        for one in found.curves
        if one.judgement.warnings
    ]
    return "\n".join([text, *([""] if odd else []), *odd])


def sure(said: Judgement) -> str:
    """The chance of a verdict, in per cent; a dash where it cannot be told."""
    if math.isnan(said.chance):
        return "–"
    return f"{min(100 * said.chance, 99):.0f} %" if said.chances else "100 %"


def shortened(name: str, room: int) -> str:
    """A name that fits: of a run and of a tag the middle is left out, for both differ at the ends.

    >>> shortened("sweep/width_64/seed_3 · train/loss", 24)
    'swee…seed_3 · train/loss'
    """
    name = tables.clean(name)
    if tables.columns(name) <= room:
        return name
    run, dot, tag = name.rpartition(" · ")
    tag_room = min(len(tag), room - len(dot) - min(len(run), RUN))
    if not dot or tag_room < TAG:
        return _cut(name, room)
    tag = _cut(tag, tag_room)
    return _cut(run, room - len(dot) - len(tag)) + dot + tag


def _cut(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    tail = room * 3 // 5
    return f"{name[: room - tail - 1]}…{name[len(name) - tail :]}"


def detail(said: Judgement) -> str:
    """What matters most of a verdict, in a few characters."""
    if said.verdict == says.DIVERGED and said.diverged_at is not None:
        return f"from step {tables.number(said.diverged_at, 6)}"
    if said.verdict == says.OVERTRAINED and said.best_step is not None:
        return f"best at step {tables.number(said.best_step, 6)}"
    if said.verdict == says.IMPROVING:
        return f"gain {_range(said.gain)}"
    if said.verdict == says.OSCILLATING:
        every = f" every {tables.number(said.period)}" if math.isfinite(said.period) else ""
        return f"±{tables.number(said.amplitude)}{every}"
    if said.limit:
        return f"limit {_range(said.limit)}"
    return f"{said.points} point{'' if said.points == 1 else 's'}"


def _short(told: str) -> str:
    return told if len(told) <= DETAIL else f"{told.partition(' [')[0]} […]"


def _range(value: Range) -> str:
    n = tables.number
    return f"{n(value.estimate)} [{n(value.low)}, {n(value.high)}]"


def to_json(found: Found) -> dict[str, Any]:
    """For machines."""
    return {
        "curves": [
            {"name": one.name, "run": one.curve.run, "tag": one.curve.tag, "kind": one.kind}
            | one.judgement.to_json()
            for one in found.curves
        ],
        "notes": list(found.notes),
    }
