"""Rows to predict: prepared as in training, and mistakes told by file, row and column."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers.datafiles import Bomb, put, rows_of, spec_of

from convergence import data
from convergence.data.encoding import Encoding, encoding_of
from convergence.data.new_rows import load_rows
from convergence.errors import UserError
from convergence.spec import DataSpec

HEADER = "size,kind,rooms,y"


def cells(i: int) -> str:
    return f"{i / 7:.4f},{('a', 'b', '')[i % 3]},{i % 5 or ''},{i * 0.37:.2f}"


@pytest.fixture
def table(tmp_path: Path) -> tuple[data.Dataset, Encoding]:
    dataset = data.load(spec_of(put(tmp_path, rows_of(60, cells, HEADER), "train.csv")))
    return dataset, encoding_of(dataset)


def digits() -> Encoding:
    return encoding_of(data.load(DataSpec()))


def said(path: Path, encoding: Encoding, **how: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_rows(str(path), encoding, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_same_rows_give_the_same_features(
    suffix: str, table: tuple[data.Dataset, Encoding], tmp_path: Path
) -> None:
    """Protects predictions: the training file's rows become the training features, to the bit."""
    dataset, encoding = table
    path = tmp_path / "train.csv"
    if suffix == "parquet":
        frame = pl.read_csv(path).select("y", "rooms", "kind", "size")
        path = tmp_path / "other.parquet"
        frame.write_parquet(path)
    rows = load_rows(str(path), encoding)
    assert rows.x.dtype == np.float32
    np.testing.assert_array_equal(rows.x, dataset.x)
    np.testing.assert_array_equal(rows.y, dataset.y.astype(np.float64).round(2))
    assert "filled in as in training: 12 missing numbers in 12 rows" in rows.notes


def test_one_column_and_one_row_are_enough(tmp_path: Path) -> None:
    """Protects small files: a single feature needs no second column, a row no second row."""
    text = rows_of(40, lambda i: f"{i},{i * 0.5}", "a,y")
    encoding = encoding_of(data.load(spec_of(put(tmp_path, text, "t.csv"))))
    rows = load_rows(str(put(tmp_path, "a\n7\n")), encoding)
    assert rows.x.tolist() == [[7.0]]
    assert rows.y is None
    assert rows.notes == ()


def test_unknown_and_missing_categories(
    table: tuple[data.Dataset, Encoding], tmp_path: Path
) -> None:
    """Protects from silence: a category that was not trained on is none, and it is said."""
    path = put(tmp_path, "kind,size,rooms\nq,1,2\na,1,\n,1,2\nq,1,2\n")
    rows = load_rows(str(path), table[1])
    np.testing.assert_array_equal(rows.x[:, 1:3], [[0, 0], [1, 0], [0, 0], [0, 0]])
    notes = " ".join(rows.notes)
    assert 'not trained on "q": none of the known categories is taken in 2 rows' in notes
    assert '"kind" is missing in 1 row' in notes
    assert "1 missing number in 1 row" in notes


def test_targets_that_cannot_be_scored(tmp_path: Path) -> None:
    """Protects the score: unknown classes and numbers are left out, whatever they look like."""
    text = rows_of(40, lambda i: f"{i},{i % 2}", "a,y")
    encoding = encoding_of(data.load(spec_of(put(tmp_path, text, "t.csv"), task="classification")))
    rows = load_rows(str(put(tmp_path, "a,y\n1,0\n1,1.0\n1,2\n1,\n1,x\n1,inf\n")), encoding)
    np.testing.assert_array_equal(rows.y, [0, 1, np.nan, np.nan, np.nan, np.nan])
    np.savez(tmp_path / "n.npz", x=np.zeros((2, 8, 8)), y=np.array(["3", b"9".decode()]))
    told = load_rows(str(tmp_path / "n.npz"), digits())
    assert told.y is not None
    assert told.y.tolist() == [3.0, 9.0]


BAD = {
    "size,kind\n1,a\n": 'bad.csv: lacks the column "rooms" that the model was trained on',
    "size\n1\n": 'lacks the columns "kind", "rooms" that',
    "size,kind,rooms,id\n1,a,2,3\n": 'has the column "id" that the model was not trained on; leave',
    "size,kind,rooms,u,v\n1,a,2,3,4\n": 'has the columns "u", "v" that',
    "size,kind,rooms\n1,a,2\n1,a,big\n": 'row 2 (line 3) of bad.csv, column "rooms": "big" is not',
    "size,kind,rooms\nx,a,2\n": 'row 1 (line 2) of bad.csv, column "size": "x" is not a number',
    "size,kind,rooms\ninf,a,2\n": 'row 1 (line 2) of bad.csv, column "size": is infinite',
    "size,kind,rooms\n1e39,a,2\n": "too large for float32",
    "size,kind,rooms\n1,a\n": "row 1 has 2 cells where the header has 3",
    "size,kind,rooms,size\n1,a,2,1\n": 'two columns are named "size"',
    "size,kind,rooms\n": "has a header but no rows",
    "": "is empty",
    "\n\n": "is empty",
}


