"""Which rows are set aside: the outer test split, and the order that stratifies every split."""

from __future__ import annotations

import math

import numpy as np

from convergence import randomness
from convergence.data.dataset import Dataset
from convergence.errors import UserError
from convergence.spec import DataSpec


def priorities(key: randomness.HostKey, count: int) -> np.ndarray:
    """[count] float64 uniform draws, one a row; whatever is chosen by the lowest is nested."""
    return randomness.host_generator(key).random(count)


def stratified_order(classes: np.ndarray, priority: np.ndarray, last: int = 0) -> np.ndarray:
    """An order of the rows of which every prefix holds the classes in proportion.

    The j-th row of a class of n stands at (j + .5) / n, so prefixes are nested: a smaller choice
    is part of a larger one. Within a class the order is by priority.

    Args:
        classes: [rows] integers (all equal: the order is by priority alone).
        priority: [rows] uniform draws.
        last: so many rows of each class come after all others, whatever the proportion.

    Returns:
        [rows] int64 positions.
    """
    position = np.empty(len(classes), np.float64)
    for value in np.unique(classes):
        rows = np.flatnonzero(classes == value)
        ranked = rows[np.argsort(priority[rows], kind="stable")]
        place = (np.arange(len(rows)) + 0.5) / len(rows)
        position[ranked] = place + (np.arange(len(rows)) >= len(rows) - last)
    return np.lexsort((priority, position))


def share_of(fraction: float, count: int) -> int:
    """Rows a split takes: the fraction rounded up, as scikit-learn does; at least 1."""
    return max(1, math.ceil(fraction * count - 1e-9))


def strata(y: np.ndarray, task: str) -> np.ndarray:
    """What a split is stratified by: the classes; nothing for regression."""
    return y if task == "classification" else np.zeros(len(y), np.int32)


def check_classes(y: np.ndarray, rows: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raises UserError for a class with fewer than two of the rows to be split."""
    counts = np.bincount(y[rows], minlength=len(class_names))
    for index in np.flatnonzero(counts < 2):
        found = rows[y[rows] == index]
        where = f"a single row (row {found[0] + 1})" if len(found) else "no row"
        raise UserError(
            f"class {class_names[index]!r} has {where} outside the test split; training and "
            "validation need at least 2 of each class: add rows or remove the class."
        )


def draw_test_rows(y: np.ndarray, task: str, spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """(development, test): sorted int32 rows of a drawn outer split.

    Keyed by ``spec.outer_split`` alone, never by the study's seed, and stratified by class; each
    class keeps two rows for development. Raises UserError where no row would be left.
    """
    count = share_of(spec.test_fraction, len(y))
    if len(y) - count < 2:
        raise UserError(
            f"{len(y)} rows are too few to set a share of {spec.test_fraction:g} aside as test "
            "split.",
            "test_fraction",
        )
    key = randomness.host_key(spec.outer_split, "outer_split", None)
    order = stratified_order(strata(y, task), priorities(key, len(y)), last=2)
    return np.sort(order[count:]).astype(np.int32), np.sort(order[:count]).astype(np.int32)


def given_test_rows(test_rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(development, test): sorted int32 rows of a split that the source itself brings."""
    test = np.unique(test_rows).astype(np.int32)
    return np.setdiff1d(np.arange(count, dtype=np.int32), test), test


def outer_split(dataset: Dataset, spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """The rows to develop with, and the test rows that are read once, at confirmation.

    A dataset's own test rows are used by ``outer_split=0``; other indices draw a split over all
    rows (for mnist1d and NPZ files with ``x_test``; with ``test_path`` that is refused).

    Returns:
        development, test: int32, sorted, disjoint, together all rows.

    Raises:
        UserError: too few rows, or a class with fewer than two development rows.
    """
    if spec.test_path and spec.outer_split:
        raise UserError("only 0 can be used where test_path gives the test split.", "outer_split")
    if dataset.test_rows is not None and spec.outer_split == 0:
        development, test = given_test_rows(dataset.test_rows, len(dataset.y))
    else:
        development, test = draw_test_rows(dataset.y, dataset.task, spec)
    if dataset.task == "classification":
        check_classes(dataset.y, development, dataset.class_names)
    return development, test
