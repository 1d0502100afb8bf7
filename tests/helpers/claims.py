"""A claim to decide, and differences of known mean and spread to decide it by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convergence.analysis.claim import Claim, Kind
from convergence.analysis.verdict import Verdict, decide_family

# Differences with mean 0 and standard error 1 / 3.
SPREAD = np.array([-1.0, 1, -1, 1, -1, 1, -1, 1, 0, 0]) * math.sqrt(1.25)
SPREAD = SPREAD / SPREAD.std(ddof=1) * math.sqrt(10) / 3


def claim(kind: Kind = "superiority", direction: int = 1, margin: float = 1.0) -> Claim:
    return Claim("3b", "It helps.", "new", "old", kind, direction, "accuracy", margin, "primary", 3)


def decide(
    differences: Sequence[float] | np.ndarray,
    kind: Kind = "superiority",
    direction: int = 1,
    margin: float = 1.0,
) -> Verdict:
    """One claim alone, with differences that are NaN where the treatment diverged."""
    values = np.asarray(differences, dtype=float)
    (verdict,) = decide_family([claim(kind, direction, margin)], [values], [np.zeros_like(values)])
    return verdict
