"""Data spoiled on purpose: keyed, pure, and nested, so that doses can be compared pair by pair.

Each function draws one uniform number a row and spoils the rows with the lowest, so the rows
spoiled at one share are among those spoiled at a larger share under the same key, and a row that
is spoiled at both is spoiled in the same way. Noise on the inputs is not here: it is added when a
batch is gathered (`training.trial.prepared_inputs`), from the row's own key, so that a row is off
in the same way each time.
"""

from __future__ import annotations

import numpy as np

from convergence import randomness
from convergence.data.splits import priorities
from convergence.errors import UserError
from convergence.spec import DataSpec


def check_fits(spec: DataSpec, task: str, name: str) -> None:
    """Raises UserError for a kind of corruption that does not fit the task."""
    if task == "regression" and spec.label_noise:
        raise UserError(
            f"{name} is a regression dataset and has no labels to redraw; use outliers.",
            "label_noise",
        )
    if task == "classification" and spec.outliers:
        raise UserError(
            f"{name} is a classification dataset and has no targets to shift; use label_noise.",
            "outliers",
        )
    if task == "regression" and spec.imbalance:
        raise UserError(
            f"{name} is a regression dataset and has no classes; use outliers or duplicates.",
            "imbalance",
        )


def chosen(key: randomness.HostKey, count: int, share: float) -> np.ndarray:
    """[round(share·count)] positions of 0 … count-1, by ascending priority; nested in share."""
    order = np.argsort(priorities(key, count), kind="stable")
    return order[: round(share * count)]


def _pick(uniform: np.ndarray, count: int) -> np.ndarray:
    """Integers 0 … count-1 from uniforms in [0, 1); the product may round up to count."""
    return np.minimum(np.floor(uniform * count), count - 1).astype(np.int64)


def label_noise(
    y: np.ndarray, key: randomness.HostKey, share: float, num_classes: int
) -> np.ndarray:
    """Labels of which exactly round(share·n) are redrawn uniformly over all classes.

    A redrawn label may be the old one, so a share of 1 leaves 1/num_classes of them right.

    Args:
        y: [n] class indices.
    """
    rows = chosen(key, len(y), share)
    drawn = priorities(randomness.fold_name(key, "label"), len(y))
    noisy = y.copy()
    noisy[rows] = _pick(drawn[rows], num_classes).astype(y.dtype)
    return noisy


def outliers(y: np.ndarray, key: randomness.HostKey, share: float, scale: float) -> np.ndarray:
    """Targets of which exactly round(share·n) are thrown off, up or down with equal odds.

    The shift is scale · SD(y) · (1 + e) / 2 with e from the standard exponential distribution:
    scale SDs of the clean targets on average, at least half of that, now and then far more.

    Args:
        y: [n] clean targets, in their own unit.
    """
    rows = chosen(key, len(y), share)
    up = priorities(randomness.fold_name(key, "sign"), len(y)) < 0.5
    size = -np.log1p(-priorities(randomness.fold_name(key, "size"), len(y)))
    shift = np.where(up, 1.0, -1.0) * scale * y.std(dtype=np.float64) * (1.0 + size) / 2.0
    spoiled = y.astype(np.float64)
    spoiled[rows] += shift[rows]
    return spoiled.astype(y.dtype)


def imbalance(
    rows: np.ndarray, classes: np.ndarray, key: randomness.HostKey, share: float
) -> np.ndarray:
    """The rows left when a share of every second class (1, 3, 5, …) is removed.

    Of a class of n rows round(share·n) go; one always stays.

    Args:
        rows: [n] row indices.
        classes: [n] their classes.
    """
    priority = priorities(key, len(rows))
    keep = np.ones(len(rows), bool)
    for value in np.unique(classes[classes % 2 == 1]):
        members = np.flatnonzero(classes == value)
        count = min(round(share * len(members)), len(members) - 1)
        keep[members[np.argsort(priority[members], kind="stable")[:count]]] = False
    return rows[keep]


def duplicates(
    rows: np.ndarray, classes: np.ndarray, key: randomness.HostKey, share: float
) -> np.ndarray:
    """The rows with round(share·n) of them replaced by copies of others of the same class.

    Copies stay within a class, so that duplication is not imbalance too; one row of each class
    always survives (so at most n - classes rows are replaced). Which rows are replaced is nested
    in the share; what replaces them is a uniform choice among the surviving rows.

    Args:
        rows: [n] row indices.
        classes: [n] their classes (regression: all equal).
    """
    order = np.argsort(priorities(key, len(rows)), kind="stable")
    _, safest = np.unique(classes[order][::-1], return_index=True)
    candidates = np.delete(order, len(order) - 1 - safest)
    replaced = candidates[: round(share * len(rows))]
    draw = priorities(randomness.fold_name(key, "donor"), len(rows))
    survives = np.ones(len(rows), bool)
    survives[replaced] = False
    result = rows.copy()
    for value in np.unique(classes[replaced]):
        donors = np.flatnonzero(survives & (classes == value))
        own = replaced[classes[replaced] == value]
        result[own] = rows[donors[_pick(draw[own], len(donors))]]
    return result
