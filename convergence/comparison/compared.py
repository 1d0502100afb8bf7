"""Two studies compared: every arm, what they differ in, and the same as text and plain values."""

from __future__ import annotations

import dataclasses
import math
import shlex
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from convergence.analysis.power import CAP
from convergence.analysis.shift import Word
from convergence.analysis.statistics import Interval
from convergence.analysis.telling import counted
from convergence.comparison.alignment import Aligned, Difference, align
from convergence.comparison.arms import ArmComparison, compare_arm
from convergence.comparison.side import Side
from convergence.reporting import tables

HEADERS = ("arm", "same bits", "shift in seed spreads", "churn / between seeds", "verdict")
_ORDER: tuple[Word, ...] = ("different", "undecided", "equivalent", "same bits")
_ROUNDING = 1e-3  # of an interval's width: an estimate below it is shown as 0
_DIGEST = 40  # hex digits from which on a value is a digest, shown short


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two studies compared.

    Attributes:
        folders: the two.
        task: ``classification`` or ``regression``.
        aligned: how they were laid side by side.
        arms: one entry a pair of arms.
        missing: sentences on records that could not be used.
    """

    folders: tuple[str, str]
    task: str
    aligned: Aligned
    arms: tuple[ArmComparison, ...]
    missing: tuple[str, ...]

    @property
    def verdict(self) -> Word:
        """What all arms together come to: the same only if each is."""
        return min((arm.verdict for arm in self.arms), key=_ORDER.index)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "studies": list(self.folders),
            "verdict": self.verdict,
            "metric": self.aligned.metric,
            "split": self.aligned.split,
            "paired": self.aligned.paired,
            "differences": [one.to_json() for one in self.aligned.differences],
            "arms": [arm.to_json() for arm in self.arms],
            "told": [*self.aligned.told, *self.missing],
        }


def compare(
    a: Side, b: Side, margin: float = 0.0, metric: str = "", arm: str = "", other: str = ""
) -> Compared:
    """Two finished studies held against each other.

    Args:
        margin: difference that does not matter, in the metric's unit; 0: one spread over the first
            study's seeds.
        metric, arm, other: see `alignment.align`.

    Raises:
        UserError: they answer different questions; says what could be compared instead.
    """
    aligned = align(a, b, metric, arm, other)
    arms = tuple(compare_arm(a, b, aligned, pair, margin) for pair in aligned.arms)
    missing = [f"{side.folder}: {why}" for side in (a, b) for why in dict.fromkeys(side.missing)]
    return Compared((str(a.folder), str(b.folder)), a.task, aligned, arms, tuple(missing))


def wrapped(text: str, indent: str = "") -> str:
    """A sentence in lines of a terminal's width, further ones indented by two more places."""
    return textwrap.fill(
        tables.clean(text),
        tables.WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=True,
        break_on_hyphens=False,
    )


def value(told: Any) -> str:
    """A setting's or condition's value, digests cut short."""
    if isinstance(told, dict):
        return "{" + ", ".join(f"{k}: {value(v)}" for k, v in told.items()) + "}"
    if isinstance(told, list | tuple):
        return ",".join(map(value, told)) or "none"
    text = "none" if told is None or told == "" else str(told)
    hexadecimal = len(text) >= _DIGEST and all(c in "0123456789abcdef" for c in text)
    return f"{text[:12]}…" if hexadecimal else text


def difference(one: Difference) -> str:
    """One difference: "train.loss: mse → mae"."""
    return f"{one.field}: {value(one.was)} → {value(one.now)}"


def interval(told: Interval, digits: int = 3) -> str:
    """An estimate with its interval."""
    if not math.isfinite(told.estimate):
        return "–"
    width = told.high - told.low
    if abs(told.estimate) < _ROUNDING * width < math.inf:
        told = dataclasses.replace(told, estimate=0.0)
    if not math.isfinite(width):
        return f"{tables.number(told.estimate, digits)} {tables.interval(told.low, told.high)}"
    if told.high == told.low:
        return f"{tables.number(told.estimate, digits)} [same]"
    return tables.estimate(told.estimate, told.low, told.high)


def shifted(told: Interval, arm: ArmComparison) -> str:
    """A shift with its interval; of trials that are the same it is 0, not estimated to be."""
    return "0" if arm.verdict == "same bits" else interval(told)


def bits(arm: ArmComparison) -> str:
    """How many trials are the same."""
    told = arm.bits
    return "–" if told.same is None else f"{told.same} of {told.of}"


def churn(arm: ArmComparison) -> str:
    """Churn between the studies over churn between seeds."""
    if arm.agreement is None:
        return "–"
    told = arm.agreement
    return f"{tables.number(told.between.estimate)} / {tables.number(told.within.estimate)}"


