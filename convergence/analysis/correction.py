"""Holm's step-down, told in levels: each hypothesis gets the level its bound must be shown at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Holm:
    """The fate of one hypothesis: rejected or not, and the one-sided level it was tested at."""

    rejected: bool
    alpha: float


def holm(p_values: Sequence[float], alpha: float) -> list[Holm]:
    """Step-down test of a family with family-wise error at most alpha (Holm 1979).

    The k-th smallest p is compared with alpha / (m - k + 1); the first that is not below it stops
    the procedure. A rejected hypothesis keeps the level it was rejected at, and all those from the
    stop on share the level of the stop, so that p < level holds exactly for the rejected ones, and
    a bound shown at that level excludes the hypothesis exactly when it is rejected. Equal p-values
    share the smallest of their levels: the order of the family makes no difference.

    The comparison is strict, so a bound that just touches the hypothesis does not exclude it. The
    bounds are read one by one; they are not simultaneous confidence bounds.

    Args:
        p_values: [m], each between 0 and 1, valid whatever their dependence.
        alpha: family-wise error, one-sided.

    Returns:
        [m] in the order given.

    Raises:
        ValueError: a p-value or alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, got {alpha}")
    if any(math.isnan(p) or not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, got {list(p_values)}")
    m = len(p_values)
    fates = [Holm(False, alpha)] * m
    level, previous, stopped = alpha, -1.0, False
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        p = p_values[index]
        if not stopped and p != previous:
            level = alpha / (m - rank)
        stopped = stopped or p >= level
        fates[index] = Holm(not stopped, level)
        previous = p
    return fates
