"""What lies in a folder of compiled programs: damaged entries are dropped, old ones pruned.

JAX writes an entry in place, so that a process killed meanwhile leaves half of one; each later
start would stumble over it, warn and compile again, and never repair it. An entry is one
compressed stream (zlib, or zstandard where a module for it is installed) that proves itself whole
when it is read to its end.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

SUFFIX = "-cache"  # of JAX's entries
STAMP = ".checked"  # when the entries were last read: newer ones, and all
_SLACK = 5 * 10**9  # ns that a file system's clock may lag behind this machine's
_FULL_EVERY = 24 * 3600 * 10**9  # ns after which all entries are read again
_PIECE = 2**16
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def _decoder(head: bytes) -> Any:
    """A decompressor for a stream that begins so: with decompress, eof and unused_data."""
    if not head.startswith(_ZSTANDARD):
        return zlib.decompressobj()
    try:
        from compression import zstd  # type: ignore[import-not-found]  # from Python 3.14 on

        return zstd.ZstdDecompressor()
    except ImportError:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()


def _ends_well(stream: IO[bytes]) -> bool:
    piece = stream.read(_PIECE)
    decoder = _decoder(piece)
    while piece:
        if decoder.eof:
            return False  # something follows the stream
        decoder.decompress(piece)
        piece = stream.read(_PIECE)
    return bool(decoder.eof) and not decoder.unused_data


def readable(path: Path) -> bool:
    """Whether an entry is one whole compressed stream; reads it in pieces."""
    try:
        with open(path, "rb") as stream:
            return _ends_well(stream)
    except Exception:  # each decompressor has errors of its own
        return False


def found(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The entries of a folder with what the system says of them; links are not followed."""
    with os.scandir(folder) as listed:
        for entry in listed:
            if entry.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):  # dropped by another process
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


def ours(told: os.stat_result) -> bool:
    """Whether a file or folder belongs to this process's user (an entry is code that will run)."""
    return not hasattr(os, "geteuid") or told.st_uid == os.geteuid()


def drop_damaged(folder: Path, clock: int | None = None) -> int:
    """Removes entries that are not whole, not the user's own or no plain files; how many.

    An entry that did not change since the last check is not read again, until a day has passed.
    A process that writes or reads an entry just removed loses nothing but the entry.

    Args:
        folder: of entries.
        clock: ns since the epoch; for tests.

    Raises:
        OSError: the folder cannot be read or written.
    """
    now = time.time_ns() if clock is None else clock
    last, full = _last_checks(folder / STAMP, now)
    dropped = 0
    for path, told in found(folder):
        plain = stat.S_ISREG(told.st_mode) and ours(told)
        changed = max(told.st_mtime_ns, told.st_ctime_ns)
        if plain and (changed < last - _SLACK or readable(path)):
            continue
        path.unlink(missing_ok=True)
        dropped += 1
    half = folder / f"{STAMP}.{os.getpid()}"
    half.write_text(f"{now} {full or now}\n")
    os.replace(half, folder / STAMP)
    return dropped


def _last_checks(stamp: Path, now: int) -> tuple[int, int]:
    """ns of the last check of new entries and of the last one of all; zeros if that is due."""
    try:
        with open(stamp, encoding="ascii") as stream:
            last, full = map(int, stream.read(64).split())
    except (OSError, ValueError):
        return 0, 0
    sound = full <= last <= now and now - full < _FULL_EVERY
    return (last, full) if sound else (0, 0)


def prune(folders: list[Path], limit: int) -> int:
    """Removes the entries longest unused until at most ``limit`` bytes are left; how many."""
    entries = [entry for folder in folders for entry in found(folder)]
    size = sum(told.st_size for _, told in entries)
    entries.sort(key=lambda entry: max(entry[1].st_atime_ns, entry[1].st_mtime_ns))
    dropped = 0
    for path, told in entries:
        if size <= limit:
            break
        path.unlink(missing_ok=True)
        size -= told.st_size
        dropped += 1
    return dropped
