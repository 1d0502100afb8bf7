"""Rows to predict, prepared for a trained model exactly as the rows it was trained on were read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence.data import columns
from convergence.data.encoding import Encoding
from convergence.data.npz import read_arrays
from convergence.data.table import MAX_CELLS, Table, read
from convergence.errors import UserError

SHOWN = 3  # names told of columns or categories; the rest are counted


@dataclasses.dataclass(frozen=True, eq=False)
class NewRows:
    """Rows to predict.

    Attributes:
        x: [rows, features] float32 in raw units; NaN = missing.
        y: [rows] float64 targets or class indices, NaN where unknown; None if the file has none.
        notes: sentences on what was missing or unknown.
    """

    x: np.ndarray
    y: np.ndarray | None
    notes: tuple[str, ...]


def load_rows(path: str, encoding: Encoding, *, ignore_extra: bool = False) -> NewRows:
    """The rows of a CSV, Parquet or NPZ file, by the encoding that a study was trained with.

    A table needs the study's columns, in any order. An NPZ needs ``x``, [rows, *shape] or
    [rows, features]. The target may be there: it is never an input, but can be scored against.
    A missing number is NaN; a missing category, or one that was not trained on, is all zeros.

    Args:
        path: as the user gave it.
        encoding: the study's.
        ignore_extra: leave out columns that the study does not know, instead of refusing them.

    Raises:
        UserError: naming file, row and column: see `table.read` and `columns.features`; a column
            is lacking or unknown; an array of another shape.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz" and encoding.columns is None:
        return _from_npz(path, encoding)
    if suffix == ".npz":
        raise UserError(
            f"{Path(path).name} holds arrays, but the model was trained on a table; give CSV or "
            f"Parquet with the columns {_some([c['name'] for c in encoding.columns or ()])}.",
            "data_path",
        )
    return _from_table(read(path, "data_path", columns=1), encoding, ignore_extra)


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    shown = ", ".join(f'"{name}"' for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _check_columns(table: Table, wanted: list[str], target: str, ignore_extra: bool) -> list[str]:
    """The columns to leave out; raises UserError where some lack, or are too many."""
    have = table.frame.columns
    lacking = [name for name in wanted if name not in have]
    if lacking:
        many = "s" if len(lacking) > 1 else ""
        raise table.error(f"lacks the column{many} {_some(lacking)} that the model was trained on.")
    extra = [name for name in have if name not in wanted and name != target]
    if extra and not ignore_extra:
        many = "s" if len(extra) > 1 else ""
        raise table.error(
            f"has the column{many} {_some(extra)} that the model was not trained on; leave "
            f"{'them' if many else 'it'} out, or give --ignore_extra."
        )
    return extra


def _from_table(table: Table, encoding: Encoding, ignore_extra: bool) -> NewRows:
    described: list[dict[str, Any]] = list(encoding.columns or ())
    if encoding.columns is None:
        described = [{"name": name, "kind": "number"} for name in encoding.features]
    wanted = [column["name"] for column in described]
    extra = _check_columns(table, wanted, encoding.target, ignore_extra)
    x = columns.features(table, described)
    notes = [f"left out: the column{'s' * (len(extra) > 1)} {_some(extra)}"] if extra else []
    notes += _missing(x)
    for column in described:
        notes += _unknown(table, column) if column["kind"] == "category" else []
    y = None
    if encoding.target in table.frame.columns:
        y = _targets(table.frame[encoding.target].to_list(), encoding)
    return NewRows(x, y, tuple(notes))


def _missing(x: np.ndarray) -> list[str]:
    count, rows = int(np.isnan(x).sum()), int(np.isnan(x).any(axis=1).sum())
    if not count:
        return []
    return [f"filled in as in training: {_rows(count, 'missing number')} in {_rows(rows)}"]


def _rows(count: int, what: str = "row") -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _unknown(table: Table, column: dict[str, Any]) -> list[str]:
    """A note on cells whose category is missing or was not trained on."""
    cells, known = table.frame[column["name"]].to_list(), set(column["categories"])
    notes = []
    new = [cell for cell in cells if cell is not None and cell not in known]
    if new:
        named = _some(sorted(set(new)))
        notes.append(
            f'"{column["name"]}" was not trained on {named}: none of the known categories is '
            f"taken in {_rows(len(new))}"
        )
    if missing := sum(cell is None for cell in cells):
        notes.append(f'"{column["name"]}" is missing in {_rows(missing)}: taken as no category')
    return notes


def _targets(cells: Sequence[Any], encoding: Encoding) -> np.ndarray:
    """[rows] float64: class indices or numbers, NaN where a cell is neither."""
    index = {name: float(place) for place, name in enumerate(encoding.classes)}

    def number(cell: Any) -> float:
        try:
            value = float(cell)
        except (TypeError, ValueError):
            return math.nan
        return value if math.isfinite(value) else math.nan

    def one(cell: Any) -> float:
        if not encoding.classes:
            return number(cell)
        if str(cell) in index:
            return index[str(cell)]
        return index.get(f"{number(cell):.12g}", math.nan)

    return np.array([one(cell) for cell in cells], np.float64)


def _from_npz(path: str, encoding: Encoding) -> NewRows:
    arrays = read_arrays(path, ("x", "y"), "data_path")
    file = Path(path).name
    if "x" not in arrays:
        raise UserError(
            f"{file} has no array 'x'; save it with numpy.savez(path, x=…).", "data_path"
        )
    x = _flat(arrays["x"], encoding, file)
    y = None
    if "y" in arrays:
        told = arrays["y"].reshape(-1)
        if len(told) != len(x):
            raise UserError(
                f"{file}, y has {len(told)} values where x has {len(x)} rows.", "data_path"
            )
        if told.dtype.kind == "S":
            told = np.char.decode(told, "utf-8", "replace")
        y = _targets(told.tolist(), encoding)
    return NewRows(x, y, tuple(_missing(x)))


def _flat(x: np.ndarray, encoding: Encoding, file: str) -> np.ndarray:
    """x as [rows, features] float32, checked."""
    shape = encoding.shape
    fitting = {shape, (math.prod(shape),)} | ({shape[:-1]} if shape[-1] == 1 else set())
    if x.ndim < 2 or x.shape[1:] not in fitting:
        asked = " or ".join(
            f"[rows, {', '.join(map(str, one))}]" for one in sorted(fitting, key=len)
        )
        raise UserError(
            f"{file}, x has the shape {x.shape}; the model was trained on {asked}.", "data_path"
        )
    if len(x) == 0:
        raise UserError(f"{file}, x has no rows.", "data_path")
    if x.dtype.kind not in "biuf":
        raise UserError(f"{file}, x holds values of type {x.dtype}; give numbers.", "data_path")
    if x.size > MAX_CELLS:
        raise UserError(f"{file}, x holds {x.size} values, too many to load.", "data_path")
    flat = x.reshape(len(x), -1)
    if flat.dtype.kind == "f":
        with np.errstate(over="ignore"):
            wrong = np.isinf(flat.astype(np.float32))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise UserError(
                f"{file}, x, row {row + 1}, column {column + 1}: {flat[row, column]} is infinite "
                "or too large for float32.",
                "data_path",
            )
    return np.ascontiguousarray(flat, dtype=np.float32)
