"""What is said of a curve."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["loss", "held-out", "score"]
Regime = Literal["plunge", "slow", ""]

CONVERGED = "converged"
IMPROVING = "still improving"
STUCK = "stuck early"
OSCILLATING = "oscillating"
DIVERGED = "diverged"
OVERTRAINED = "over-trained"
NOT_LEARNING = "not learning"
UNKNOWN = "cannot tell"
VERDICTS = (
    CONVERGED,
    IMPROVING,
    STUCK,
    OSCILLATING,
    DIVERGED,
    OVERTRAINED,
    NOT_LEARNING,
    UNKNOWN,
)


@dataclasses.dataclass(frozen=True)
class Range:
    """An estimate with its 95 % interval; NaN where it cannot be told."""

    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan

    def __bool__(self) -> bool:
        return math.isfinite(self.estimate)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict on one curve; values in the curve's own unit and direction.

    Attributes:
        verdict: one of `VERDICTS`.
        sentence: why, in one or two sentences.
        points: finite points that were judged.
        last_step: the last of them.
        start: the level at which it begins.
        last: the level at which the curve ends.
        error: standard error of that level, from the noise along the curve.
        noise: standard deviation of a point.
        descent: how much better the best level is than the start (never negative).
        limit: where the curve is heading.
        law: power, exponential or constant; '' where none was fitted.
        halving: steps in which the distance to the limit halves from the end on (the rate).
        gain: how much ten times the length would still gain.
        half_gain_at: the step by which half of that is gained; NaN without.
        regime: whether the curve ends in its plunge or in its slow part; '' if it does not fall.
        slow_from: the step where the slow part begins.
        best_step: of the best level; of noise the best is sought in smoothed values.
        diverged_at: the first step of divergence; None without.
        amplitude: of its swings, where it oscillates.
        period: steps of a swing; NaN where it has no fixed one.
        chances: of each verdict, where all are as likely beforehand; empty where it is certain.
        warnings: what is odd about the curve.
    """

    verdict: str
    sentence: str
    points: int = 0
    last_step: float = math.nan
    start: float = math.nan
    last: float = math.nan
    error: float = math.nan
    noise: float = math.nan
    descent: float = math.nan
    limit: Range = Range()
    law: str = ""
    halving: Range = Range()
    gain: Range = Range()
    half_gain_at: float = math.nan
    regime: Regime = ""
    slow_from: Range = Range()
    best_step: float | None = None
    diverged_at: float | None = None
    amplitude: float = math.nan
    period: float = math.nan
    chances: Mapping[str, float] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def chance(self) -> float:
        """The verdict's, as weighed; 1 where it is certain, NaN where it cannot be told."""
        if self.verdict == UNKNOWN:
            return math.nan
        return self.chances.get(self.verdict, 1.0)

    def to_json(self) -> dict[str, Any]:
        """For machines: NaN and infinities are None."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
