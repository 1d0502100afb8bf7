"""Paths, test files and Parquet files with a mistake, and pickles, which are never loaded."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers.datafiles import Bomb, put, rows_of, said, spec_of

from convergence import data
from convergence.data import columns, table
from convergence.errors import UserError
from convergence.spec import DataSpec

# --- bad paths


def test_bad_paths(tmp_path: Path) -> None:
    """A missing file, a directory, an unknown kind and a belied suffix are told apart."""
    assert "there is no file" in said(spec_of(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "is a directory" in said(spec_of(tmp_path / "folder.csv"))
    assert "unknown kind '.xlsx'" in said(spec_of(put(tmp_path, "x", "a.xlsx")))
    assert "decompress it first" in said(spec_of(put(tmp_path, b"\x1f\x8b\x08\0", "z.csv")))
    assert "not a NPZ file" in said(spec_of(put(tmp_path, "a,b\n", "a.npz")))
    assert "not a PARQUET file" in said(spec_of(put(tmp_path, "a,b\n", "a.parquet")))
    assert "whole Parquet file" in said(spec_of(put(tmp_path, b"PAR1ab\0\0PAR1", "a.parquet")))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in said(spec_of(tmp_path / "pipe.csv"))


@pytest.mark.parametrize("name", ["d.csv", "d.parquet", "d.npz", "d.pkl", "d.npy"])
def test_pickles_are_never_loaded(tmp_path: Path, name: str) -> None:
    """A pickle under any name is refused as such, and its code does not run."""
    path = put(tmp_path, pickle.dumps(Bomb(tmp_path / "boom")), name)
    message = said(spec_of(path))
    assert "pickle" in message
    assert "CSV, Parquet or NPZ" in message
    assert not (tmp_path / "boom").exists()


def test_npy_of_objects_is_refused(tmp_path: Path) -> None:
    """A .npy file, of objects too, is refused without being loaded."""
    np.save(tmp_path / "d.npy", np.array([Bomb(tmp_path / "boom")], object), allow_pickle=True)
    assert "unknown kind '.npy'" in said(spec_of(tmp_path / "d.npy"))
    assert not (tmp_path / "boom").exists()


# --- bad test files


def test_bad_test_files(tmp_path: Path) -> None:
    """A test file must have the data's columns, kind and classes; errors name it and its rows."""
    path = put(tmp_path, rows_of(20, lambda i: f"{i},1,{'uv'[i % 2]}"))

    def told(text: str, name: str = "t.csv", **fields: Any) -> str:
        return said(spec_of(path, test_path=str(put(tmp_path, text, name)), **fields))

    assert 'lacks the column "b"' in told("a,y\n1,u\n")
    assert 'has the column "c"' in told("a,b,y,c\n1,1,u,1\n")
    assert "class 'w'" in told("a,b,y\n1,2,u\n1,2,w\n")
    assert "row 2 (line 3) of t.csv" in told("a,b,y\n1,2,u\n1,2,w\n")
    assert 'row 1 (line 2) of t.csv, column "a": "x" is not' in told("a,b,y\nx,2,u\n")
    assert "target is missing" in told("a,b,y\n1,2,\n")
    assert "same kind" in told("a,b,y\n1,2,u\n", "t.parquet")
    assert told("a,b,y\n1,2,\n").startswith("--test_path:")
    assert told("a,b,y\n1,2,u\n", outer_split=1).startswith("--outer_split:")


def test_columns_of_a_test_file(tmp_path: Path) -> None:
    """A test file's empty column is all missing; text among numbers is an error with its row."""
    path = put(tmp_path, rows_of(20, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))

    def spec(text: str) -> DataSpec:
        return spec_of(path, test_path=str(put(tmp_path, text, "t.csv")))

    got = data.load(spec("a,b,y\n,,1\n,,2\n"))
    np.testing.assert_array_equal(got.x[20:], np.array([[np.nan, 0, 0]] * 2))
    told = said(spec("a,b,y\n1,p,1\nten,p,2\neleven,p,2\n"))
    assert 'row 2 (line 3) of t.csv, column "a": "ten" is not a number' in told
    assert 'column "a" of t.csv' in said(spec("a,b,y\n1e39,p,1\n"))


def test_parquet_test_file_of_other_types(tmp_path: Path) -> None:
    """Numbers where the data have text are refused, in features and in the target."""
    good = pl.DataFrame({"a": ["p", "q"] * 10, "y": ["u", "u", "v", "v"] * 5})
    good.write_parquet(tmp_path / "d.parquet")
    spec = spec_of(tmp_path / "d.parquet", test_path=str(tmp_path / "t.parquet"))
    pl.DataFrame({"a": [1, 2], "y": ["u", "v"]}).write_parquet(tmp_path / "t.parquet")
    assert 'column "a" of t.parquet: holds numbers' in said(spec)
    pl.DataFrame({"a": ["p", "q"], "y": [1, 2]}).write_parquet(tmp_path / "t.parquet")
    assert 'column "y" of t.parquet: holds numbers' in said(spec)


def test_new_rows_need_the_encoding_s_columns(tmp_path: Path) -> None:
    """Rows to predict are prepared by the stored encoding; a lacking column is named."""
    path = put(tmp_path, rows_of(20, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))
    encoding = data.load(spec_of(path)).encoding["columns"]
    new = table.read(str(put(tmp_path, "b,a\nq,3\nz,\n", "new.csv")), "data_path")
    np.testing.assert_array_equal(
        columns.features(new, encoding), np.array([[3, 0, 1], [np.nan, 0, 0]], np.float32)
    )
    lacking = table.read(str(put(tmp_path, "b,c\nq,3\n", "new.csv")), "data_path")
    with pytest.raises(UserError, match=r'column "a" of new.csv: the column is missing'):
        columns.features(lacking, encoding)


def test_no_feature_left(tmp_path: Path) -> None:
    """A file whose only feature is known in test rows alone cannot be learned from."""
    path = put(tmp_path, rows_of(20, lambda i: f"{'pq'[i % 2]},{i * 0.5}", "a,y"))
    _, test = data.outer_split(data.load(spec_of(path)), spec_of(path))
    cells = {int(row): "p" for row in test}
    bare = rows_of(20, lambda i: f"{cells.get(i, '')},{i * 0.5}", "a,y")
    assert "no column has a value" in said(spec_of(put(tmp_path, bare)))


# --- bad Parquet


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pl.Series([1, 2]).cast(pl.Date), "dates"),
        (pl.Series([[1], [2]]), "List"),
        (pl.Series([b"a", b"b"]), "Binary"),
        (pl.Series([None, None]), "empty in every row"),
        (pl.Series([float("nan")] * 2), "not a number in any row"),
        (pl.Series([1.0, float("inf")]), "row 2 of d.parquet"),
    ],
)
def test_bad_parquet_columns(tmp_path: Path, column: pl.Series, told: str) -> None:
    """Types that are no numbers, text or booleans are refused by the column's name."""
    frame = pl.DataFrame({"c": pl.concat([column] * 15), "y": np.arange(30) * 0.5})
    frame.write_parquet(tmp_path / "d.parquet")
    message = said(spec_of(tmp_path / "d.parquet"))
    assert told in message
    assert 'column "c"' in message


def test_parquet_declares_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that the footer declares are checked before anything is unpacked."""
    pl.DataFrame({"a": np.zeros(1000), "y": np.arange(1000)}).write_parquet(tmp_path / "d.parquet")
    monkeypatch.setattr(table, "MAX_CELLS", 1999)
    assert "declares 1000 rows of 2 columns" in said(spec_of(tmp_path / "d.parquet"))
