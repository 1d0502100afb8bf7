"""A raw column becomes features: numbers stay one column, text becomes one column per category."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.data.table import MAX_CELLS, Table
from convergence.errors import UserError

if TYPE_CHECKING:
    import polars as pl

MAX_CATEGORIES = 100
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")


def numbers(table: Table, name: str) -> np.ndarray | None:
    """A column as [rows] float64 with NaN where missing, or None if it is text.

    A column counts as numbers when at least half of its cells are; then each must be.

    Raises:
        UserError: a cell that is no number among numbers, or one that is infinite.
    """
    import polars as pl

    column = table.frame[name]
    parsed = column.cast(pl.Float64, strict=False)
    wrong = column.is_not_null() & parsed.is_null()
    total, bad = column.len() - column.null_count(), int(wrong.sum())
    if total == 0 or 2 * bad > total:
        return None
    if bad:
        row = int(wrong.arg_max() or 0)
        raise table.error(
            f'"{column[row]}" is not a number, as most of this column are; write missing values '
            "as empty cells.",
            row,
            name,
        )
    values = parsed.fill_null(np.nan).to_numpy().astype(np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise table.error("is infinite; give a number or leave it empty.", int(infinite[0]), name)
    return values


def precise(values: np.ndarray) -> str:
    """What float32 would lose of a column of float64 values: "" or a sentence."""
    known = values[~np.isnan(values)]
    largest = float(np.abs(known).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        return f"holds {largest:g}, too large for float32; use a larger unit."
    spread = float(known.std()) if len(known) else 0.0
    if known.min(initial=np.inf) < known.max(initial=-np.inf) and largest * 6e-8 > 0.01 * spread:
        return (
            f"varies by {spread:.3g} around {known.mean():.6g}, too finely for float32; subtract "
            "a constant from it first."
        )
    return ""


def _check_text(table: Table, name: str, column: pl.Series) -> None:
    """Raises UserError for text that cannot sensibly be categories."""
    known = column.drop_nulls()
    first = known[0]
    if sum(bool(_DATE.fullmatch(cell)) for cell in known) * 2 >= known.len():
        raise table.error(
            f'holds dates or times ("{first}"), which are not read; replace it by numbers (days '
            "since a date, the hour, the weekday) or leave it out.",
            column=name,
        )
    distinct = known.n_unique()
    if distinct == known.len() and distinct > 1:
        raise table.error(
            f'holds a different text in every row ("{first}", …), so nothing can be learned from '
            "it; leave it out.",
            column=name,
        )
    if distinct > MAX_CATEGORIES:
        raise table.error(
            f'holds {distinct} different texts ("{first}", …); at most {MAX_CATEGORIES} can be '
            "categories: leave it out or group it.",
            column=name,
        )


def describe(table: Table, name: str, development: np.ndarray) -> dict[str, Any]:
    """The encoding of one column: its kind and, for text, the categories in order.

    Args:
        table: all rows whose split is drawn (a given test file is not among them).
        development: the rows outside the test split; categories are fitted on them alone.

    Raises:
        UserError: the column is empty, holds dates, or is text that cannot be categories.
    """
    column = table.frame[name]
    if column.null_count() == column.len():
        raise table.error("is empty in every row; leave it out.", column=name)
    values = numbers(table, name)
    if values is not None:
        if np.isnan(values).all():
            raise table.error("is not a number in any row; leave it out.", column=name)
        trouble = precise(values)
        if trouble:
            raise table.error(trouble, column=name)
        return {"name": name, "kind": "number"}
    _check_text(table, name, column)
    seen = column.gather(development.astype(np.int64)).drop_nulls().unique().to_list()
    return {"name": name, "kind": "category", "categories": sorted(seen)}


def feature_names(encoding: list[dict[str, Any]]) -> tuple[str, ...]:
    """A name for each feature: the column's, or column=category."""
    names: list[str] = []
    for column in encoding:
        if column["kind"] == "number":
            names.append(column["name"])
        else:
            names += [f"{column['name']}={category}" for category in column["categories"]]
    return tuple(names)


def features(table: Table, encoding: list[dict[str, Any]]) -> np.ndarray:
    """[rows, features] float32 of a table under a given encoding, fitted on this or other rows.

    A missing number is NaN. A missing category, and one the encoding does not know, is all zeros.

    Raises:
        UserError: a column is lacking, or holds text where the encoding has numbers.
    """
    width = len(feature_names(encoding))
    if table.frame.height * width > MAX_CELLS:
        raise UserError(
            f"{table.file} would become {table.frame.height} rows of {width} features, too many to "
            "load; leave out text columns with many categories.",
            table.field,
        )
    x = np.zeros((table.frame.height, width), np.float32)
    start = 0
    for column in encoding:
        name = column["name"]
        if name not in table.frame.columns:
            raise table.error("the column is missing.", column=name)
        if column["kind"] == "number":
            x[:, start] = _as_numbers(table, name)
            start += 1
            continue
        known = {category: index for index, category in enumerate(column["categories"])}
        cells = _as_text(table, name)
        for row, cell in enumerate(cells):
            if cell in known:
                x[row, start + known[cell]] = 1.0
        start += len(known)
    return x


def _as_numbers(table: Table, name: str) -> np.ndarray:
    import polars as pl

    if table.frame[name].null_count() == table.frame.height:
        return np.full(table.frame.height, np.nan)
    values = numbers(table, name)
    if values is None:
        column = table.frame[name]
        wrong = column.is_not_null() & column.cast(pl.Float64, strict=False).is_null()
        row = int(wrong.arg_max() or 0)
        raise table.error(f'"{column[row]}" is not a number.', row, name)
    if np.abs(values[~np.isnan(values)]).max(initial=0.0) > float(np.finfo(np.float32).max):
        raise table.error(precise(values), column=name)
    return values


def _as_text(table: Table, name: str) -> list[str | None]:
    column = table.frame[name]
    if column.dtype.is_numeric() and column.null_count() < column.len():
        raise table.error("holds numbers where the data have text.", column=name)
    return column.to_list()
