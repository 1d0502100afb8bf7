"""Curves from a TensorBoard log directory, whoever wrote it.

Scalars are found as ``simple_value`` (TensorFlow 1, tensorboardX, PyTorch) and as tensors of the
scalar plugin (TensorFlow 2, Keras, ours).
"""

from __future__ import annotations

import math
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from convergence.errors import UserError
from convergence.logs import records
from convergence.logs.curve import Curve

EVENTS = re.compile(r".*tfevents.*")
MAX_BYTES = 2 << 30  # of one event file
DEEPEST = 12  # folders below the one given
_FORMATS = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # TensorFlow's types: float, double, int32, int64


def event_files(root: Path) -> dict[str, list[Path]]:
    """Event files below a folder, by the run that they are of (its path within the folder)."""
    found: dict[str, list[Path]] = {}
    for folder, below, files in os.walk(root, followlinks=False):
        below.sort()
        inside = Path(folder).relative_to(root)
        if len(inside.parts) >= DEEPEST:
            below.clear()
        mine = [Path(folder) / name for name in sorted(files) if EVENTS.fullmatch(name)]
        mine = [path for path in mine if path.is_file()]
        if mine:
            found["" if str(inside) == "." else inside.as_posix()] = mine
    return found


class _Tags:
    """The points of one run, by tag, as they were written."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[int, float, int]]] = {}
        self.plugins: dict[str, str] = {}

    def add(self, event: Any, file: int) -> None:
        for value in event.summary.value:
            number = self._number(value)
            if number is not None:
                self.points.setdefault(value.tag, []).append((event.step, number, file))

    def _number(self, value: Any) -> float | None:
        which = value.WhichOneof("value")
        if which == "simple_value":
            return float(value.simple_value)
        if which != "tensor":
            return None
        if value.HasField("metadata"):  # told with a tag's first value only
            self.plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
        if self.plugins.get(value.tag, "scalars") != "scalars":
            return None
        return _scalar(value.tensor)


def _scalar(tensor: Any) -> float | None:
    """The number in a tensor of one; None for any other tensor."""
    if math.prod(one.size for one in tensor.tensor_shape.dim) != 1:
        return None
    form = _FORMATS.get(tensor.dtype)
    if form is None:
        return None
    if tensor.tensor_content:
        if len(tensor.tensor_content) != struct.calcsize(form):
            return None
        return float(struct.unpack(form, tensor.tensor_content)[0])
    for field in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if len(field) == 1:
            return float(field[0])
    return None


def _read_into(tags: _Tags, path: Path, file: int) -> str:
    """Reads an event file; what is wrong with it, or ''."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import event_pb2

    try:
        if path.stat().st_size > MAX_BYTES:
            return "is larger than 2 GiB and was left out"
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not data:
        return "is empty"
    places, why = records.split(data)
    wrong = records.damaged(data, places)
    unread = 0
    for k, (first, length) in enumerate(places):
        if k in wrong:
            continue
        try:
            tags.add(event_pb2.Event.FromString(data[first : first + length]), file)
        except DecodeError:
            unread += 1
    spoiled = len(wrong) + unread
    if not places or spoiled == len(places):
        return "is no event file"
    if spoiled:
        why = f"{spoiled} damaged records left out" + (f", and it {why}" if why else "")
    elif why:
        why = f"{why}; what stands before was read"
    return why


def _curves(run: str, tags: _Tags, files: int) -> list[Curve]:
    """A curve for each tag; files that overlap throughout are curves of their own."""
    found = []
    for tag, points in tags.points.items():
        steps = np.array([point[0] for point in points], np.float64)
        values = np.array([point[1] for point in points])
        origin = np.array([point[2] for point in points])
        if files > 1 and _side_by_side(steps, origin):
            for file in np.unique(origin):
                mine = origin == file
                name = f"{run}#{file + 1}" if run else f"#{file + 1}"
                told = ("several event files hold this tag side by side",)
                found.append(Curve(name, tag, steps[mine], values[mine], told))
        else:
            found.append(Curve(run, tag, steps, values))
    return found


def _side_by_side(steps: np.ndarray, origin: np.ndarray) -> bool:
    """Whether files cover the same steps from the beginning, as runs that share a folder do."""
    parts = [steps[origin == file] for file in np.unique(origin)]
    if len(parts) < 2:
        return False
    first = [part[0] for part in parts]
    last = [part[-1] for part in parts]
    return min(last) > max(first) and max(first) - min(first) <= 0.02 * (max(last) - min(first))


def read_file(path: Path) -> tuple[list[Curve], list[str]]:
    """As `read`, of a single event file."""
    return _read({"": [path]}, path.parent)


def read(root: Path) -> tuple[list[Curve], list[str]]:
    """The curves below a folder of logs, and sentences on files that could not be read whole.

    Raises:
        UserError: there is no event file, or none of them holds a scalar.
    """
    runs = event_files(root)
    if not runs:
        raise UserError(
            f"{root} holds no event files (…tfevents…) and no study of ours; give a log directory, "
            "a study's folder, or a CSV or NPZ file."
        )
    return _read(runs, root)


def _read(runs: dict[str, list[Path]], root: Path) -> tuple[list[Curve], list[str]]:
    found: list[Curve] = []
    told: list[str] = []
    for run, paths in runs.items():
        tags = _Tags()
        for file, path in enumerate(paths):
            if why := _read_into(tags, path, file):
                told.append(f"{path.relative_to(root)} {why}.")
        found += _curves(run, tags, len(paths))
    if not found:
        why = f" {told[0]}" if told else ""
        raise UserError(f"no event file in {root} holds a scalar.{why}")
    return found, told
