"""What was found, in words for the terminal and as plain values for machines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from convergence.difference.arrays import ArrayDifference
from convergence.difference.finding import Finding
from convergence.difference.search import Found
from convergence.reporting import files

WIDTH = 80
MOST = 8  # arrays and fields that are listed
Changes = Sequence[tuple[str, Any, Any]]


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph broken at spaces; further lines are indented."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _array(one: ArrayDifference) -> str:
    many = f" ({one.count} of {one.size} values differ)" if one.size > 1 else ""
    return wrapped(f"  {one.path}: {one.a} / {one.b}{many}", "    ")


def _kind(found: Found) -> str:
    if found.kind == "state" and found.step == 0:
        return "The runs begin from other states."
    return {
        "inputs": "Other inputs enter it.",
        "state": "The state before it differs, although all steps before it were the same.",
        "outcome": "Its inputs and the state before it are the same; it has another outcome.",
        "length": "One of the runs ends before it.",
        None: "",
    }[found.kind]


def _where(finding: Finding) -> list[str]:
    found, interval = finding.found, finding.interval
    if found is not None and found.step is not None:
        start = "" if found.step else " (the first of the run)"
        lines = [f"First differing step: {found.step}{start}, counted from 0.", _kind(found)]
        lines += [_array(one) for one in found.arrays[:MOST]]
        if len(found.arrays) > MOST:
            lines.append(f"  and {len(found.arrays) - MOST} arrays more")
        if found.kind == "inputs" and (found.effect is None or found.effect.step > found.step):
            until = "" if found.effect is None else f" before step {found.effect.step}"
            lines.append(wrapped(f"It makes no difference to any state{until}."))
        return lines
    if found is not None:
        return ["No difference: replayed here, every step of both is the same."]
    if interval is None or interval.differs is None:
        return ["No difference: every digest that both left is the same."]
    lines = [
        wrapped(
            f"Narrowest interval: the first differing step is one of {interval.first} to "
            f"{interval.last}, counted from 0 (known equal after {interval.equal} steps, known to "
            f"differ after {interval.differs}, by {' and '.join(interval.by)})."
        )
    ]
    if interval.healed:
        lines.append("The difference had healed by then; only the chain tells of it.")
    if finding.misses:
        who = " and ".join(finding.misses)
        lines.append(
            wrapped(
                f"No replay shows it: what {who} left is not what {who}'s manifest gives here, so "
                "this interval is all that its records allow."
            )
        )
    elif finding.replayed:
        lines.append("No replay shows it: replayed here, the two runs do not part there.")
    return lines


def _replay(finding: Finding) -> list[str]:
    if not finding.replayed:
        return []
    if finding.alone:
        return [f"Trained again: all {finding.replayed} steps."]
    began = "from the start"
    if finding.from_checkpoint:
        began = f"from the checkpoint after {finding.start} steps"
    elif finding.unkept:
        began += " (no checkpoint was kept that they could go on from)"
    steps = f"{finding.replayed} step{'s' * (finding.replayed != 1)}"
    return [wrapped(f"Replayed: {steps} of each run, {began}.")]


def _why(finding: Finding, apart: Changes, conditions: Changes) -> list[str]:
    cause = finding.cause
    if cause is not None and cause.shown:
        names = " and ".join(cause.names)
        lines = [f"Cause: {names}.", f"Shown by a swap: given A's {names}, step {cause.step} of B "]
        lines = [lines[0], wrapped(lines[1] + "gives A's bits.")]
        if cause.further:
            lines.append(wrapped(f"So does, alone: {', '.join(cause.further)}."))
    elif finding.found is not None and finding.found.kind == "length":
        lines = ["Cause: they are of different lengths."]
    else:
        lines = ["Cause: not shown by a swap."]
        if cause is not None and cause.tried:
            lines.append(wrapped(f"What differs there: {', '.join(cause.tried)}."))
    for title, changes in (("Specs", apart), ("Conditions", conditions)):
        if changes:
            lines.append(f"{title} of A and B differ in:")
            lines += [
                wrapped(f"  {field}: {_short(was)} / {_short(now)}", "    ")
                for field, was, now in changes[:MOST]
            ]
            if len(changes) > MOST:
                lines.append(f"  and {len(changes) - MOST} more")
    if not apart and not conditions and lines == ["Cause: not shown by a swap."]:
        lines.append(
            wrapped(
                "Spec and conditions are the same: an edit that no manifest tells of, or the "
                "machine itself."
            )
        )
    return lines


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:57]}…"


def text(finding: Finding, a: str, b: str, apart: Changes = (), conditions: Changes = ()) -> str:
    """What was found, at most 80 columns wide but for names of folders.

    Args:
        a, b: the two runs, as a reader knows them.
        apart: in what their specs differ.
        conditions: in what versions, device, threads and other conditions differ.
    """
    lines = [f"A: {a}", f"B: {b}", *_where(finding), *_replay(finding)]
    if not finding.same:
        lines += _why(finding, apart, conditions)
    return "\n".join([*lines, *(wrapped(f"note: {note}", "  ") for note in finding.notes)])


def to_json(
    finding: Finding, a: str, b: str, apart: Changes = (), conditions: Changes = ()
) -> dict[str, Any]:
    """The same as plain values."""
    found, interval, cause = finding.found, finding.interval, finding.cause
    told: dict[str, Any] = {
        "a": a,
        "b": b,
        "same": finding.same,
        "step": found.step if found else None,
        "kind": found.kind if found else None,
        "arrays": list(found.arrays) if found else [],
        "effect_step": found.effect.step if found and found.effect else None,
        "interval": None
        if interval is None or interval.differs is None
        else {
            "first": interval.first,
            "last": interval.last,
            "equal_after": interval.equal,
            "differs_after": interval.differs,
            "by": interval.by,
            "healed": interval.healed,
        },
        "replayed_steps": finding.replayed,
        "replayed_from": finding.start,
        "from_checkpoint": finding.from_checkpoint,
        "not_repeated": finding.misses,
        "cause": cause,
        "shown_by_swap": bool(cause and cause.shown),
        "spec": [{"field": f, "a": was, "b": now} for f, was, now in apart],
        "conditions": [{"field": f, "a": was, "b": now} for f, was, now in conditions],
        "notes": finding.notes,
    }
    plain: dict[str, Any] = files.plain(told)
    return plain