@pytest.mark.parametrize("text", BAD, ids=[repr(text)[:40] for text in BAD])
def test_bad_tables(text: str, table: tuple[data.Dataset, Encoding], tmp_path: Path) -> None:
    """Protects from predictions for other rows than were meant: each mistake is told where."""
    told = said(put(tmp_path, text, "bad.csv"), table[1])
    assert told.startswith("--data_path: ")
    assert BAD[text] in told


def test_extra_columns_can_be_left_out(
    table: tuple[data.Dataset, Encoding], tmp_path: Path
) -> None:
    """Protects files with an id: it is left out when asked for, and said."""
    path = put(tmp_path, "id,size,kind,rooms\n9,1,a,2\n")
    rows = load_rows(str(path), table[1], ignore_extra=True)
    assert rows.x.tolist() == [[1.0, 1.0, 0.0, 2.0]]
    assert rows.notes == ('left out: the column "id"',)


def test_bundled_sets_read_tables_too(tmp_path: Path) -> None:
    """Protects users of the bundled sets: their features' names are columns."""
    dataset = data.load(DataSpec(dataset="iris"))
    frame = pl.DataFrame(dict(zip(dataset.feature_names, dataset.x.astype(np.float64).T)))
    frame = frame.with_columns(pl.Series("species", [dataset.class_names[c] for c in dataset.y]))
    frame.write_csv(tmp_path / "iris.csv")
    rows = load_rows(str(tmp_path / "iris.csv"), encoding_of(dataset))
    np.testing.assert_array_equal(rows.x, dataset.x)
    np.testing.assert_array_equal(rows.y, dataset.y)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8), (64,)])
def test_shapes_of_images(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Protects images: with their axes, without the channel, or flat."""
    x = np.arange(3 * 64).reshape(3, *shape)
    np.savez(tmp_path / "n.npz", x=x)
    np.testing.assert_array_equal(load_rows(str(tmp_path / "n.npz"), digits()).x, x.reshape(3, 64))


BAD_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"x": np.zeros((2, 7, 8))}, "the model was trained on [rows, 64] or [rows, 8, 8]"),
    "one row": ({"x": np.zeros(64)}, "has the shape (64,)"),
    "no rows": ({"x": np.zeros((0, 64))}, "has no rows"),
    "text": ({"x": np.full((1, 64), "a")}, "holds values of type <U1"),
    "infinite": ({"x": np.full((1, 64), np.inf)}, "row 1, column 1: inf is infinite"),
    "large": ({"x": np.full((1, 64), 1e300)}, "too large for float32"),
    "no x": ({"y": np.zeros(2)}, "has no array 'x'"),
    "targets": ({"x": np.zeros((2, 64)), "y": np.zeros(3)}, "y has 3 values where x has 2 rows"),
    "objects": ({"x": np.array([[None] * 64])}, "holds Python objects (a pickle)"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(case: str, tmp_path: Path) -> None:
    """Protects from arrays of another form: told with the shape that would be right."""
    arrays, told = BAD_ARRAYS[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    assert told in said(tmp_path / "bad.npz", digits())


def test_files_that_are_not_read(table: tuple[data.Dataset, Encoding], tmp_path: Path) -> None:
    """Protects the machine: nothing is unpickled, and arrays do not stand for a table."""
    np.savez(tmp_path / "n.npz", x=np.zeros((2, 4)))
    told = said(tmp_path / "n.npz", table[1])
    assert 'give CSV or Parquet with the columns "size", "kind", "rooms"' in told
    np.savez(tmp_path / "bomb.npz", x=np.array([Bomb(tmp_path / "hit")], object))
    said(tmp_path / "bomb.npz", digits())
    assert not os.path.exists(tmp_path / "hit")
    assert "there is no file" in said(tmp_path / "none.csv", table[1])
    assert "unknown kind '.xlsx'" in said(put(tmp_path, "x", "a.xlsx"), table[1])
