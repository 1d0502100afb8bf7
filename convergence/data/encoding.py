"""How rows become features and outputs become predictions, kept so that new rows can be prepared.

Everything of a `Dataset` but its rows. What is read back is checked: it may come from anywhere.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from convergence import names
from convergence.data.columns import MAX_CATEGORIES, feature_names
from convergence.data.dataset import Dataset
from convergence.data.table import MAX_CELLS
from convergence.data.target import MAX_CLASSES


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What a model of a dataset takes and gives.

    Attributes:
        name: the dataset's.
        task: 'classification' or 'regression'.
        shape: of one example as the model sees it.
        features: a name for each feature, in C order of the shape.
        target: name of what is predicted.
        classes: a name for each class index; empty for regression.
        columns: of a table, its raw columns as `columns.describe` gives them; None for arrays.
    """

    name: str
    task: str
    shape: tuple[int, ...]
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    columns: tuple[dict[str, Any], ...] | None

    @property
    def outputs(self) -> int:
        """Number of the model's outputs: one per class, or 1 for regression."""
        return len(self.classes) or 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back."""
        return dataclasses.asdict(self)


def encoding_of(dataset: Dataset) -> Encoding:
    """The encoding of a loaded dataset."""
    columns = dataset.encoding.get("columns")
    return Encoding(
        name=dataset.name,
        task=dataset.task,
        shape=dataset.shape,
        features=dataset.feature_names,
        target=dataset.target_name,
        classes=dataset.class_names,
        columns=None if columns is None else tuple(columns),
    )


def _texts(value: Any, name: str, most: int) -> tuple[str, ...]:
    fits = isinstance(value, list) and len(value) <= most
    if not fits or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} is no list of at most {most} texts")
    return tuple(value)


def _shape(value: Any) -> tuple[int, ...]:
    fits = isinstance(value, list) and 1 <= len(value) <= 3
    if not fits or not all(type(item) is int and 0 < item <= MAX_CELLS for item in value):
        raise ValueError("shape is not one to three sizes")
    if math.prod(value) > MAX_CELLS:
        raise ValueError("shape is too large")
    return tuple(value)


def _column(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("a column has no name")
    if value.get("kind") == "number":
        return {"name": value["name"], "kind": "number"}
    if value.get("kind") != "category":
        raise ValueError(f"the column {value['name']!r} is neither number nor category")
    categories = list(_texts(value.get("categories"), "categories", MAX_CATEGORIES))
    if len(set(categories)) < len(categories):
        raise ValueError(f"the column {value['name']!r} holds a category twice")
    return {"name": value["name"], "kind": "category", "categories": categories}


def from_json(value: Any) -> Encoding:
    """The encoding of `Encoding.to_json`'s values.

    Raises:
        ValueError: they are not of this form, or contradict each other.
    """
    if not isinstance(value, Mapping):
        raise ValueError("not an encoding")
    for field in ("name", "task", "target"):
        if not isinstance(value.get(field), str):
            raise ValueError(f"{field} is missing")
    if value["task"] not in names.TASKS:
        raise ValueError(f"unknown task {value['task']!r}")
    shape = _shape(value.get("shape"))
    size = math.prod(shape)
    features = _texts(value.get("features"), "features", size)
    classes = _texts(value.get("classes"), "classes", MAX_CLASSES)
    if bool(classes) != (value["task"] == "classification"):
        raise ValueError("task and classes contradict each other")
    columns = value.get("columns")
    if columns is not None:
        if not isinstance(columns, list) or len(columns) > MAX_CELLS:
            raise ValueError("columns is no list")
        columns = tuple(_column(one) for one in columns)
        if feature_names(list(columns)) != features:
            raise ValueError("columns and features contradict each other")
    if len(features) != size:
        raise ValueError("shape and features contradict each other")
    return Encoding(
        value["name"], value["task"], shape, features, value["target"], classes, columns
    )
