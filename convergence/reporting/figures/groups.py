"""Which arms share a panel: those that change the same thing, few enough to be told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable

from convergence import names
from convergence.reporting.figures.palette import MOST_SERIES
from convergence.reporting.records import Records

# What a loss's values are measured in: losses that differ in these cannot share an axis.
_LOSS_FIELDS = ("huber_delta", "label_smoothing", "focal_gamma", "gce_q", "quantile")
_USUAL = {"classification": "cross_entropy", "regression": "mse"}


@dataclasses.dataclass(frozen=True)
class Group:
    """Arms of one panel, with the arm that they are held against; None where it does not fit.

    Attributes:
        title: what they change.
        arms: at most `MOST_SERIES`, without the reference.
    """

    title: str
    arms: tuple[str, ...]
    reference: str | None


def loss_name(records: Records, arm: str) -> str:
    """The loss by which an arm is trained."""
    setting = records.settings.get(arm)
    told = setting.train.loss if setting else "auto"
    task = "regression" if records.metric in names.REGRESSION_METRICS else "classification"
    return _USUAL[task] if told == "auto" else told


def validation_words(records: Records) -> str:
    """The rows that held-out scores are of."""
    return "validation rows" + (", clean targets" if records.split == "clean" else "")


def loss_scale(records: Records, arm: str) -> Hashable:
    """What the arm's training loss is measured in: equal where losses can be compared."""
    setting = records.settings.get(arm)
    return loss_name(records, arm), *(setting.get(f) for f in _LOSS_FIELDS if setting)


def groups(
    records: Records,
    scale: Callable[[Records, str], Hashable] = lambda records, arm: None,
    arms: tuple[str, ...] | None = None,
) -> list[Group]:
    """All arms in panels: by their scale, then by the fields that they change.

    Neighbouring small groups share a panel; large ones are cut. The study's first arm is the
    reference, and stands in every panel whose scale is its own.

    Args:
        arms: only these (default: all).
    """
    if not records.arms:
        return []
    reference = records.arms[0]
    rest = [arm for arm in records.arms[1:] if arms is None or arm in arms]
    if not rest:
        return [Group("", (), reference)]
    scales = dict.fromkeys(scale(records, arm) for arm in rest)
    found = []
    for one in scales:
        members = [arm for arm in rest if scale(records, arm) == one]
        own = reference if scale(records, reference) == one else None
        found += [Group(title, tuple(told), own) for title, told in _panels(records, members)]
    return found


def _panels(records: Records, arms: list[str]) -> list[tuple[str, list[str]]]:
    by_fields: dict[str, list[str]] = {}
    for arm in arms:
        title = ", ".join(records.changes.get(arm, {})) or "arms"
        by_fields.setdefault(title, []).append(arm)
    panels: list[tuple[str, list[str]]] = []
    for title, members in by_fields.items():
        if panels and len(panels[-1][1]) + len(members) <= MOST_SERIES:
            names_there = list(dict.fromkeys((*panels[-1][0].split(", "), *title.split(", "))))
            panels[-1] = (", ".join(names_there), panels[-1][1] + members)
            continue
        count = -(-len(members) // MOST_SERIES)  # parts of nearly equal size
        size = -(-len(members) // count)
        for k in range(0, len(members), size):
            panels.append((title, members[k : k + size]))
    return panels
