"""CSV files with a mistake: each is told by its line, row or column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.datafiles import plain_cells, put, rows_of, said, spec_of

from convergence.data import columns, table

# --- bad CSV


BAD_CSV: dict[str, tuple[str | bytes, dict[str, Any], tuple[str, ...]]] = {
    "empty": (b"", {}, ("--data_path:", "people.csv is empty")),
    "blank lines only": (b"\n\n", {}, ("people.csv is empty",)),
    "header only": ("a,b,y\n", {}, ("people.csv", "header but no rows")),
    "ragged, long": ("a,b,y\n1,2,3\n\n4,5,6,7\n", {}, ("line 4", "row 2 has 4 cells", "has 3")),
    "ragged, short": ("a,b,y\n1,2,3\n4,5\n", {}, ("line 3", "row 2 has 2 cells", "has 3")),
    "quote left open": ('a,b,y\n1,"2,3\n4,5,6\n', {}, ("line 2", "quote")),
    "not UTF-8": (b"a,b,y\n1,2,3\n\xff,2,3\n", {}, ("line 3", "UTF-8")),
    "zero bytes": (b"a,b,y\n1,\0,3\n", {}, ("line 2", "not text")),
    "duplicate names": ("a,a,y\n1,2,3\n", {}, ("line 1", 'two columns are named "a"')),
    "unnamed column": (",a,y\n0,2,3\n", {}, ("column 1 has no name",)),
    "semicolons": ("a;b;y\n1;2;3\n", {}, ("single column", "commas")),
    "no target given": ("a,b,y\n1,2,3\n", {"target": ""}, ("--target:", "a, b, y")),
    "target absent": (
        "age,strength\n1,2\n",
        {"target": "strenght"},
        ("--target:", "'strenght'", "did you mean 'strength'"),
    ),
    "one bad number": (
        rows_of(20, lambda i: f"{'n/a' if i == 16 else i},1,{i}.5"),
        {},
        ("--data_path:", "row 17 (line 18)", 'column "a"', '"n/a"', "empty cells"),
    ),
    "bad target": (
        rows_of(20, lambda i: f"{i},1,{'?' if i == 4 else i}"),
        {},
        ("row 5 (line 6)", 'column "y"', '"?" is not a number'),
    ),
    "infinite": (
        rows_of(20, lambda i: f"{i},{'-inf' if i == 2 else 1},{i}.5"),
        {},
        ("row 3 (line 4)", 'column "b"', "infinite"),
    ),
    "missing target": (
        rows_of(20, lambda i: f"{i},1,{'' if i in (7, 9) else i * 0.5}"),
        {},
        ("row 8 (line 9)", 'column "y"', "target is missing", "1 more"),
    ),
    "missing text target": (
        rows_of(20, lambda i: f"{i},1,{'' if i == 7 else 'uv'[i % 2]}"),
        {},
        ("row 8 (line 9)", "target is missing"),
    ),
    "no target at all": (rows_of(20, lambda i: f"{i},1,"), {}, ('column "y"', "every row")),
    "empty column": (
        rows_of(20, lambda i: f"{i},,{i}.5"),
        {},
        ('column "b"', "empty in every row"),
    ),
    "all different text": (
        rows_of(20, lambda i: f"{i},name{i},{i}.5"),
        {},
        ('column "b"', '"name0"', "leave it out"),
    ),
    "too many categories": (
        rows_of(404, lambda i: f"{i},c{i % 202},{i}.5"),
        {},
        ('column "b"', "202 different texts", "at most 100"),
    ),
    "dates": (
        rows_of(20, lambda i: f"{i},2024-01-{i + 1:02},{i}.5"),
        {},
        ('column "b"', "dates", '"2024-01-01"'),
    ),
    "constant target": (rows_of(20, lambda i: f"{i},1,3"), {}, ('column "y"', "'3' in every row")),
    "single-row class": (
        rows_of(20, lambda i: f"{i},1,{'odd' if i == 11 else 'even'}"),
        {},
        ("row 12 (line 13)", "class 'odd'", "single row"),
    ),
    "text as regression": (
        rows_of(20, lambda i: f"{i},1,{'uv'[i % 2]}"),
        {"task": "regression"},
        ("--task:", 'column "y"', '"u"', "numbers"),
    ),
    "fractions as classes": (
        rows_of(20, lambda i: f"{i},1,{i + 0.5 if i == 3 else i}"),
        {"task": "classification"},
        ("--task:", "row 4", "3.5", "regression"),
    ),
    "too many classes": (
        rows_of(40, lambda i: f"{i},1,{i}"),
        {"task": "classification"},
        ('column "y"', "40 different values in 40 rows"),
    ),
    "too fine for float32": (
        rows_of(20, lambda i: f"{1700000000 + i},1,{i}.5"),
        {},
        ('column "a"', "float32", "subtract"),
    ),
    "too large for float32": (
        rows_of(20, lambda i: f"{i}e39,1,{i}.5"),
        {},
        ('column "a"', "float32"),
    ),
    "target too fine": (
        rows_of(20, lambda i: f"{i},1,{1700000000 + i}.5"),
        {},
        ('column "y"', "float32"),
    ),
    "two rows": ("a,y\n1,.5\n2,.7\n", {}, ("2 rows are too few",)),
    "label noise": (
        rows_of(20, plain_cells),
        {"label_noise": 0.1},
        ("--label_noise:", "outliers"),
    ),
    "imbalance": (rows_of(20, plain_cells), {"imbalance": 0.1}, ("--imbalance:", "regression")),
    "outliers": (
        rows_of(20, lambda i: f"{i},1,{'uv'[i % 2]}"),
        {"outliers": 0.1},
        ("--outliers:", "label_noise"),
    ),
    "generated rows": (rows_of(20, plain_cells), {"generated_rows": 5}, ("--generated_rows:",)),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(tmp_path: Path, case: str) -> None:
    """Each way a CSV can be wrong is told in a sentence that says where and what would be right."""
    text, fields, told = BAD_CSV[case]
    message = said(spec_of(put(tmp_path, text), **{"target": "y", **fields}))
    for part in told:
        assert part in message
    assert message.startswith("--")
    assert len(message.splitlines()) <= 2


def test_csv_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV over the limit is refused before it is read."""
    monkeypatch.setattr(table, "MAX_CSV_BYTES", 10)
    assert "Parquet" in said(spec_of(put(tmp_path, rows_of(20, plain_cells))))


def test_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot columns may not blow the table up beyond the limit."""
    path = put(tmp_path, rows_of(20, lambda i: f"{i},{'pqr'[i % 3]},{i}.5"))
    monkeypatch.setattr(columns, "MAX_CELLS", 79)
    assert "20 rows of 4 features" in said(spec_of(path))
