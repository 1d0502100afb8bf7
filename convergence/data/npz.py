"""Arrays from an NPZ file that nobody vouches for: no pickles, no more bytes than declared."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from convergence.data import paths
from convergence.errors import UserError

MAX_BYTES = 4 << 30
# A small archive may be anything; a larger one that shrank a thousandfold is a trap or all zeros.
FREE_BYTES = 256 << 20
MAX_RATIO = 200


def _check_sizes(archive: zipfile.ZipFile, file: Path, field: str) -> None:
    total = sum(entry.file_size for entry in archive.infolist())
    packed = sum(entry.compress_size for entry in archive.infolist())
    if total > MAX_BYTES:
        raise UserError(
            f"{file.name} unpacks to {total / 2**30:.1f} GiB; at most 4 are read.", field
        )
    if total > FREE_BYTES and total > MAX_RATIO * max(1, packed):
        raise UserError(
            f"{file.name} unpacks to {total // max(1, packed)} times its size, which looks like a "
            "trap; save it uncompressed with numpy.savez.",
            field,
        )
    names = [entry.filename for entry in archive.infolist()]
    if len(set(names)) < len(names):
        raise UserError(f"{file.name} holds two members of one name.", field)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a .npy member declares; ValueError if it is none."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise ValueError("version")
    return shape, dtype


def _read_member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, field: str
) -> np.ndarray:
    with archive.open(entry) as member:
        shape, dtype = _header(member)
    if dtype.kind not in "biufUS":
        raise UserError(f"{where} holds values of type {dtype}; give numbers.", field)
    if math.prod(shape) * dtype.itemsize > entry.file_size:
        raise UserError(f"{where} declares more values than it holds; write the file anew.", field)
    with archive.open(entry) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def read_arrays(path: str, wanted: tuple[str, ...] | None, field: str) -> dict[str, np.ndarray]:
    """The wanted arrays of an NPZ file, those that it has; all of them if None.

    Every member is looked at, also those not wanted: an archive with a pickle in it is refused.

    Args:
        path: as the user gave it.
        wanted: names of arrays, without ``.npy``.
        field: the flag to name in errors.

    Raises:
        UserError: no whole archive, too large unpacked, or a member that holds Python objects.
    """
    file = paths.check_file(path, field)
    found: dict[str, np.ndarray] = {}
    where = file.name
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, file, field)
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                where = f"{file.name}, member {name!r}:"
                _refuse_objects(archive, entry, where, field)
                if (wanted is None or name in wanted) and entry.filename.endswith(".npy"):
                    found[name] = _read_member(archive, entry, where, field)
    # What zipfile raises: NotImplementedError for a compression that it cannot undo, RuntimeError
    # for an encrypted member.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{where} is damaged or not a plain archive; write it anew.", field
        ) from error
    except ValueError as error:
        raise UserError(f"{where} is not a NumPy array; write the file anew.", field) from error
    return found


def _refuse_objects(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, field: str
) -> None:
    refusal = UserError(
        f"{where} holds Python objects (a pickle), which are never loaded because they can run "
        "code; save plain numbers.",
        field,
    )
    with archive.open(entry) as member:
        head = member.read(16)
    if paths.is_pickle(head):
        raise refusal
    if not head.startswith(b"\x93NUMPY"):
        return
    with archive.open(entry) as member:
        _, dtype = _header(member)
    if dtype.hasobject:
        raise refusal
