"""The user's own files: CSV, Parquet and NPZ, the good ones and every kind of bad one."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from convergence import data
from convergence.data import columns, npz, table
from convergence.errors import UserError
from convergence.spec import DataSpec


def _spec(path: Path, target: str = "y", **fields: Any) -> DataSpec:
    return DataSpec(dataset="file", data_path=str(path), target=target, **fields)


def _csv(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _rows(count: int, cells: Callable[[int], str], header: str = "a,b,y") -> str:
    return "\n".join([header, *(cells(i) for i in range(count))]) + "\n"


def _plain(i: int) -> str:
    return f"{i},{i * i % 7},{i * 0.37:.2f}"


def _message(spec: DataSpec) -> str:
    with pytest.raises(UserError) as caught:
        data.load(spec)
    return str(caught.value)


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


# --- what is read


def test_csv_numbers_categories_and_missing_values(tmp_path: Path) -> None:
    """Numbers stay columns, text becomes one-hot, missing is NaN or all zeros."""

    def cells(i: int) -> str:
        colour = ("red", '"blue, dark"', "", "red")[i % 4]
        return f"{'' if i == 3 else i},{colour},{'yes' if i % 2 else 'no'}"

    path = _csv(tmp_path, _rows(40, cells, "size, colour ,y"))
    got = data.load(_spec(path))
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
    one, two = (data.load(_spec(tmp_path / f"t.{kind}")) for kind in ("parquet", "csv"))
    assert one.digest == two.digest
    assert one.encoding == two.encoding
    assert one.task == "regression"
    assert one.feature_names == ("a", "n", "flag=false", "flag=true", "kind=u", "kind=v")


def test_categories_are_fitted_outside_the_test_split(tmp_path: Path) -> None:
    """A category that only test rows have becomes no feature, and is all zeros there."""

    def cells(i: int) -> str:
        return f"{i},{'p' if i % 2 else 'q'},{i * 0.37:.2f}"

    path = _csv(tmp_path, _rows(40, cells))
    _, test = data.outer_split(data.load(_spec(path)), _spec(path))
    row = int(test[0])
    lines = _rows(40, cells).splitlines()
    lines[row + 1] = f"{row},only-here,{row * 0.37:.2f}"
    got = data.load(_spec(_csv(tmp_path, "\n".join(lines))))
    assert got.feature_names == ("a", "b=p", "b=q")
    np.testing.assert_array_equal(got.x[row], [row, 0, 0])


def test_test_path_rows_come_last_and_are_the_test_split(tmp_path: Path) -> None:
    """A given test file is the test split, in the data's columns whatever its own order."""
    path = _csv(tmp_path, _rows(30, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))
    test = _csv(tmp_path, "y,b,a\n1.5,r,100\n2.5,p,\n", "test.csv")
    spec = _spec(path, test_path=str(test))
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
    got = data.load(_spec(_csv(tmp_path, text)))
    assert got.x.shape == (20, 3)
    assert got.feature_names[:2] == ("a", "b=two\nlines0")
    read = table.read(str(_csv(tmp_path, text)), "data_path")
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
    path = _csv(tmp_path, _rows(len(values), lambda i: f"{i},{i % 3},{values[i]}"))
    got = data.load(_spec(path, task=asked))
    assert got.task == task
    assert got.num_classes == (len(set(values)) if task == "classification" else 0)
    assert got.outputs == (got.num_classes or 1)


