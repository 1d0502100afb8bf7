"""How what was measured of a curve speaks for each verdict: trees, boosted one upon the other.

Friedman (2001), "Greedy function approximation: a gradient boosting machine", with softmax loss.
Those in ``alone.npz`` weigh what is measured of a curve alone, those in ``beside.npz`` also how it
stands beside others. Both were grown on the setting cases (by tests/helpers/curve_weights.py).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convergence.analysis.curves.company import NAMES

UNSURE = 0.4  # the best chance below which it cannot be told
ALONE, BESIDE = (Path(__file__).with_name(name) for name in ("alone.npz", "beside.npz"))


@dataclasses.dataclass(frozen=True, eq=False)
class Trees:
    """Trees whose leaves add up to a score of each verdict.

    Attributes:
        measures: names, in the order that `feature` counts by.
        verdicts: names.
        base: [verdicts] scores before any tree.
        roots: int [rounds, verdicts] the first node of each tree.
        feature, threshold: [nodes] a node goes left where the measure is at most the threshold.
        left, right: int [nodes] how many nodes further the next one is; 0 of a leaf.
        value: [nodes] what a leaf adds.
        depth: of the deepest tree.
        recipe: a digest of what they were grown from.
    """

    measures: tuple[str, ...]
    verdicts: tuple[str, ...]
    base: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    depth: int
    recipe: str

    def chances(self, measures: Mapping[str, float]) -> dict[str, float]:
        """The chances of the verdicts, where all are as likely beforehand; KeyError without one."""
        x = np.array([measures[name] for name in self.measures], np.float32)
        node = self.roots
        for _ in range(self.depth):
            left = x[self.feature[node]] <= self.threshold[node]
            node = node + np.where(left, self.left[node], self.right[node])
        scores = self.base + self.value[node].sum(axis=0, dtype=np.float64)
        shares = np.exp(scores - scores.max())
        return dict(zip(self.verdicts, (shares / shares.sum()).tolist()))


@functools.cache
def trees(path: Path) -> Trees:
    """The trees in a file."""
    with np.load(path, allow_pickle=False) as held:
        arrays: dict[str, Any] = {name: held[name] for name in held.files}
    for name in ("measures", "verdicts"):
        arrays[name] = tuple(arrays[name].tolist())
    return Trees(**arrays | {"depth": int(arrays["depth"]), "recipe": str(arrays["recipe"])})


def weigh(measures: Mapping[str, float]) -> dict[str, float]:
    """The chances of the verdicts from what was measured of a curve.

    Args:
        measures: of `measuring.measures`, and of `company.measures` where it has company.
    """
    beside = NAMES[0] in measures
    return trees(BESIDE if beside else ALONE).chances(measures)


def scaled(chances: Mapping[str, float], factors: Mapping[str, float]) -> dict[str, float]:
    """Chances times factors (1 where none is given), adding up to 1 again.

    >>> scaled({"a": 0.5, "b": 0.5}, {"b": 0.0})
    {'a': 1.0, 'b': 0.0}
    """
    weighed = {name: chance * factors.get(name, 1.0) for name, chance in chances.items()}
    total = math.fsum(weighed.values())
    return {name: chance / total for name, chance in weighed.items()}
