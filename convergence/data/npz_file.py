"""A dataset from the user's NPZ file: ``x`` and ``y``, perhaps ``x_test`` and ``y_test``."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from convergence.data import target
from convergence.data.columns import precise
from convergence.data.dataset import Dataset, array_encoding
from convergence.data.npz import read_arrays
from convergence.data.table import MAX_CELLS
from convergence.errors import UserError
from convergence.spec import DataSpec

Part = tuple[np.ndarray, np.ndarray]


def _shape(x: np.ndarray, where: str, field: str) -> tuple[int, ...]:
    """The shape of one example: (features,), or (height, width, channels) of images."""
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise UserError(
            f"{where} has the shape {x.shape}; give [rows, features], or images as [rows, height, "
            "width] or [rows, height, width, channels].",
            field,
        )
    return (*x.shape[1:], 1) if x.ndim == 3 else x.shape[1:]


def _check_x(x: np.ndarray, where: str, field: str) -> np.ndarray:
    """x as [rows, features] float32; NaN stays, as missing."""
    if x.dtype.kind not in "biuf":
        raise UserError(f"{where} holds values of type {x.dtype}; give numbers.", field)
    flat = x.reshape(len(x), -1)
    if flat.size > MAX_CELLS:
        raise UserError(f"{where} holds {flat.size} values, too many to load.", field)
    if flat.dtype.kind == "f":
        infinite = np.isinf(flat)
        if infinite.any():
            row, column = np.argwhere(infinite)[0]
            raise UserError(f"{where} is infinite in row {row + 1}, column {column + 1}.", field)
    for column in range(flat.shape[1]):
        values = flat[:, column].astype(np.float64)
        told = "is NaN in every row; leave it out." if np.isnan(values).all() else precise(values)
        if told:
            raise UserError(f"{where}, column {column + 1} {told}", field)
    return np.ascontiguousarray(flat, dtype=np.float32)


def _check_y(y: np.ndarray, rows: int, where: str, field: str) -> np.ndarray:
    """y as [rows] float64 or text."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise UserError(
            f"{where} has the shape {y.shape}; give one target a row (class indices, not one-hot).",
            field,
        )
    if len(y) != rows:
        raise UserError(f"{where} has {len(y)} rows where x has {rows}.", field)
    if y.dtype.kind in "biuf":
        return y.astype(np.float64)
    return np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y


def _pair(arrays: dict[str, np.ndarray], suffix: str, file: str, field: str) -> Part:
    for name in ("x", "y"):
        if name + suffix not in arrays:
            have = ", ".join(sorted(arrays)) or "neither"
            raise UserError(
                f"{file} has no array '{name}{suffix}' (it has {have} of those looked for); save "
                f"it with numpy.savez(path, x{suffix}=…, y{suffix}=…).",
                field,
            )
    x, y = arrays["x" + suffix], arrays["y" + suffix]
    _shape(x, f"{file}, x{suffix}", field)
    return x, _check_y(y, len(x), f"{file}, y{suffix}", field)


def _parts(spec: DataSpec) -> tuple[Part, Part | None, str, str]:
    """(data, test rows if given, the test rows' file, the flag that named it)."""
    file = Path(spec.data_path).name
    arrays = read_arrays(spec.data_path, ("x", "y", "x_test", "y_test"), "data_path")
    data = _pair(arrays, "", file, "data_path")
    own = "x_test" in arrays or "y_test" in arrays
    if not spec.test_path:
        test = _pair(arrays, "_test", file, "data_path") if own else None
        return data, test, f"{file}, x_test", "data_path"
    if own:
        raise UserError(f"{file} brings test rows of its own; leave this out.", "test_path")
    if Path(spec.test_path).suffix.lower() != ".npz":
        raise UserError(f"{spec.test_path} must be an NPZ file, as the data.", "test_path")
    other = Path(spec.test_path).name
    arrays = read_arrays(spec.test_path, ("x", "y"), "test_path")
    return data, _pair(arrays, "", other, "test_path"), f"{other}, x", "test_path"


def load_npz(spec: DataSpec) -> Dataset:
    """The dataset in an NPZ file; x [rows, features] is a table, with more axes images.

    Raises:
        UserError: an array is missing, of a wrong shape or type, infinite, or a pickle.
    """
    if spec.target not in ("", "y"):
        raise UserError(f"of an NPZ file is always its y, not {spec.target!r}.", "target")
    (x, y), test, test_where, test_field = _parts(spec)
    file = Path(spec.data_path).name
    shape = _shape(x, file, "data_path")
    features, values, count = [_check_x(x, f"{file}, x", "data_path")], [y], len(x)
    if test is not None:
        if test[0].shape[1:] != x.shape[1:]:
            raise UserError(
                f"{test_where} has examples of shape {test[0].shape[1:]}, the data of "
                f"{x.shape[1:]}.",
                test_field,
            )
        if (test[1].dtype.kind == "f") != (y.dtype.kind == "f"):
            raise UserError(f"{test_where}: targets are text in one part only.", test_field)
        features.append(_check_x(test[0], test_where, test_field))
        values.append(test[1])

    def complain(message: str, row: int | None) -> UserError:
        if row is None:
            return UserError(f"{file}, y: {message}", "data_path")
        if row < count:
            return UserError(f"{file}, y, row {row + 1}: {message}", "data_path")
        return UserError(f"{test_where}, row {row - count + 1}: {message}", test_field)

    goal = target.encode(np.concatenate(values), "y", count, spec.task, complain)
    return Dataset(
        name=Path(file).stem,
        x=np.concatenate(features),
        y=goal.y,
        shape=shape,
        task=goal.task,
        num_classes=len(goal.class_names),
        class_names=goal.class_names,
        feature_names=tuple(f"x{i}" for i in range(math.prod(shape))),
        target_name="y",
        test_rows=None if test is None else np.arange(count, len(goal.y), dtype=np.int32),
        origin=f"{count} rows of the file {file}"
        + ("." if test is None else f", {len(goal.y) - count} test rows of {test_where}."),
        encoding=array_encoding(shape, goal.encoding),
    )
