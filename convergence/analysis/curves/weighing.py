"""Whether a curve is at rest, stuck or falling on, from what was measured of it: a logistic model.

The weights come from the setting cases alone (tests/helpers/curve_weights.py prints them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from convergence.analysis.curves import judgement as says

UNSURE = 0.4  # the best chance below which it cannot be told
VERDICTS = (says.CONVERGED, says.IMPROVING, says.STUCK)
# Of each measure, for each verdict; '' is the bias.
WEIGHTS: dict[str, tuple[float, float, float]] = {
    "": (0.0, 0.0, 0.0),
}


def weigh(measures: Mapping[str, float]) -> dict[str, float]:
    """The chances of the verdicts, where all three are as likely beforehand.

    Args:
        measures: of `resting.measures`.
    """
    scores = [
        bias + sum(WEIGHTS[name][k] * value for name, value in measures.items())
        for k, bias in enumerate(WEIGHTS[""])
    ]
    top = max(scores)
    shares = [math.exp(score - top) for score in scores]
    return {verdict: share / sum(shares) for verdict, share in zip(VERDICTS, shares)}
