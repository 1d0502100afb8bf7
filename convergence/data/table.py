"""A table read from a CSV or Parquet file: named columns, and where each row stands."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convergence.data import paths
from convergence.errors import UserError

if TYPE_CHECKING:
    import polars as pl

MAX_CSV_BYTES = 1 << 30
MAX_CELLS = 1 << 29  # times 4 bytes: 2 GiB of float32


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of text (String) or numbers (Float64), and where each row comes from.

    Attributes:
        frame: the columns; from CSV all are text, missing cells are null.
        file: name of the file, for messages.
        field: the flag that named it.
        lines: [rows] line of the file on which each row begins, 1-based; None for Parquet.
    """

    frame: pl.DataFrame
    file: str
    field: str
    lines: np.ndarray | None

    def where(self, row: int, column: str = "") -> str:
        """'row 17 (line 18) of people.csv, column "age"' for a 0-based row."""
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        named = f', column "{column}"' if column else ""
        return f"row {row + 1}{line} of {self.file}{named}"

    def error(self, message: str, row: int | None = None, column: str = "") -> UserError:
        """An error that says where: ``row`` is 0-based, None for the whole column or file."""
        if row is not None:
            place = self.where(row, column)
        else:
            place = f'column "{column}" of {self.file}' if column else self.file
        return UserError(f"{place}: {message}", self.field)


def read(path: str, field: str, columns: int = 2) -> Table:
    """The table in a CSV or Parquet file.

    CSV: comma-separated UTF-8 with a header of distinct names; empty cells are missing; blank
    lines are skipped. Parquet: columns of numbers, text, categories or booleans.

    Args:
        path: as the user gave it.
        field: the flag to name in errors.
        columns: how many there must be at least: 2 with a target, 1 in rows to predict.

    Raises:
        UserError: the file is none of that; says the line, the column and what would be right.
    """
    file = paths.check_file(path, field)
    read_kind = _read_csv if file.suffix.lower() == ".csv" else _read_parquet
    table = read_kind(file, field)
    names = table.frame.columns
    if len(names) < columns:
        raise table.error(
            f'has the single column "{names[0]}"; a target and at least one more column are '
            "needed, separated by commas."
        )
    if table.frame.height == 0:
        raise table.error("has a header but no rows.")
    return table


def _text(file: Path, field: str) -> str:
    if file.stat().st_size > MAX_CSV_BYTES:
        raise UserError(f"{file.name} is larger than 1 GiB; save it as Parquet.", field)
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", field) from error
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise UserError(f"{file.name}, line {line}: is not text (it holds a zero byte).", field)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file.name}, line {line}: is not UTF-8 text; save the file as UTF-8.", field
        ) from error


def _check_header(names: list[str], file: str, field: str, whence: str = "") -> None:
    for index, name in enumerate(names, 1):
        if not name:
            raise UserError(
                f"{file}{whence}: column {index} has no name; name it, or leave it out (an index "
                "column that was saved along?).",
                field,
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f'{file}{whence}: two columns are named "{twice[0]}"; rename one.', field)


def _records(text: str, file: str, field: str) -> tuple[list[str], list[list[str]], list[int]]:
    """(header, rows of cells, line on which each row begins); blank lines are skipped.

    One parser reads structure and cells, for two may differ on what a quote means.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    begin = 1
    try:
        for cells in reader:
            if not header and cells:
                header = [name.strip() for name in cells]
                _check_header(header, file, field, f", line {begin}")
            elif cells:
                if len(cells) != len(header):
                    raise UserError(
                        f"{file}, line {begin}: row {len(rows) + 1} has {len(cells)} cells where "
                        f"the header has {len(header)}.",
                        field,
                    )
                rows.append(cells)
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{file}, line {begin}: cannot be read as comma-separated cells ({error}); is a quote "
            "left open?",
            field,
        ) from error
    if not header:
        raise UserError(f"{file} is empty.", field)
    return header, rows, lines


def _read_csv(file: Path, field: str) -> Table:
    import polars as pl

    header, rows, lines = _records(_text(file, field), file.name, field)
    columns = zip(*rows) if rows else ([] for _ in header)
    frame = pl.DataFrame(
        {name: pl.Series(name, cells, pl.String) for name, cells in zip(header, columns)}
    )
    stripped = frame.select(pl.all().str.strip_chars())
    clean = stripped.select(pl.when(pl.all() == "").then(None).otherwise(pl.all()).name.keep())
    return Table(clean, file.name, field, np.array(lines, np.int64))


def _plain_column(column: pl.Series, file: str, field: str) -> pl.Series:
    """A Parquet column as Float64 or String; raises UserError for other types."""
    import polars as pl

    kind = column.dtype
    if kind.is_numeric():
        return column.cast(pl.Float64)
    if kind == pl.Null:
        return column.cast(pl.String)
    if kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        text = column.cast(pl.String).str.strip_chars()
        return text.replace("", None)
    place = f'{file}: column "{column.name}" holds'
    if kind.is_temporal():
        raise UserError(
            f"{place} dates or times, which are not read; replace it by numbers (days since a "
            "date, the hour, the weekday) or leave it out.",
            field,
        )
    raise UserError(
        f"{place} values of type {kind}, which are not read; give numbers, text or booleans.", field
    )


def _read_parquet(file: Path, field: str) -> Table:
    import polars as pl

    try:
        with file.open("rb") as handle:
            # The footer tells the size; nothing is decompressed before it is found sane.
            names = list(pl.read_parquet_schema(handle))
            handle.seek(0)
            count = pl.scan_parquet(handle).select(pl.len()).collect().item()
            if count * max(1, len(names)) > MAX_CELLS:
                raise UserError(
                    f"{file.name} declares {count} rows of {len(names)} columns, too many to load.",
                    field,
                )
            handle.seek(0)
            frame = pl.read_parquet(handle)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise UserError(
            f"{file.name} is not a whole Parquet file; write it anew.", field
        ) from error
    _check_header(names, file.name, field)
    columns = [_plain_column(frame[name], file.name, field) for name in names]
    return Table(pl.DataFrame(columns), file.name, field, None)
