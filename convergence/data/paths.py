"""A path that the user gave: is it a file of a kind that is read, and not something dangerous?"""

from __future__ import annotations

from pathlib import Path

from convergence.errors import UserError

SUFFIXES = (".csv", ".parquet", ".npz")
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")
# What a file really is, by its first bytes. Text readers decompress some of these unasked.
_MAGIC = (
    (b"\x93NUMPY", "is a NumPy .npy array; save x and y together with numpy.savez"),
    (b"PAR1", "is a Parquet file; name it .parquet"),
    (b"\x1f\x8b", "is compressed with gzip; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; decompress it first"),
    (b"BZh", "is compressed with bzip2; decompress it first"),
    (b"PK\x03\x04", "is a zip archive (a spreadsheet or an NPZ?), not what its name says"),
)


def is_pickle(head: bytes) -> bool:
    """Whether the first bytes are those of a Python pickle (protocol 2 or later)."""
    return len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def check_file(path: str, field: str) -> Path:
    """The path of a readable regular file of a known kind; contents are not read beyond the head.

    Args:
        path: as the user gave it; ``~`` is expanded.
        field: the flag to name in errors.

    Raises:
        UserError: missing, a directory or a device, unreadable, empty, of an unknown kind, or
            with contents that its suffix belies (a pickle above all).
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f"{path} is a directory; give the file itself.", field)
    if not file.exists():
        raise UserError(f"there is no file {path}.", field)
    if not file.is_file():
        raise UserError(f"{path} is not a regular file.", field)
    try:
        with file.open("rb") as handle:
            head = handle.read(16)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", field) from error
    suffix = file.suffix.lower()
    if is_pickle(head) or suffix in _PICKLE_SUFFIXES:
        raise UserError(
            f"{path} holds a Python pickle, which is never loaded because it can run code; save "
            "the data as CSV, Parquet or NPZ.",
            field,
        )
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is of an unknown kind {suffix!r}; give one of {', '.join(SUFFIXES)}.", field
        )
    if not head:
        raise UserError(f"{path} is empty.", field)
    expected = {".csv": b"", ".parquet": b"PAR1", ".npz": b"PK"}[suffix]
    for magic, told in _MAGIC:
        if head.startswith(magic) and not (expected and magic.startswith(expected)):
            raise UserError(f"{path} {told}.", field)
    if not head.startswith(expected):
        raise UserError(
            f"{path} is not a {suffix[1:].upper()} file, whatever its name says.", field
        )
    return file
