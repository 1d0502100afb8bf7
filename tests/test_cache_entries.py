"""Entries of compiled programs: what is not whole is found, and what is whole is left alone."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence import cache_entries

WHOLE = zlib.compress(b"time" + os.urandom(3000) + bytes(200_000))
DAY = 24 * 3600 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}-cache").write_bytes(WHOLE)
    return tmp_path


def entries(folder: Path) -> str:
    return "".join(sorted(path.name[0] for path in folder.glob("*-cache")))


@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_truncated_entry_is_not_whole(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Protects from an entry whose writer was killed, at whatever byte."""
    path = tmp_path_factory.getbasetemp() / "cut-cache"
    path.write_bytes(WHOLE[:cut])
    assert not cache_entries.readable(path)


@given(place=st.integers(0, len(WHOLE) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_seen(
    place: int, change: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Protects from an entry that a disk spoiled."""
    path = tmp_path_factory.getbasetemp() / "changed-cache"
    spoiled = bytearray(WHOLE)
    spoiled[place] ^= change
    path.write_bytes(spoiled)
    # Some bits of zlib's head and of padding say nothing: then the content must be the same.
    assert not cache_entries.readable(path) or zlib.decompress(spoiled) == zlib.decompress(WHOLE)


@pytest.mark.parametrize("told", [WHOLE + b"x", WHOLE + WHOLE, b"", b"\x28\xb5\x2f\xfd nothing"])
def test_what_is_no_single_stream_is_not_whole(told: bytes, tmp_path: Path) -> None:
    """Protects from entries that two processes wrote at once, and from foreign formats."""
    (tmp_path / "x-cache").write_bytes(told)
    assert not cache_entries.readable(tmp_path / "x-cache")


def test_damaged_entries_are_dropped_and_others_kept(folder: Path) -> None:
    """Protects a start from an entry that JAX would stumble over for ever, and all else from us."""
    (folder / "b-cache").write_bytes(WHOLE[:-1])
    (folder / "about.json").write_text("{")
    (folder / "inner").mkdir()
    (folder / "inner" / "z-cache").write_bytes(b"")
    assert cache_entries.drop_damaged(folder) == 1
    assert entries(folder) == "ac"
    assert (folder / "about.json").exists()
    assert (folder / "inner" / "z-cache").exists()
    assert cache_entries.drop_damaged(folder) == 0


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    """Protects from running what a link leads to; what it leads to stays."""
    target = tmp_path / "elsewhere"
    target.write_bytes(WHOLE)
    (folder / "d-cache").symlink_to(target)
    assert cache_entries.drop_damaged(folder) == 1
    assert entries(folder) == "abc"
    assert target.exists()


def test_another_users_entry_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from running code that another user wrote."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache_entries.drop_damaged(folder) == 3


def test_unchanged_entries_are_read_once_a_day(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the start from reading hundreds of megabytes, and from trusting a disk for ever."""
    read: list[str] = []
    whole = cache_entries.readable

    def noted(path: Path) -> bool:
        read.append(path.name[0])
        return whole(path)

    def check(now: int) -> str:
        read.clear()
        cache_entries.drop_damaged(folder, now)
        return "".join(sorted(read))

    monkeypatch.setattr(cache_entries, "readable", noted)
    written = max(path.stat().st_ctime_ns for path in folder.glob("*-cache"))
    begin = written + DAY
    assert check(begin) == "abc"
    assert check(begin + 1) == ""
    assert check(begin + DAY - 1) == ""
    assert check(begin + DAY) == "abc"
    assert check(begin + DAY - 1) == "abc"  # the clock was set back: nothing is taken for granted
    (folder / cache_entries.STAMP).write_text("no number")
    assert check(begin) == "abc"
    monkeypatch.undo()
    (folder / "b-cache").write_bytes(WHOLE[:9])  # after the last check, by this clock as by ours
    (folder / cache_entries.STAMP).write_text(f"{written} {written}\n")
    assert cache_entries.drop_damaged(folder) == 1
    assert entries(folder) == "ac"


def test_the_longest_unused_go_first(folder: Path, tmp_path: Path) -> None:
    """Protects the disk: entries are bounded together, and those in use stay."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "d-cache").write_bytes(WHOLE)
    for path, at in ((folder / "a-cache", 3), (folder / "b-cache", 1), (other / "d-cache", 2)):
        os.utime(path, (at, at))
    os.utime(folder / "c-cache", (4, 0))  # written first, used last
    assert cache_entries.prune([folder, other], 4 * len(WHOLE)) == 0
    assert cache_entries.prune([folder, other], 2 * len(WHOLE)) == 2
    assert entries(folder) + entries(other) == "ac"


@pytest.mark.parametrize("module", ["zstandard", "compression.zstd"])
def test_zstandard_entries(module: str, tmp_path: Path) -> None:
    """Protects from dropping whole entries where JAX compresses by another method."""
    zstandard = pytest.importorskip(module)
    whole = zstandard.compress(bytes(300_000))
    for cut, told in ((len(whole), True), (len(whole) - 3, False)):
        (tmp_path / "z-cache").write_bytes(whole[:cut])
        assert cache_entries.readable(tmp_path / "z-cache") is told
