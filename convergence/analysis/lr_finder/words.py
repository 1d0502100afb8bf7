"""A search's finding in a sentence or two."""

from __future__ import annotations

import math
from typing import Protocol

from convergence.analysis.telling import counted


class Finding(Protocol):
    """What is told of: see `rule.Found`."""

    @property
    def verdict(self) -> str: ...
    @property
    def horizon(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def seeds(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def divergence(self) -> float: ...
    @property
    def divergence_low(self) -> float: ...
    @property
    def divergence_high(self) -> float: ...
    @property
    def growth(self) -> float: ...
    @property
    def searched(self) -> tuple[float, float]: ...
    @property
    def help(self) -> tuple[float, float] | None: ...


def number(value: float) -> str:
    """A rate, with three digits."""
    return f"{value:.3g}"


def sentence(told: Finding) -> str:
    """What was found, for people: a rate and what it is good for, or why there is none."""
    return _found(told) if told.verdict == "found" else _none(told)


def _found(told: Finding) -> str:
    where = f" [{number(told.low)}, {number(told.high)}]" if math.isfinite(told.low) else ""
    meant = f"for runs of {counted(told.horizon, 'step')}"
    parts = [f"Start from a learning rate of {number(told.rate)}{where}, {meant}."]
    if math.isfinite(told.divergence):
        parts.append(
            f"Runs diverge from about {number(told.divergence)}"
            f" [{number(told.divergence_low)}, {number(told.divergence_high)}] on,"
            f" {number(told.divergence / told.rate)} times that rate."
        )
    else:
        parts.append(f"No run diverged up to {number(told.searched[1])}.")
    if told.horizon > told.length:
        within = f"The search's runs took {counted(told.length, 'step')}; within them the best rate"
        parts.append(
            f"({within} falls with the length by the power {told.growth:.2f} of it, which the"
            " suggestion follows.)"
            if told.growth < 0
            else f"({within} does not fall with the length, so that it is kept.)"
        )
    return " ".join(parts)


def _none(told: Finding) -> str:
    low, high = map(number, told.searched)
    help = f" Search from {number(told.help[0])} to {number(told.help[1])}." if told.help else ""
    said = {
        "not finite from the start": "No rate can be suggested: the loss is not a finite number"
        " before anything is learned, at any rate. Look at the data, the model and the loss.",
        "flat": f"No rate can be suggested: none from {low} to {high} lowers the loss beyond noise."
        " Either all are too low, or nothing can be learned here (no gradient reaches the weights,"
        " or the targets have nothing to do with the inputs).",
        "falls at every rate": f"No rate can be suggested yet: the loss falls at every rate up to"
        f" {high}, the highest, and fastest there; none diverges.",
        "diverges at every rate": f"No rate can be suggested yet: runs diverge at every rate from"
        f" {low} on.",
        "best at the lowest rate": f"No rate can be suggested yet: the lowest, {low}, is the best.",
    }
    return said[told.verdict] + help