def test_number_classes_ascend(tmp_path: Path) -> None:
    """Classes 2, 9, 10 are ordered as numbers, not as text."""
    path = _csv(tmp_path, _rows(60, lambda i: f"{i},{i % 3},{(10, 2, 9)[i % 3]}"))
    got = data.load(_spec(path))
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
    got = data.load(_spec(path, ""))
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
    got = data.load(_spec(path, ""))
    assert got.class_names == ("cat", "dog")
    np.testing.assert_array_equal(data.outer_split(got, _spec(path, ""))[1], np.arange(30, 34))
    np.testing.assert_array_equal(got.y[30:], [1, 1, 0, 0])
    redrawn = data.outer_split(got, _spec(path, "", outer_split=1))[1]
    assert len(redrawn) == 7


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
        _rows(20, lambda i: f"{'n/a' if i == 16 else i},1,{i}.5"),
        {},
        ("--data_path:", "row 17 (line 18)", 'column "a"', '"n/a"', "empty cells"),
    ),
    "bad target": (
        _rows(20, lambda i: f"{i},1,{'?' if i == 4 else i}"),
        {},
        ("row 5 (line 6)", 'column "y"', '"?" is not a number'),
    ),
    "infinite": (
        _rows(20, lambda i: f"{i},{'-inf' if i == 2 else 1},{i}.5"),
        {},
        ("row 3 (line 4)", 'column "b"', "infinite"),
    ),
    "missing target": (
        _rows(20, lambda i: f"{i},1,{'' if i in (7, 9) else i * 0.5}"),
        {},
        ("row 8 (line 9)", 'column "y"', "target is missing", "1 more"),
    ),
    "missing text target": (
        _rows(20, lambda i: f"{i},1,{'' if i == 7 else 'uv'[i % 2]}"),
        {},
        ("row 8 (line 9)", "target is missing"),
    ),
    "no target at all": (_rows(20, lambda i: f"{i},1,"), {}, ('column "y"', "every row")),
    "empty column": (_rows(20, lambda i: f"{i},,{i}.5"), {}, ('column "b"', "empty in every row")),
    "all different text": (
        _rows(20, lambda i: f"{i},name{i},{i}.5"),
        {},
        ('column "b"', '"name0"', "leave it out"),
    ),
    "too many categories": (
        _rows(404, lambda i: f"{i},c{i % 202},{i}.5"),
        {},
        ('column "b"', "202 different texts", "at most 100"),
    ),
    "dates": (
        _rows(20, lambda i: f"{i},2024-01-{i + 1:02},{i}.5"),
        {},
        ('column "b"', "dates", '"2024-01-01"'),
    ),
    "constant target": (_rows(20, lambda i: f"{i},1,3"), {}, ('column "y"', "'3' in every row")),
    "single-row class": (
        _rows(20, lambda i: f"{i},1,{'odd' if i == 11 else 'even'}"),
        {},
        ("row 12 (line 13)", "class 'odd'", "single row"),
    ),
    "text as regression": (
        _rows(20, lambda i: f"{i},1,{'uv'[i % 2]}"),
        {"task": "regression"},
        ("--task:", 'column "y"', '"u"', "numbers"),
    ),
    "fractions as classes": (
        _rows(20, lambda i: f"{i},1,{i + 0.5 if i == 3 else i}"),
        {"task": "classification"},
        ("--task:", "row 4", "3.5", "regression"),
    ),
    "too many classes": (
        _rows(40, lambda i: f"{i},1,{i}"),
        {"task": "classification"},
        ('column "y"', "40 different values in 40 rows"),
    ),
    "too fine for float32": (
        _rows(20, lambda i: f"{1700000000 + i},1,{i}.5"),
        {},
        ('column "a"', "float32", "subtract"),
    ),
    "too large for float32": (
        _rows(20, lambda i: f"{i}e39,1,{i}.5"),
        {},
        ('column "a"', "float32"),
    ),
    "target too fine": (
        _rows(20, lambda i: f"{i},1,{1700000000 + i}.5"),
        {},
        ('column "y"', "float32"),
    ),
    "two rows": ("a,y\n1,.5\n2,.7\n", {}, ("2 rows are too few",)),
    "label noise": (_rows(20, _plain), {"label_noise": 0.1}, ("--label_noise:", "outliers")),
    "imbalance": (_rows(20, _plain), {"imbalance": 0.1}, ("--imbalance:", "regression")),
    "outliers": (
        _rows(20, lambda i: f"{i},1,{'uv'[i % 2]}"),
        {"outliers": 0.1},
        ("--outliers:", "label_noise"),
    ),
    "generated rows": (_rows(20, _plain), {"generated_rows": 5}, ("--generated_rows:",)),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(tmp_path: Path, case: str) -> None:
    """Each way a CSV can be wrong is told in a sentence that says where and what would be right."""
    text, fields, told = BAD_CSV[case]
    message = _message(_spec(_csv(tmp_path, text), **{"target": "y", **fields}))
    for part in told:
        assert part in message
    assert message.startswith("--")
    assert len(message.splitlines()) <= 2


