"""A dataset: rows in raw units, the targets, and how they came to be."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """All rows of a dataset, test rows included; its arrays are read-only.

    Attributes:
        name: short name, for reports.
        x: [rows, features] float32 in raw units; NaN = missing.
        y: [rows] int32 class indices, or float32 targets in their own unit.
        shape: of one example as the model sees it: (8, 8, 1) for digits, (40, 1) for mnist1d,
            (features,) for tables; its product is the number of features.
        task: 'classification' or 'regression'.
        num_classes: number of classes; 0 for regression.
        class_names: a name for each class index; empty for regression.
        feature_names: a name for each feature.
        target_name: what is predicted.
        test_rows: int32 rows that the source itself sets aside as test split, or None.
        origin: one sentence on where the rows come from.
        encoding: JSON-able; how each raw column became features (`data.columns.features` applies
            a table's, `array_encoding` is an array's), so that new rows can be prepared in the same
            way.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    shape: tuple[int, ...]
    task: str
    num_classes: int
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    target_name: str
    test_rows: np.ndarray | None
    origin: str
    encoding: dict[str, Any]

    def __post_init__(self) -> None:
        for array in (self.x, self.y, self.test_rows):
            if array is not None:
                array.setflags(write=False)  # the digest is computed once

    @property
    def outputs(self) -> int:
        """Number of the model's outputs: one per class, or 1 for regression."""
        return self.num_classes or 1

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the shapes, dtypes and bytes of x, y and test_rows."""
        content = hashlib.sha256()
        for array in (self.x, self.y, self.test_rows):
            if array is None:
                content.update(b"none;")
                continue
            if array.dtype.kind == "f":  # a NaN has many bit patterns; all mean missing
                array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            content.update(f"{little.dtype.str}{little.shape};".encode())
            content.update(little.tobytes())
        return content.hexdigest()


def array_encoding(shape: tuple[int, ...], target: dict[str, Any]) -> dict[str, Any]:
    """The encoding of rows that come as an array: they are flattened, in C order."""
    return {"form": "array", "shape": list(shape), "target": target}
