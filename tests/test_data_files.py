"""Data files as they should be: what is read of CSV, Parquet and NPZ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers.datafiles import put, rows_of, spec_of

from convergence import data
from convergence.data import table

# --- what is read


def test_csv_numbers_categories_and_missing_values(tmp_path: Path) -> None:
    """Numbers stay columns, text becomes one-hot, missing is NaN or all zeros."""

    def cells(i: int) -> str:
        colour = ("red", '"blue, dark"', "", "red")[i % 4]
        return f"{'' if i == 3 else i},{colour},{'yes' if i % 2 else 'no'}"

    path = put(tmp_path, rows_of(40, cells, "size, colour ,y"))
    got = data.load(spec_of(path))
    assert got.feature_names == ("size", "colour=blue, dark", "colour=red")
    assert got.name == "people"
    assert got.shape == (3,)
    assert got.task == "classification"
    assert got.class_names == ("no", "yes")
    assert got.x.dtype == np.float32
    assert got.y.dtype == np.int32
    np.testing.assert_array_equal(
        got.x[:5], np.array([[0, 0, 1], [1, 1, 0], [2, 0, 0], [np.nan, 0, 1], [4, 0, 1]])
    )
    np.testing.assert_array_equal(got.y[:4], [0, 1, 0, 1])
    assert got.encoding["columns"] == [
        {"name": "size", "kind": "number"},
        {"name": "colour", "kind": "category", "categories": ["blue, dark", "red"]},
    ]


def test_parquet_equals_csv(tmp_path: Path) -> None:
    """The same table gives the same dataset from either kind of file."""
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "a": rng.normal(size=60).round(3),
            "n": rng.integers(0, 9, 60),
            "flag": rng.random(60) < 0.5,
            "kind": pl.Series([["u", "v", None][i % 3] for i in range(60)]).cast(pl.Categorical),
            "y": rng.normal(size=60).round(3),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    one, two = (data.load(spec_of(tmp_path / f"t.{kind}")) for kind in ("parquet", "csv"))
    assert one.digest == two.digest
    assert one.encoding == two.encoding
    assert one.task == "regression"
    assert one.feature_names == ("a", "n", "flag=false", "flag=true", "kind=u", "kind=v")


def test_categories_are_fitted_outside_the_test_split(tmp_path: Path) -> None:
    """A category that only test rows have becomes no feature, and is all zeros there."""

    def cells(i: int) -> str:
        return f"{i},{'p' if i % 2 else 'q'},{i * 0.37:.2f}"

    path = put(tmp_path, rows_of(40, cells))
    _, test = data.outer_split(data.load(spec_of(path)), spec_of(path))
    row = int(test[0])
    lines = rows_of(40, cells).splitlines()
    lines[row + 1] = f"{row},only-here,{row * 0.37:.2f}"
    got = data.load(spec_of(put(tmp_path, "\n".join(lines))))
    assert got.feature_names == ("a", "b=p", "b=q")
    np.testing.assert_array_equal(got.x[row], [row, 0, 0])


def test_test_path_rows_come_last_and_are_the_test_split(tmp_path: Path) -> None:
    """A given test file is the test split, in the data's columns whatever its own order."""
    path = put(tmp_path, rows_of(30, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))
    test = put(tmp_path, "y,b,a\n1.5,r,100\n2.5,p,\n", "test.csv")
    spec = spec_of(path, test_path=str(test))
    got = data.load(spec)
    development, rows = data.outer_split(got, spec)
    np.testing.assert_array_equal(rows, [30, 31])
    np.testing.assert_array_equal(development, np.arange(30))
    np.testing.assert_array_equal(got.x[30:], np.array([[100, 0, 0], [np.nan, 1, 0]]))
    np.testing.assert_array_equal(got.y[30:], [1.5, 2.5])


def test_csv_quotes_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    """A quoted line break keeps rows and line numbers right; blank lines are skipped."""
    text = b"\xef\xbb\xbfa,b,y\r\n"
    for i in range(20):
        text += f'{i},"two\nlines{i % 2}",{i * 0.3:.1f}\r\n\r\n'.encode()
    got = data.load(spec_of(put(tmp_path, text)))
    assert got.x.shape == (20, 3)
    assert got.feature_names[:2] == ("a", "b=two\nlines0")
    read = table.read(str(put(tmp_path, text)), "data_path")
    assert read.where(1, "b") == 'row 2 (line 5) of people.csv, column "b"'


@pytest.mark.parametrize(
    ("values", "asked", "task"),
    [
        ([0, 1] * 20, "auto", "classification"),
        (["no", "yes"] * 20, "auto", "classification"),
        ([i % 4 for i in range(40)], "auto", "classification"),
        ([i % 5 for i in range(40)], "auto", "regression"),  # 8 rows a value
        ([i % 21 for i in range(420)], "auto", "regression"),
        ([i * 0.5 for i in range(40)], "auto", "regression"),
        ([i % 5 for i in range(40)], "classification", "classification"),
        ([0, 1] * 20, "regression", "regression"),
    ],
)
def test_task_rule(tmp_path: Path, values: list[Any], asked: str, task: str) -> None:
    """The documented rule of --task=auto, and what overrides it."""
    path = put(tmp_path, rows_of(len(values), lambda i: f"{i},{i % 3},{values[i]}"))
    got = data.load(spec_of(path, task=asked))
    assert got.task == task
    assert got.num_classes == (len(set(values)) if task == "classification" else 0)
    assert got.outputs == (got.num_classes or 1)


def test_number_classes_ascend(tmp_path: Path) -> None:
    """Classes 2, 9, 10 are ordered as numbers, not as text."""
    path = put(tmp_path, rows_of(60, lambda i: f"{i},{i % 3},{(10, 2, 9)[i % 3]}"))
    got = data.load(spec_of(path))
    assert got.class_names == ("2", "9", "10")
    np.testing.assert_array_equal(got.y[:3], [2, 0, 1])


@pytest.mark.parametrize(
    ("shape", "expected"), [((7,), (7,)), ((4, 5), (4, 5, 1)), ((4, 5, 3), (4, 5, 3))]
)
def test_npz_shapes(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Tables stay flat, images keep height, width and channels; rows are flattened in C order."""
    x = np.random.default_rng(0).normal(size=(40, *shape))
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=x, y=np.arange(40) % 2, other=np.arange(3))
    got = data.load(spec_of(path, ""))
    assert got.shape == expected
    assert got.task == "classification"
    np.testing.assert_array_equal(got.x, x.reshape(40, -1).astype(np.float32))
    assert got.test_rows is None


def test_npz_test_rows_and_text_labels(tmp_path: Path) -> None:
    """x_test and y_test form the test split; outer_split=1 redraws it; text labels are classes."""
    path = tmp_path / "d.npz"
    label = np.array(["cat", "dog"])
    np.savez(
        path,
        x=np.eye(30),
        y=label[np.arange(30) % 2],
        x_test=np.ones((4, 30)),
        y_test=label[[1, 1, 0, 0]],
    )
    got = data.load(spec_of(path, ""))
    assert got.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.outer_split(got, spec_of(path, ""))[1], np.arange(30, 34))
    np.testing.assert_array_equal(got.y[30:], [1, 1, 0, 0])
    redrawn = data.outer_split(got, spec_of(path, "", outer_split=1))[1]
    assert len(redrawn) == 7
