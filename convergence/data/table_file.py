"""A dataset from the user's CSV or Parquet file, with or without a file of test rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.data import columns, splits, target
from convergence.data.dataset import Dataset
from convergence.data.table import Table, read
from convergence.errors import UserError, unknown_name
from convergence.spec import DataSpec

if TYPE_CHECKING:
    import polars as pl


def _target_column(table: Table, spec: DataSpec) -> str:
    names = table.frame.columns
    if not spec.target:
        raise UserError(
            f"name the column of {table.file} to predict; it has {', '.join(names)}.", "target"
        )
    if spec.target not in names:
        raise unknown_name(spec.target, names, "target", f"column of {table.file}:")
    return spec.target


def _test_table(spec: DataSpec, table: Table) -> Table:
    if Path(spec.test_path).suffix.lower() != Path(spec.data_path).suffix.lower():
        raise UserError(
            f"{spec.test_path} must be of the same kind as {spec.data_path}.", "test_path"
        )
    test = read(spec.test_path, "test_path")
    have, need = test.frame.columns, table.frame.columns
    missing = [name for name in need if name not in have]
    extra = [name for name in have if name not in need]
    if missing:
        raise test.error(f'lacks the column "{missing[0]}" that {table.file} has.')
    if extra:
        raise test.error(f'has the column "{extra[0]}" that {table.file} has not; leave it out.')
    return test


def _target_values(tables: list[Table], name: str) -> np.ndarray:
    """The targets of the data, then of the test rows: float64, or text as objects."""
    parsed = [columns.numbers(table, name) for table in tables]
    if all(values is not None for values in parsed):
        return np.concatenate([values for values in parsed if values is not None])
    text: list[str | None] = []
    for table in tables:
        column: pl.Series = table.frame[name]
        if column.dtype.is_numeric() and column.null_count() < column.len():
            raise table.error("holds numbers where the other file has text.", column=name)
        text += column.to_list()
    return np.array(text, object)


def _encode_target(tables: list[Table], name: str, asked: str) -> target.Target:
    first = tables[0].frame.height

    def complain(message: str, row: int | None) -> UserError:
        if row is None or row < first:
            return tables[0].error(message, row, name)
        return tables[1].error(message, row - first, name)

    if tables[0].frame[name].null_count() == first:
        raise tables[0].error("the target is missing in every row.", column=name)
    return target.encode(_target_values(tables, name), name, first, asked, complain)


def load_table(spec: DataSpec) -> Dataset:
    """The dataset in ``spec.data_path`` (CSV or Parquet), the rows of ``spec.test_path`` last.

    A column of numbers becomes one feature (missing: NaN); a column of text or booleans one
    feature for each category seen outside the test split (missing or unseen: all zeros).

    Raises:
        UserError: whatever is wrong with a file, told with file, row (1-based), line and column.
    """
    table = read(spec.data_path, "data_path")
    name = _target_column(table, spec)
    tables = [table, _test_table(spec, table)] if spec.test_path else [table]
    goal = _encode_target(tables, name, spec.task)
    count, rows = table.frame.height, len(goal.y)
    if len(tables) == 2:
        development, test_rows = np.arange(count), np.arange(count, rows, dtype=np.int32)
    else:
        development, test_rows = splits.draw_test_rows(goal.y, goal.task, spec)[0], None
    encoding: list[dict[str, Any]] = [
        columns.describe(table, column, development)
        for column in table.frame.columns
        if column != name
    ]
    x = np.concatenate([columns.features(each, encoding) for each in tables])
    if x.shape[1] == 0:
        raise table.error("no column has a value outside the test split.")
    return Dataset(
        name=Path(table.file).stem,
        x=x,
        y=goal.y,
        shape=(x.shape[1],),
        task=goal.task,
        num_classes=len(goal.class_names),
        class_names=goal.class_names,
        feature_names=columns.feature_names(encoding),
        target_name=name,
        test_rows=test_rows,
        origin=f"{count} rows of the file {table.file}"
        + (f", {rows - count} test rows of {tables[1].file}." if len(tables) == 2 else "."),
        encoding={"form": "table", "columns": encoding, "target": goal.encoding},
    )
