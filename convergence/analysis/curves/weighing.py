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
    "": (-0.782, 1.253, -0.471),
    "gains": (-1.352, 2.397, -1.045),
    "gains twice": (-0.877, 0.121, 0.756),
    "gain": (-0.223, 0.796, -0.574),
    "left high": (-3.664, -0.538, 4.203),
    "floor unknown": (3.097, 0.663, -3.760),
    "rest": (-1.667, 2.255, -0.588),
    "slope": (-0.096, 0.878, -0.782),
    "slope sure": (-0.037, 0.103, -0.066),
    "late slope": (1.465, -0.779, -0.686),
    "slope fades": (1.647, -2.205, 0.559),
    "noise": (-0.948, 0.035, 0.913),
    "quiet": (-0.353, -0.983, 1.336),
    "quiet, slope fades": (0.866, -0.083, -0.784),
    "calmer": (-1.398, 0.285, 1.113),
    "ends abruptly": (-0.423, 0.015, 0.409),
    "begins slowly": (0.377, -0.685, 0.308),
    "held out": (0.858, -0.207, -0.651),
    "held out, late slope": (-1.593, -0.003, 1.596),
    "held out, noise": (0.759, -0.192, -0.567),
    "held out, quiet": (-2.109, -1.201, 3.310),
    "held out, slope fades": (-0.950, 0.151, 0.799),
    "held out, calmer": (1.562, 0.650, -2.212),
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
