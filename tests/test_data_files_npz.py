"""NPZ files with a mistake, damage or too much in them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datafiles import Bomb, plain_cells, put, rows_of, said, spec_of

from convergence import data
from convergence.data import npz
from convergence.spec import DataSpec

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
    message = said(spec_of(tmp_path / "d.npz", ""))
    for part in told:
        assert part in message
    assert message.startswith("--data_path:")


def test_npz_test_file(tmp_path: Path) -> None:
    """--test_path takes an NPZ file with x and y, unless the data bring test rows themselves."""
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.savez(tmp_path / "t.npz", x=X[:3] + 1, y=Y[:3, None])
    np.savez(tmp_path / "own.npz", x=X, y=Y, x_test=X, y_test=Y)

    def spec(name: str, test: str) -> DataSpec:
        return spec_of(tmp_path / name, "y", test_path=str(tmp_path / test))

    got = data.load(spec("d.npz", "t.npz"))
    np.testing.assert_array_equal(data.outer_split(got, spec("d.npz", "t.npz"))[1], [30, 31, 32])
    np.testing.assert_array_equal(got.x[30:], X[:3] + 1)
    assert "brings test rows of its own" in said(spec("own.npz", "t.npz"))
    assert "must be an NPZ file" in said(spec("d.npz", "t.csv"))
    np.savez(tmp_path / "t.npz", x=X[:3])
    assert said(spec("d.npz", "t.npz")).startswith("--test_path: t.npz has no array 'y'")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system does not let us read is told as such."""
    path = put(tmp_path, rows_of(20, plain_cells))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read: Permission denied" in said(spec_of(path))


def test_npz_with_another_target(tmp_path: Path) -> None:
    """--target has no say over an NPZ file."""
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    assert said(spec_of(tmp_path / "d.npz", "strength")).startswith("--target:")


@pytest.mark.parametrize("member", ["x", "spare"])
def test_npz_object_members_are_refused(tmp_path: Path, member: str) -> None:
    """A member of objects is refused by name, wanted or not, and its pickle does not run."""
    bombs = np.array([Bomb(tmp_path / "boom")], object)
    members = {"x.npy": _npy(X), "y.npy": _npy(Y), f"{member}.npy": _npy(bombs, True)}
    message = said(spec_of(_zip(tmp_path / "d.npz", members), ""))
    assert f"member '{member}'" in message
    assert "pickle" in message
    assert not (tmp_path / "boom").exists()


def test_npz_raw_pickle_member_is_refused(tmp_path: Path) -> None:
    """A member that is a bare pickle is refused by name."""
    members = {"x.npy": pickle.dumps(Bomb(tmp_path / "boom")), "y.npy": _npy(Y)}
    message = said(spec_of(_zip(tmp_path / "d.npz", members), ""))
    assert "member 'x': holds Python objects (a pickle)" in message
    assert not (tmp_path / "boom").exists()


def test_npz_damage(tmp_path: Path) -> None:
    """A cut archive, a foreign member and a header that lies are errors, not crashes."""
    good = _zip(tmp_path / "d.npz", {"x.npy": _npy(X), "y.npy": _npy(Y)}).read_bytes()
    assert "damaged" in said(spec_of(put(tmp_path, good[: len(good) // 2], "cut.npz"), ""))
    flipped = bytearray(good)
    flipped[200] ^= 255
    assert "damaged" in said(spec_of(put(tmp_path, bytes(flipped), "crc.npz"), ""))
    foreign = _zip(tmp_path / "f.npz", {"x.npy": b"hello", "y.npy": _npy(Y)})
    assert "member 'x': is not a NumPy array" in said(spec_of(foreign, ""))
    lying = _npy(X).replace(b"(30, 2), }", b"(9999999999, 2), }".ljust(10))
    liar = _zip(tmp_path / "l.npz", {"x.npy": lying, "y.npy": _npy(Y)})
    assert "member 'x'" in said(spec_of(liar, ""))
    huge = _npy(np.zeros((1, 2))).replace(b"(1, 2), }           ", b"(99999999999, 2), } ")
    assert b"99999999999" in huge
    told = said(spec_of(_zip(tmp_path / "h.npz", {"x.npy": huge, "y.npy": _npy(Y)}), ""))
    assert "declares more values than it holds" in told


def test_npz_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes in the archive's directory are checked before anything is unpacked."""
    members = {"x.npy": _npy(np.zeros((30, 4000))), "y.npy": _npy(Y)}
    path = _zip(tmp_path / "d.npz", members, zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    for entry in (raw.find(b"PK\x01\x02"), raw.rfind(b"PK\x01\x02")):
        raw[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFFE)
    assert "GiB" in said(spec_of(put(tmp_path, bytes(raw), "fat.npz"), ""))
    monkeypatch.setattr(npz, "FREE_BYTES", 1000)
    assert "times its size" in said(spec_of(path, ""))
