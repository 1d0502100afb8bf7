"""Measures without a unit, as plain finite numbers."""

from __future__ import annotations

import math

UNMEASURED = -10.0  # what a measure is where a curve does not have it


def log10(value: float, least: float = 1e-6, most: float = 1e6) -> float:
    """The logarithm of a value between two bounds; of NaN that of the least.

    >>> log10(100.0), log10(0.0, 1e-3), log10(float("nan"))
    (2.0, -3.0, -6.0)
    """
    return math.log10(min(max(value, least), most)) if not math.isnan(value) else math.log10(least)


def bounded(value: float, low: float, high: float) -> float:
    """A value between two bounds; `UNMEASURED` where it is NaN.

    >>> bounded(7.0, -1.0, 1.0), bounded(float("nan"), -1.0, 1.0)
    (1.0, -10.0)
    """
    return UNMEASURED if math.isnan(value) else min(max(value, low), high)
