"""What a running study tells whoever watches it, between segments; nothing flows back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from convergence.plan import Trial


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """How far a study is, at a return to the host.

    Attributes:
        done, total: trial-steps done, and of all trials.
        finished: trials that took their last step.
        diverged: trials that diverged so far.
        scores: where trials were just evaluated, ``SPLIT/METRIC`` → [trials of the block] values;
            empty elsewhere.
    """

    done: int
    total: int
    finished: int
    diverged: int
    scores: Mapping[str, np.ndarray]


class Watcher(Protocol):
    """Told of a study while it runs, by the thread that runs it."""

    def looked(self, look: Look) -> None:
        """Told at every return to the host."""

    def ended(self, trials: Sequence[Trial], arrays: Mapping[str, np.ndarray]) -> None:
        """Told of a block's records, trained or read back: by name, leading axis trials."""
