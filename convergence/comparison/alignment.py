"""What two studies have in common, in what they differ, and which comparison makes sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from convergence import losses, spec
from convergence.analysis.telling import counted
from convergence.comparison.side import SPLITS, Side
from convergence.errors import UserError, unknown_name
from convergence.reporting import provenance

# Of a study, but not of what a trial does.
_IDLE = ("data_path", "test_path")
_RUN = ("seed", "vary")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which the studies differ.

    Attributes:
        kind: ``setting`` (what was asked for) or ``conditions`` (under which it ran).
        field: its dotted name.
        was, now: its value on either side.
    """

    kind: str
    field: str
    was: Any
    now: Any

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Aligned:
    """Two studies laid side by side.

    Attributes:
        arms: pairs of names, the first study's and the second's.
        replicas: int[seeds] of each side; the same ones where seeds are paired.
        paired: whether trials of the same replica share their keys.
        metric: what is compared.
        split: on which rows.
        differences: in what the studies differ.
        told: sentences on what was left out, and why.
    """

    arms: tuple[tuple[str, str], ...]
    replicas: tuple[np.ndarray, np.ndarray]
    paired: bool
    metric: str
    split: str
    differences: tuple[Difference, ...]
    told: tuple[str, ...]

    def trials(self, a: Side, b: Side, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Indices of a pair of arms' trials on either side."""
        return tuple(  # type: ignore[return-value]
            side.saved.trials(arm)[replicas - side.study.run.first_replica]
            for side, arm, replicas in zip((a, b), pair, self.replicas)
        )


def align(a: Side, b: Side, metric: str = "", arm: str = "", other: str = "") -> Aligned:
    """Lays two studies side by side.

    Args:
        metric: what to compare (default: the studies' own).
        arm: the one arm of the first study to compare (default: all that both have).
        other: its counterpart in the second (default: the same name).

    Raises:
        UserError: they answer different questions; says what could be compared instead.
    """
    if a.saved.workdir.root == b.saved.workdir.root:
        raise UserError(
            f"both are {a.saved.workdir.root}; to compare a study with itself trained again, give "
            "its folder alone.",
            "workdir",
        )
    _same_question(a, b)
    told: list[str] = []
    split = _split(a, b)
    chosen = _metric(a, b, split, metric)
    pairs = _arms(a, b, arm, other, told)
    replicas, paired = _replicas(a, b, pairs, told)
    differences = tuple(_differences(a, b, pairs))
    return Aligned(pairs, replicas, paired, chosen, split, differences, tuple(told))


def _same_question(a: Side, b: Side) -> None:
    """Raises UserError where the two do not predict the same thing."""
    if a.task != b.task:
        raise UserError(
            f"the first study is a {a.task}, the second a {b.task}: no number of theirs can be "
            "compared; give two studies of one task."
        )
    first, second = a.saved.encoding, b.saved.encoding
    if first.target != second.target:
        raise UserError(
            f"the first study predicts {first.target!r}, the second {second.target!r}: scores on "
            "different targets cannot be compared; give two studies of one target."
        )
    if first.classes != second.classes:
        apart = set(map(str, first.classes)) ^ set(map(str, second.classes))
        raise UserError(
            f"the studies tell other classes apart ({', '.join(sorted(apart)[:5]) or 'reordered'} "
            "only in one of them): their scores are of different tasks."
        )
    if a.provenance.get("data_digest") == b.provenance.get("data_digest"):
        return
    shared = _shared_rows(a, b)
    if not shared:
        names = [side.study.setting.data for side in (a, b)]
        where = [data.data_path or data.dataset for data in names]
        digests = [str(side.provenance.get("data_digest"))[:12] for side in (a, b)]
        raise UserError(
            f"the studies have other data ({where[0]}, digest {digests[0]}…; {where[1]}, "
            f"{digests[1]}…) and no held-out row in common: nothing of theirs can be compared; "
            "give two studies of one dataset, or of two revisions of it."
        )


def _shared_rows(a: Side, b: Side) -> int:
    first, second = a.predictions, b.predictions
    if first is None or second is None:
        return 0
    return len(np.intersect1d(first.digests[first.scored], second.digests[second.scored]))


def _split(a: Side, b: Side) -> str:
    """The rows whose scores are compared: those that both predicted, if both did the same."""
    tested = [side.predictions is not None and side.predictions.split == "test" for side in (a, b)]
    offered = SPLITS if all(tested) else SPLITS[1:]
    for split in offered:
        if a.metrics(split) and b.metrics(split):
            return split
    raise UserError("the studies were scored on no common split.", "workdir")


def _metric(a: Side, b: Side, split: str, asked: str) -> str:
    both = [name for name in a.metrics(split) if name in b.metrics(split)]
    if asked and asked not in both:
        raise unknown_name(asked, both, "metric", "metric of both studies")
    own = a.study.run.metric, b.study.run.metric
    if not asked and own[0] != own[1]:
        raise UserError(
            f"the first study compares {own[0]}, the second {own[1]}; both know "
            f"{', '.join(both)}: say which with --metric={both[0] if both else own[0]}."
        )
    return asked or own[0]


def _arms(a: Side, b: Side, arm: str, other: str, told: list[str]) -> tuple[tuple[str, str], ...]:
    first, second = a.saved.arms, b.saved.arms
    if other and not arm:
        raise UserError("needs --arm, the first study's arm that it is compared with.", "other_arm")
    if arm:
        if arm not in first:
            raise unknown_name(arm, first, "arm", "arm of the first study")
        if (other or arm) not in second:
            field = "other_arm" if other else "arm"
            raise unknown_name(other or arm, second, field, "arm of the second study")
        return ((arm, other or arm),)
    common = tuple((name, name) for name in first if name in second)
    left = [name for name in (*first, *second) if (name, name) not in common]
    if common:
        if left:
            told.append(f"arms that only one study has are left out: {', '.join(left)}")
        return common
    if len(first) == len(second) == 1:
        told.append(f"the arm {first[0]!r} is compared with {second[0]!r}")
        return ((first[0], second[0]),)
    raise UserError(
        f"the studies have no arm in common ({', '.join(first[:4])}; {', '.join(second[:4])}); say "
        f"which to compare: --arm={first[0]!r} --other_arm={second[0]!r}.",
        "arm",
    )


def _replicas(
    a: Side, b: Side, pairs: tuple[tuple[str, str], ...], told: list[str]
) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """The seeds of each side, and whether they are paired."""
    reasons = []
    if a.study.run.seed != b.study.run.seed:
        reasons.append(f"their roots differ ({a.study.run.seed}, {b.study.run.seed})")
    for pair in pairs:
        kinds = [_varied(side, arm) for side, arm in zip((a, b), pair)]
        if kinds[0] != kinds[1]:
            reasons.append("other sources vary")
            break
    own = a.replicas(), b.replicas()
    common = np.intersect1d(*own)
    if not reasons and not len(common):
        reasons.append("they have no seed in common")
    if reasons:
        told.append(f"seeds are not paired: {'; '.join(reasons)}")
        return own, False
    left = [len(one) - len(common) for one in own]
    if any(left):
        told.append(
            f"{counted(len(common), 'seed')} in both; left out: {left[0]} of the first and "
            f"{left[1]} of the second study"
        )
    return (common, common), True


def _varied(side: Side, name: str) -> tuple[Any, ...]:
    arm = next(one for one in side.study.arms if one.name == name)
    return (
        frozenset(side.study.run.vary if arm.vary is None else arm.vary),
        arm.draws,
        arm.order_epochs,
    )


def _told(side: Side, arm: str) -> dict[str, Any]:
    """An arm's setting as plain values, the loss by its own name."""
    found = spec.to_json(side.setting(arm))
    if found["train"]["loss"] == "auto":
        found["train"]["loss"] = losses.DEFAULTS[side.task]
    return found


def _differences(a: Side, b: Side, pairs: tuple[tuple[str, str], ...]) -> Iterator[Difference]:
    seen: dict[str, tuple[Any, Any]] = {}
    for pair in pairs:
        first, second = (_told(side, arm) for side, arm in zip((a, b), pair))
        for field, was, now in spec.differences(first, second):
            if field.rpartition(".")[2] in _IDLE or seen.get(field) == (was, now):
                continue
            name = field if field not in seen else f"{field} ({pair[0]})"
            seen[name] = (was, now)
            yield Difference("setting", name, was, now)
    for field in _RUN:
        was, now = (getattr(side.study.run, field) for side in (a, b))
        if was != now:
            yield Difference("setting", f"run.{field}", was, now)
    for field, was, now in provenance.drift(a.provenance, b.provenance):
        yield Difference("conditions", field, was, now)