def row(arm: ArmComparison) -> tuple[str, ...]:
    """An arm's row of the table."""
    name = arm.arm if arm.arm == arm.other else f"{arm.arm} → {arm.other}"
    return (
        name,
        bits(arm),
        shifted(arm.shift.spreads, arm),
        churn(arm),
        arm.verdict,
    )


def lines(told: Compared) -> Iterable[str]:
    """What a comparison says, as lines of a terminal's width."""
    aligned = told.aligned
    settings = [one for one in aligned.differences if one.kind == "setting"]
    conditions = [one for one in aligned.differences if one.kind == "conditions"]
    for title, found in (("settings", settings), ("conditions", conditions)):
        said = "; ".join(map(difference, found)) or "none that is known"
        yield wrapped(f"Differing {title}: {said}.")
    pairing = "paired by seed" if aligned.paired else "not paired"
    yield wrapped(
        f"Compared: {aligned.metric} on {aligned.split} rows, {pairing}; shifts are second minus "
        "first, with 95 % intervals over seeds."
    )
    yield ""
    yield tables.text([row(arm) for arm in told.arms], HEADERS)
    yield ""
    for arm in told.arms:
        yield from _of_arm(arm, told)
    for one in (*aligned.told, *told.missing):
        yield wrapped(f"note: {one}.")
    if any("[same]" in text for arm in told.arms for text in row(arm)):
        yield "[same]: equal in every seed."


def further(told: Compared, own: Mapping[str, str]) -> str:
    """The command that finds where two studies part, and why; "" where no trial of theirs does.

    Args:
        own: where files of the user's are, by flag; "" for none.
    """
    parted = [a for a in told.arms if a.bits.same is not None and a.bits.same < a.bits.of]
    if not any(arm.arm == arm.other for arm in parted):
        return ""
    flags = [f"--{name}={path}" for name, path in own.items() if path]
    command = shlex.join(["python", "scripts/first_difference.py", *told.folders, *flags])
    return f"Where they part, and why: {command}"


def _of_arm(arm: ArmComparison, told: Compared) -> Iterable[str]:
    metric = told.aligned.metric
    reason = f" ({arm.reason})" if arm.reason else ""
    yield wrapped(f"{arm.arm}: {arm.verdict}{reason}.")
    yield wrapped(_bits_sentence(arm), "  ")
    if arm.verdict == "same bits":
        return
    means = [tables.number(mean, 4) for mean in arm.means]
    yield wrapped(
        f"{metric} {means[0]} → {means[1]}: shift {interval(arm.shift.difference)},"
        f" {interval(arm.shift.spreads)} seed spreads (one is {tables.number(arm.shift.spread)});"
        f" spread after / before {interval(arm.shift.ratio)}.",
        "  ",
    )
    if arm.agreement is not None:
        kind = "rows with another class" if told.task == "classification" else "rms difference"
        pair = "same seed" if arm.shift.paired else "any seeds"
        yield wrapped(
            f"predictions, {kind}: between the studies ({pair})"
            f" {interval(arm.agreement.between)}, between seeds {interval(arm.agreement.within)};"
            f" ratio {interval(arm.agreement.ratio)}.",
            "  ",
        )
    if arm.seeds:
        yield wrapped(_seeds_sentence(arm), "  ")
    for note in arm.notes:
        yield wrapped(f"note: {note}.", "  ")


def _bits_sentence(arm: ArmComparison) -> str:
    told, apart = arm.bits, arm.distance
    if not arm.shift.paired:
        parts = ["bits: not compared, as seeds are not paired"]
    elif told.same is None:
        parts = ["bits: unknown"]
    else:
        parts = [f"same bits in {told.same} of {counted(told.of, 'trial')}"]
    if told.step:
        parts.append(f"the first digest that differs is that of step {told.step}")
    if told.only_told:
        parts.append("all states do: only what was told of them (losses, norms, sketches) differs")
    elif told.same != told.of and apart.by == "params":
        parts.append(
            f"largest difference of a param {tables.number(apart.largest)}"
            f" (distance / norm {tables.number(apart.relative)})"
        )
    elif told.same != told.of and apart.by == "sketches":
        parts.append(f"distance / norm of params {tables.number(apart.relative)}, by sketches")
    return "; ".join(parts) + "."


def _seeds_sentence(arm: ArmComparison) -> str:
    said = [
        f"{tables.number(margin)} needs {count if count <= CAP else f'more than {CAP:,}'}"
        for margin, count in arm.seeds.items()
    ]
    return f"seeds to show equivalence, were there no shift, by margin: {', '.join(said)}."
