"""The target: is it a class or a number, and which class is which."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from convergence.data.columns import precise
from convergence.errors import UserError

AUTO_CLASSES = 20
AUTO_ROWS_PER_CLASS = 10
MAX_CLASSES = 1000

# Says where something is: (message, 0-based row or None) -> UserError.
Complain = Callable[[str, int | None], UserError]


@dataclasses.dataclass(frozen=True)
class Target:
    """An encoded target.

    Attributes:
        y: [rows] int32 class indices or float32 values.
        task: 'classification' or 'regression'.
        class_names: in the order of their index; numbers ascend, text is sorted.
        encoding: JSON-able, for the dataset's encoding.
    """

    y: np.ndarray
    task: str
    class_names: tuple[str, ...]
    encoding: dict[str, Any]


def _known(values: np.ndarray, complain: Complain) -> None:
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        told = "is missing or not finite"
    else:
        bad = np.array([value is None or value == "" for value in values])
        told = "is missing"
    if bad.any():
        more = f" (and in {bad.sum() - 1} more)" if bad.sum() > 1 else ""
        raise complain(f"the target {told}{more}; leave such rows out.", int(np.argmax(bad)))


def decide_task(values: np.ndarray, asked: str, complain: Complain) -> str:
    """'classification' or 'regression', from what was asked for and what the values are.

    Under 'auto', text is classes; whole numbers are classes if there are two of them, or at most
    20 with at least 10 rows each on average; all else is regression.

    Args:
        values: [rows] float64, or text.
        asked: 'auto', 'classification' or 'regression'.

    Raises:
        UserError: text asked to be regression; fractions asked to be classes; classes that are
            more than 1,000, or more than 20 and more than half as many as the rows.
    """
    text = values.dtype.kind != "f"
    if asked == "regression" and text:
        told = complain(f'the target is text ("{values[0]}"); regression needs numbers.', 0)
        raise UserError(told.args[0], "task")
    distinct = len(set(values.tolist()))
    whole = text or bool((values == np.round(values)).all())
    if asked == "classification" and not whole:
        row = int(np.argmax(values != np.round(values)))
        told = complain(
            f"the target is {values[row]:g}; classes are whole numbers or text, so this is "
            "regression.",
            row,
        )
        raise UserError(told.args[0], "task")
    if asked == "classification" or text:
        if distinct > MAX_CLASSES or (distinct > AUTO_CLASSES and 2 * distinct > len(values)):
            raise complain(
                f"the target has {distinct} different values in {len(values)} rows, too many for "
                "classes.",
                None,
            )
        return "classification"
    if asked == "regression" or not whole:
        return "regression"
    few = distinct <= AUTO_CLASSES and distinct * AUTO_ROWS_PER_CLASS <= len(values)
    return "classification" if distinct == 2 or few else "regression"


def _name(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def _classes(values: np.ndarray, fitted: int, complain: Complain) -> tuple[np.ndarray, list[Any]]:
    """Class indices of all values, and the sorted classes of the first ``fitted`` of them."""
    rows = values.tolist()
    classes = sorted(set(rows[:fitted]))
    index = {value: i for i, value in enumerate(classes)}
    for row in range(fitted, len(rows)):
        if rows[row] not in index:
            raise complain(
                f"the class {_name(rows[row])!r} is in no row that can be trained on.", row
            )
    return np.array([index[value] for value in rows], np.int32), classes


def encode(values: np.ndarray, name: str, fitted: int, asked: str, complain: Complain) -> Target:
    """The target of all rows; task and classes are decided by the first ``fitted`` of them.

    Args:
        values: [rows] float64 or text (object or str); missing is NaN, None or "".
        name: of the target, for the encoding.
        fitted: rows that are not of a given test split; the test rows follow them.
        asked: the spec's ``task``.
        complain: makes the error for a message and a row.

    Raises:
        UserError: a missing or infinite value; all values equal; a class with a single row; a test
            row of an unknown class; see also `decide_task`.
    """
    _known(values, complain)
    task = decide_task(values[:fitted], asked, complain)
    if len(set(values[:fitted].tolist())) == 1:
        raise complain(
            f"the target is {_name(values[0])!r} in every row; there is nothing to learn.", None
        )
    if task == "regression":
        trouble = precise(values)
        if trouble:
            raise complain(f"the target {trouble}", None)
        return Target(values.astype(np.float32), task, (), {"name": name, "kind": "number"})
    y, classes = _classes(values, fitted, complain)
    counts = np.bincount(y[:fitted], minlength=len(classes))
    if counts.min() < 2:
        lone = int(np.argmin(counts))
        row = int(np.flatnonzero(y[:fitted] == lone)[0])
        raise complain(
            f"the class {_name(classes[lone])!r} has this single row; training and validation need "
            "at least 2 of each: add rows or leave it out.",
            row,
        )
    names = tuple(_name(value) for value in classes)
    return Target(y, task, names, {"name": name, "kind": "category", "categories": list(names)})