def test_csv_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CSV over the limit is refused before it is read."""
    monkeypatch.setattr(table, "MAX_CSV_BYTES", 10)
    assert "Parquet" in _message(_spec(_csv(tmp_path, _rows(20, _plain))))


def test_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot columns may not blow the table up beyond the limit."""
    path = _csv(tmp_path, _rows(20, lambda i: f"{i},{'pqr'[i % 3]},{i}.5"))
    monkeypatch.setattr(columns, "MAX_CELLS", 79)
    assert "20 rows of 4 features" in _message(_spec(path))


# --- bad paths


def test_bad_paths(tmp_path: Path) -> None:
    """A missing file, a directory, an unknown kind and a belied suffix are told apart."""
    assert "there is no file" in _message(_spec(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "is a directory" in _message(_spec(tmp_path / "folder.csv"))
    assert "unknown kind '.xlsx'" in _message(_spec(_csv(tmp_path, "x", "a.xlsx")))
    assert "decompress it first" in _message(_spec(_csv(tmp_path, b"\x1f\x8b\x08\0", "z.csv")))
    assert "not a NPZ file" in _message(_spec(_csv(tmp_path, "a,b\n", "a.npz")))
    assert "not a PARQUET file" in _message(_spec(_csv(tmp_path, "a,b\n", "a.parquet")))
    assert "whole Parquet file" in _message(_spec(_csv(tmp_path, b"PAR1ab\0\0PAR1", "a.parquet")))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in _message(_spec(tmp_path / "pipe.csv"))


@pytest.mark.parametrize("name", ["d.csv", "d.parquet", "d.npz", "d.pkl", "d.npy"])
def test_pickles_are_never_loaded(tmp_path: Path, name: str) -> None:
    """A pickle under any name is refused as such, and its code does not run."""
    path = _csv(tmp_path, pickle.dumps(Bomb(tmp_path / "boom")), name)
    message = _message(_spec(path))
    assert "pickle" in message
    assert "CSV, Parquet or NPZ" in message
    assert not (tmp_path / "boom").exists()


def test_npy_of_objects_is_refused(tmp_path: Path) -> None:
    """A .npy file, of objects too, is refused without being loaded."""
    np.save(tmp_path / "d.npy", np.array([Bomb(tmp_path / "boom")], object), allow_pickle=True)
    assert "unknown kind '.npy'" in _message(_spec(tmp_path / "d.npy"))
    assert not (tmp_path / "boom").exists()


# --- bad test files


def test_bad_test_files(tmp_path: Path) -> None:
    """A test file must have the data's columns, kind and classes; errors name it and its rows."""
    path = _csv(tmp_path, _rows(20, lambda i: f"{i},1,{'uv'[i % 2]}"))

    def told(text: str, name: str = "t.csv", **fields: Any) -> str:
        return _message(_spec(path, test_path=str(_csv(tmp_path, text, name)), **fields))

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
    path = _csv(tmp_path, _rows(20, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))

    def spec(text: str) -> DataSpec:
        return _spec(path, test_path=str(_csv(tmp_path, text, "t.csv")))

    got = data.load(spec("a,b,y\n,,1\n,,2\n"))
    np.testing.assert_array_equal(got.x[20:], np.array([[np.nan, 0, 0]] * 2))
    told = _message(spec("a,b,y\n1,p,1\nten,p,2\neleven,p,2\n"))
    assert 'row 2 (line 3) of t.csv, column "a": "ten" is not a number' in told
    assert 'column "a" of t.csv' in _message(spec("a,b,y\n1e39,p,1\n"))


def test_parquet_test_file_of_other_types(tmp_path: Path) -> None:
    """Numbers where the data have text are refused, in features and in the target."""
    good = pl.DataFrame({"a": ["p", "q"] * 10, "y": ["u", "u", "v", "v"] * 5})
    good.write_parquet(tmp_path / "d.parquet")
    spec = _spec(tmp_path / "d.parquet", test_path=str(tmp_path / "t.parquet"))
    pl.DataFrame({"a": [1, 2], "y": ["u", "v"]}).write_parquet(tmp_path / "t.parquet")
    assert 'column "a" of t.parquet: holds numbers' in _message(spec)
    pl.DataFrame({"a": ["p", "q"], "y": [1, 2]}).write_parquet(tmp_path / "t.parquet")
    assert 'column "y" of t.parquet: holds numbers' in _message(spec)


def test_new_rows_need_the_encoding_s_columns(tmp_path: Path) -> None:
    """Rows to predict are prepared by the stored encoding; a lacking column is named."""
    path = _csv(tmp_path, _rows(20, lambda i: f"{i},{'pq'[i % 2]},{i * 0.5}"))
    encoding = data.load(_spec(path)).encoding["columns"]
    new = table.read(str(_csv(tmp_path, "b,a\nq,3\nz,\n", "new.csv")), "data_path")
    np.testing.assert_array_equal(
        columns.features(new, encoding), np.array([[3, 0, 1], [np.nan, 0, 0]], np.float32)
    )
    lacking = table.read(str(_csv(tmp_path, "b,c\nq,3\n", "new.csv")), "data_path")
    with pytest.raises(UserError, match=r'column "a" of new.csv: the column is missing'):
        columns.features(lacking, encoding)


def test_no_feature_left(tmp_path: Path) -> None:
    """A file whose only feature is known in test rows alone cannot be learned from."""
    path = _csv(tmp_path, _rows(20, lambda i: f"{'pq'[i % 2]},{i * 0.5}", "a,y"))
    _, test = data.outer_split(data.load(_spec(path)), _spec(path))
    cells = {int(row): "p" for row in test}
    bare = _rows(20, lambda i: f"{cells.get(i, '')},{i * 0.5}", "a,y")
    assert "no column has a value" in _message(_spec(_csv(tmp_path, bare)))


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
    message = _message(_spec(tmp_path / "d.parquet"))
    assert told in message
    assert 'column "c"' in message


def test_parquet_declares_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that the footer declares are checked before anything is unpacked."""
    pl.DataFrame({"a": np.zeros(1000), "y": np.arange(1000)}).write_parquet(tmp_path / "d.parquet")
    monkeypatch.setattr(table, "MAX_CELLS", 1999)
    assert "declares 1000 rows of 2 columns" in _message(_spec(tmp_path / "d.parquet"))


# --- bad NPZ


def _npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def _zip(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


X, Y = np.arange(60.0).reshape(30, 2), np.arange(30) * 0.5
BAD_NPZ: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no x": ({"y": Y}, ("no array 'x'", "it has y")),
    "no y": ({"x": X}, ("no array 'y'",)),
    "half a test split": ({"x": X, "y": Y, "x_test": X}, ("no array 'y_test'",)),
    "one axis": ({"x": X[:, 0], "y": Y}, ("(30,)", "[rows, features]")),
    "no rows": ({"x": X[:0], "y": Y[:0]}, ("(0, 2)",)),
    "rows differ": ({"x": X, "y": Y[:9]}, ("9 rows", "30")),
    "one-hot": ({"x": X, "y": np.eye(30)}, ("(30, 30)", "not one-hot")),
    "complex": ({"x": X + 1j, "y": Y}, ("member 'x'", "complex128")),
    "text x": ({"x": X.astype(str), "y": Y}, ("d.npz, x", "give numbers")),
    "times": ({"x": X, "y": Y.astype("M8[s]")}, ("member 'y'", "datetime64")),
    "infinite": ({"x": np.where(X == 7, np.inf, X), "y": Y}, ("row 4, column 2", "infinite")),
    "empty column": ({"x": X * [1, np.nan], "y": Y}, ("column 2", "NaN in every row")),
    "missing target": ({"x": X, "y": np.where(Y == 1, np.nan, Y)}, ("row 3", "target is missing")),
    "lone class": ({"x": X, "y": (np.arange(30) == 4) * 1}, ("row 5", "class '1'", "single row")),
    "test shape": ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, ("(1,)", "(2,)")),
    "test kind": ({"x": X, "y": Y, "x_test": X, "y_test": Y.astype(str)}, ("text in one part",)),
    "new class": (
        {"x": X, "y": np.arange(30) % 2, "x_test": X[:2], "y_test": np.array([0, 2])},
        ("x_test, row 2", "class '2'"),
    ),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(tmp_path: Path, case: str) -> None:
    """Each way an NPZ file's arrays can be wrong is told by member, row and column."""
    arrays, told = BAD_NPZ[case]
    np.savez(tmp_path / "d.npz", **arrays)
    message = _message(_spec(tmp_path / "d.npz", ""))
    for part in told:
        assert part in message
    assert message.startswith("--data_path:")


def test_npz_test_file(tmp_path: Path) -> None:
    """--test_path takes an NPZ file with x and y, unless the data bring test rows themselves."""
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.savez(tmp_path / "t.npz", x=X[:3] + 1, y=Y[:3, None])
    np.savez(tmp_path / "own.npz", x=X, y=Y, x_test=X, y_test=Y)

    def spec(name: str, test: str) -> DataSpec:
        return _spec(tmp_path / name, "y", test_path=str(tmp_path / test))

    got = data.load(spec("d.npz", "t.npz"))
    np.testing.assert_array_equal(data.outer_split(got, spec("d.npz", "t.npz"))[1], [30, 31, 32])
    np.testing.assert_array_equal(got.x[30:], X[:3] + 1)
    assert "brings test rows of its own" in _message(spec("own.npz", "t.npz"))
    assert "must be an NPZ file" in _message(spec("d.npz", "t.csv"))
    np.savez(tmp_path / "t.npz", x=X[:3])
    assert _message(spec("d.npz", "t.npz")).startswith("--test_path: t.npz has no array 'y'")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system does not let us read is told as such."""
    path = _csv(tmp_path, _rows(20, _plain))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read: Permission denied" in _message(_spec(path))


def test_npz_with_another_target(tmp_path: Path) -> None:
    """--target has no say over an NPZ file."""
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    assert _message(_spec(tmp_path / "d.npz", "strength")).startswith("--target:")


@pytest.mark.parametrize("member", ["x", "spare"])
def test_npz_object_members_are_refused(tmp_path: Path, member: str) -> None:
    """A member of objects is refused by name, wanted or not, and its pickle does not run."""
    bombs = np.array([Bomb(tmp_path / "boom")], object)
    members = {"x.npy": _npy(X), "y.npy": _npy(Y), f"{member}.npy": _npy(bombs, True)}
    message = _message(_spec(_zip(tmp_path / "d.npz", members), ""))
    assert f"member '{member}'" in message
    assert "pickle" in message
    assert not (tmp_path / "boom").exists()


def test_npz_raw_pickle_member_is_refused(tmp_path: Path) -> None:
    """A member that is a bare pickle is refused by name."""
    members = {"x.npy": pickle.dumps(Bomb(tmp_path / "boom")), "y.npy": _npy(Y)}
    message = _message(_spec(_zip(tmp_path / "d.npz", members), ""))
    assert "member 'x': holds Python objects (a pickle)" in message
    assert not (tmp_path / "boom").exists()


def test_npz_damage(tmp_path: Path) -> None:
    """A cut archive, a foreign member and a header that lies are errors, not crashes."""
    good = _zip(tmp_path / "d.npz", {"x.npy": _npy(X), "y.npy": _npy(Y)}).read_bytes()
    assert "damaged" in _message(_spec(_csv(tmp_path, good[: len(good) // 2], "cut.npz"), ""))
    flipped = bytearray(good)
    flipped[200] ^= 255
    assert "damaged" in _message(_spec(_csv(tmp_path, bytes(flipped), "crc.npz"), ""))
    foreign = _zip(tmp_path / "f.npz", {"x.npy": b"hello", "y.npy": _npy(Y)})
    assert "member 'x': is not a NumPy array" in _message(_spec(foreign, ""))
    lying = _npy(X).replace(b"(30, 2), }", b"(9999999999, 2), }".ljust(10))
    liar = _zip(tmp_path / "l.npz", {"x.npy": lying, "y.npy": _npy(Y)})
    assert "member 'x'" in _message(_spec(liar, ""))
    huge = _npy(np.zeros((1, 2))).replace(b"(1, 2), }           ", b"(99999999999, 2), } ")
    assert b"99999999999" in huge
    told = _message(_spec(_zip(tmp_path / "h.npz", {"x.npy": huge, "y.npy": _npy(Y)}), ""))
    assert "declares more values than it holds" in told


def test_npz_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes in the archive's directory are checked before anything is unpacked."""
    members = {"x.npy": _npy(np.zeros((30, 4000))), "y.npy": _npy(Y)}
    path = _zip(tmp_path / "d.npz", members, zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    for entry in (raw.find(b"PK\x01\x02"), raw.rfind(b"PK\x01\x02")):
        raw[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFFE)
    assert "GiB" in _message(_spec(_csv(tmp_path, bytes(raw), "fat.npz"), ""))
    monkeypatch.setattr(npz, "FREE_BYTES", 1000)
    assert "times its size" in _message(_spec(path, ""))
