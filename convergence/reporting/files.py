"""Files are written whole or not at all, and read without trusting them.

Every write goes to a temporary name in the same folder, is flushed to the disk and then renamed, so
that a reader (or a process killed half-way) never sees half a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

TEMPORARY_SUFFIX = ".part"


class StorageError(OSError):
    """The system refused a write (disk full, no permission, …); nothing half-written was left."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error), str(path))
        self.path = path

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.strerror}."


class CorruptFile(Exception):
    """A file that is there but does not hold what it should.

    Args:
        path: the file.
        why: what is wrong with it, in a few words.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path} is corrupt: {self.why}."


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream that becomes ``path`` when the block ends, and leaves nothing if it fails.

    Raises:
        StorageError: if the system refuses any part of the write.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the file system can (not all can sync a folder)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes whole; raises StorageError."""
    with whole(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole; raises StorageError."""
    write_bytes(path, text.encode("utf-8", errors="replace"))


def plain(value: Any) -> Any:
    """The value as strict JSON: dicts, lists, strings, numbers, booleans and None only.

    NumPy (and JAX) arrays become nested lists, dataclasses dicts, sets sorted lists, paths strings;
    NaN becomes None and the infinities the strings "inf" and "-inf".

    Raises:
        TypeError: for a value that has no plain form.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return plain(_scalar(value))
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return plain(_scalar(array) if array.ndim == 0 else list(array))
    raise TypeError(f"{type(value).__name__} has no plain JSON form")


def _scalar(value: np.generic | np.ndarray) -> Any:
    item = value.item()
    return float(item) if isinstance(item, np.generic) else item  # ml_dtypes' floats stay generic


def write_json(path: Path, value: Any) -> None:
    """Writes `plain(value)` as indented strict JSON; raises StorageError."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        FileNotFoundError: if there is none.
        CorruptFile: if it is not UTF-8 JSON.
    """
    data = Path(path).read_bytes()
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(Path(path), f"not JSON ({error})") from error


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name as an uncompressed NPZ, whole; any name is allowed ("file" too).

    Raises:
        StorageError: if the system refuses.
        TypeError: for an array of objects, or of a type that NumPy alone could not read back.
    """
    plain_arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain_arrays.items():
        if array.dtype.kind in "OV":
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which NPZ cannot hold safely")
    with whole(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in plain_arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an NPZ written by `write_npz`, by name, after checking their checksums.

    Args:
        names: of the arrays to read, as far as they are there; None for all.

    Raises:
        FileNotFoundError: if there is none.
        CorruptFile: if it is truncated, damaged, compressed, or holds objects (a pickle).
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            return {
                member.filename.removesuffix(".npy"): _member(archive, member)
                for member in archive.infolist()
                if names is None or member.filename.removesuffix(".npy") in names
            }
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # a damaged zip raises nearly anything
        raise CorruptFile(path, str(error) or type(error).__name__) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed, which no file of ours is")
    data = io.BytesIO(archive.read(member))  # reads to the end, so the CRC is checked
    version = np.lib.format.read_magic(data)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(data)
    # A header may promise more than there is; check before NumPy allocates what it promises.
    if (
        dtype.hasobject
        or math.prod(shape) * dtype.itemsize != data.getbuffer().nbytes - data.tell()
    ):
        raise ValueError(f"{member.filename} does not hold the array that its header promises")
    data.seek(0)
    array: np.ndarray = np.lib.format.read_array(data, allow_pickle=False)
    return array


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """Writes a table, one column a name, whole; numbers of mixed type become floats.

    Raises:
        StorageError: if the system refuses.
    """
    import polars

    frame = polars.DataFrame({name: _column(values) for name, values in columns.items()})
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_bytes(path, buffer.getvalue())


def _column(values: Sequence[Any] | np.ndarray) -> Any:
    if isinstance(values, np.ndarray):
        return values
    items = [item.item() if isinstance(item, np.generic) else item for item in values]
    numbers = [item for item in items if isinstance(item, int | float)]
    if any(isinstance(item, float) for item in numbers):
        return [float(item) if isinstance(item, int) else item for item in items]
    return items


def read_parquet(path: Path) -> dict[str, list[Any]]:
    """The columns of a table; raises FileNotFoundError or CorruptFile."""
    import polars

    data = Path(path).read_bytes()
    try:
        return polars.read_parquet(io.BytesIO(data)).to_dict(as_series=False)
    except Exception as error:  # polars raises its own and plain errors for damaged files
        raise CorruptFile(Path(path), str(error).splitlines()[0]) from error
