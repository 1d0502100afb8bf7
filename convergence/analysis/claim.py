"""A claim, fixed before training: what is compared, in which direction, by how much."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

Kind = Literal["superiority", "non-inferiority", "equivalence"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """One contrast between two arms with everything its decision depends on.

    Attributes:
        id: the claim's name in the list of claims, for example '3b'.
        statement: the claim in one sentence.
        treatment, control: the arms; the effect is treatment minus control.
        kind: 'superiority' (better at all, and not by less than the margin), 'non-inferiority'
            (not worse by the margin) or 'equivalence' (neither better nor worse by the margin).
        direction: +1 if a larger effect supports the claim, -1 if a smaller one does. It plays no
            part in equivalence.
        metric: what is compared.
        margin: the smallest difference worth acting on, above 0, in the metric's units.
        family: the claims that share the correction for multiple comparisons.
        challenge: the challenge (1 to 5) that the claim belongs to, if any.

    Raises:
        ValueError: a field outside what is said above.
    """

    id: str
    statement: str
    treatment: str
    control: str
    kind: Kind
    direction: int
    metric: str
    margin: float
    family: str
    challenge: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"a claim's kind is one of {get_args(Kind)}, got {self.kind!r}")
        if self.direction not in (1, -1):
            raise ValueError(f"a claim's direction is 1 or -1, got {self.direction!r}")
        if not (math.isfinite(self.margin) and self.margin > 0):
            raise ValueError(f"a claim's margin is a finite number above 0, got {self.margin!r}")

    def to_json(self) -> dict[str, Any]:
        """A dict for the manifest; ``from_json`` gives the claim back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Claim:
        """The claim that ``to_json`` wrote.

        Raises:
            TypeError: a field is missing or unknown.
            ValueError: a field has a value no claim can have.
        """
        return cls(**data)
