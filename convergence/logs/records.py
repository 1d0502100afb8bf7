"""The records of an event file: framed, with checksums; read whole, and only as far as they are.

A record is its length (8 bytes), the length's checksum (4), the data, and the data's checksum (4);
a checksum is a masked CRC-32C. TensorBoard's own reader computes them byte by byte in Python, which
takes most of its time; here those of all short records are computed together.
"""

from __future__ import annotations

import struct

import numpy as np

FRAME = 16  # bytes about a record's data
LONGEST_CHECKED = 512  # bytes of a record; scalars are shorter, histograms and graphs longer
MASK = 0xA282EAD8


def _table() -> np.ndarray:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> np.uint32(1)) ^ np.uint32(0x82F63B78), crc >> np.uint32(1))
    return crc.astype(np.uint32)


def split(data: bytes) -> tuple[list[tuple[int, int]], str]:
    """Where the whole records' data lie: (first byte, length) each; and what is wrong, or ''.

    Reading ends at the first record that is cut off or whose length cannot be: nothing after it
    can be found.
    """
    found: list[tuple[int, int]] = []
    at, end = 0, len(data)
    while at < end:
        if end - at < 12:
            return found, "is cut off"
        (length,) = struct.unpack_from("<Q", data, at)
        if length > end - at - FRAME:
            heads = np.frombuffer(data[at : at + 8], np.uint8)[None]
            (told,) = struct.unpack_from("<I", data, at + 8)
            whole = int(masked_checksums(heads, np.array([8]))[0]) == told
            return found, "is cut off" if whole else f"is damaged at byte {at}"
        found.append((at + 12, length))
        at += length + FRAME
    return found, ""


def masked_checksums(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """uint32[n]: masked CRC-32C of the first bytes of each row.

    Args:
        rows: uint8[n, longest].
        lengths: [n] how many bytes of each row count, ascending.
    """
    table = _table()
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    first = 0
    for column in range(rows.shape[1]):
        while first < len(rows) and lengths[first] <= column:
            first = int(np.searchsorted(lengths, column, side="right"))
        part = crc[first:]
        crc[first:] = table[(part ^ rows[first:, column]) & 0xFF] ^ (part >> np.uint32(8))
    crc = ~crc
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(MASK)


def damaged(data: bytes, places: list[tuple[int, int]]) -> set[int]:
    """Indices of the records whose data do not fit their checksum (long ones are not checked)."""
    checked = [k for k, (_, length) in enumerate(places) if length <= LONGEST_CHECKED]
    if not checked:
        return set()
    order = np.array(sorted(checked, key=lambda k: places[k][1]))
    starts = np.array([places[k][0] for k in order])
    lengths = np.array([places[k][1] for k in order])
    raw = np.frombuffer(data, np.uint8)
    wrong: set[int] = set()
    for first in range(0, len(order), 4096):  # bounds the memory of the rows
        part = slice(first, first + 4096)
        reach = starts[part, None] + np.arange(int(lengths[part][-1]))
        rows = raw[np.minimum(reach, len(raw) - 1)]
        told = starts[part, None] + lengths[part, None] + np.arange(4)
        words = raw[told].astype(np.uint32) << np.array([0, 8, 16, 24], np.uint32)
        same = masked_checksums(rows, lengths[part]) == words.sum(axis=1, dtype=np.uint32)
        wrong.update(int(k) for k in order[part][~same])
    return wrong
