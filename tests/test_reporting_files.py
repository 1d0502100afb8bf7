"""Files are written whole or not at all, and read without trust."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from convergence.reporting import files
from convergence.reporting.files import CorruptFile, StorageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trips(tmp_path: Path) -> None:
    """Protects results: what is written is what is read, types and shapes included."""
    arrays = {
        "file": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a/b": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 4), np.uint32),
        "scalar": np.float64("nan"),
        "names": np.array(["é", "b"]),
        "jax": jnp.arange(3),
    }
    files.write_npz(tmp_path / "x.npz", arrays)
    back = files.read_npz(tmp_path / "x.npz")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], np.asarray(array))
        assert back[name].dtype == np.asarray(array).dtype
    with np.load(tmp_path / "x.npz", allow_pickle=False) as plain:
        assert set(plain.files) == set(arrays)

    files.write_parquet(
        tmp_path / "t.parquet", {"n": [1, 0.5, None], "s": np.array(["a", "b", "c"])}
    )
    assert files.read_parquet(tmp_path / "t.parquet") == {
        "n": [1.0, 0.5, None],
        "s": ["a", "b", "c"],
    }
    assert names(tmp_path) == ["t.parquet", "x.npz"]


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    """Protects reproducibility: a file's bytes hold no clock."""
    for name in ("a", "b"):
        files.write_npz(tmp_path / name, {"x": np.arange(5)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@dataclasses.dataclass
class Point:
    x: float
    y: np.ndarray


def test_json_is_strict(tmp_path: Path) -> None:
    """Protects readers in other languages: no NaN or Infinity, no NumPy, in any JSON of ours."""
    value = {
        "p": Point(float("nan"), np.array([[1.5, np.inf], [-np.inf, 2]], np.float32)),
        1: (np.int64(3), np.bool_(True), {"b", "a"}, Path("x/y")),
        "zero": jnp.float32(0.5),
        "half": jnp.asarray([0.25], jnp.bfloat16),
        "none": None,
    }
    files.write_json(tmp_path / "x.json", value)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    back = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert back == {
        "p": {"x": None, "y": [[1.5, "inf"], ["-inf", 2.0]]},
        "1": [3, True, ["a", "b"], "x/y"],
        "zero": 0.5,
        "half": [0.25],
        "none": None,
    }
    assert files.read_json(tmp_path / "x.json") == back
    with pytest.raises(TypeError, match="object"):
        files.plain(object())


def test_npz_refuses_what_it_could_not_read_back(tmp_path: Path) -> None:
    """Protects against pickles of our own making, and leaves nothing behind."""
    for array in (np.array([{}]), jnp.ones(2, jnp.bfloat16)):
        with pytest.raises(TypeError, match="dtype"):
            files.write_npz(tmp_path / "x.npz", {"x": array})
    assert names(tmp_path) == []


@pytest.mark.parametrize("fail", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str
) -> None:
    """Protects finished work: a write that the system refuses neither harms nor litters."""
    path = tmp_path / "x.json"
    files.write_json(path, {"old": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fail, full)
    with pytest.raises(StorageError, match=r"cannot write .*x\.json: No space left") as caught:
        files.write_json(path, {"new": 2})
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["x.json"]
    assert json.loads(path.read_text()) == {"old": 1}


def test_a_real_refusal_half_way(tmp_path: Path) -> None:
    """Protects against half-written archives where the system stops in the middle of one."""
    program = (
        "import resource, signal, sys, numpy as np\n"
        "from convergence.reporting import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    files.write_npz(sys.argv[1], {'a': np.zeros(1000), 'b': np.zeros(100_000)})\n"
        "except files.StorageError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write ")
    assert "x.npz" in done.stdout
    assert names(tmp_path) == []


def test_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Protects the folder from the program's own errors, Ctrl-C included."""

    def interrupted() -> None:
        with files.whole(tmp_path / "x") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
    with pytest.raises(StorageError):
        files.write_text(tmp_path / "missing" / "x", "text")


def test_every_damage_is_seen(tmp_path: Path) -> None:
    """Protects from silent corruption: each truncation and each flipped bit of data is reported."""
    path = tmp_path / "x.npz"
    files.write_npz(path, {"a": np.arange(50.0), "b": np.arange(7)})
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for cut in generator.integers(0, len(whole), 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(CorruptFile):
            files.read_npz(path)
    start = whole.index(np.arange(50.0).tobytes()[8:64]) - 8
    for at in generator.integers(start, start + 400, 60):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(CorruptFile, match="corrupt"):
            files.read_npz(path)
    for garbage in (b"", b"PK", b"not a zip", bytes(1000)):
        path.write_bytes(garbage)
        with pytest.raises(CorruptFile):
            files.read_npz(path)
    with pytest.raises(FileNotFoundError):
        files.read_npz(tmp_path / "none.npz")


def test_untrusted_archives(tmp_path: Path) -> None:
    """Protects from files made to harm: pickles, bombs, headers that promise too much."""
    pickle = tmp_path / "pickle.npz"
    np.savez(pickle, x=np.array([{"a": 1}], dtype=object))
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, x=np.zeros(1000))
    boast = tmp_path / "boast.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(boast, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    for path in (pickle, packed, boast):
        with pytest.raises(CorruptFile):
            files.read_npz(path)


def test_damaged_json_and_tables(tmp_path: Path) -> None:
    """Protects readers of results from a raw decoder's traceback."""
    path = tmp_path / "x"
    for garbage in (b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(garbage)
        with pytest.raises(CorruptFile, match="not JSON"):
            files.read_json(path)
        with warnings.catch_warnings(), pytest.raises(CorruptFile):
            files.read_parquet(path)
