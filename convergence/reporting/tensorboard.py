"""TensorBoard event files without TensorFlow: scalars, text and percentile bands.

Values are written as the scalar plugin's tensors, about twenty to an event (an event a value costs
ten times as much); read them back with ``EventAccumulator(folder, {"tensors": 0})``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.reporting.files import StorageError

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

_VALUES_PER_EVENT = 20
_LONGEST_NAME = 80
_EVENT_FILES = "events.out.tfevents."
BANDS = ("mean", "median", "p10", "p90")


def safe_name(name: str) -> str:
    """A folder's name for an arm: plain characters only, and different for different arms.

    >>> safe_name("schedule=cosine"), safe_name("../x")
    ('schedule=cosine', 'x-d6b96a97')
    """
    plain = re.sub(r"[^A-Za-z0-9._=+,-]+", "_", name).strip("._-")[:_LONGEST_NAME]
    if plain and plain == name:
        return plain
    tail = hashlib.sha256(name.encode("utf-8", errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}-{tail}" if plain else tail


def _file_name() -> str:
    """Event files of a run are read in the order of their names, so by the time to a nanosecond."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    return f"{_EVENT_FILES}{seconds:010d}.{rest:09d}.{os.getpid()}"


class Writer:
    """Writes one event file into a run's folder.

    Args:
        logdir: the run's folder, made if it is missing.
        purge_step: on resumption, the first step that is written again: what an earlier event file
            of this run holds from there on is no longer shown.

    Raises:
        StorageError: from any method, if the system refuses the write.
    """

    def __init__(self, logdir: str | Path, purge_step: int | None = None) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._proto = event_pb2
        # Its EventFileWriter writes from a thread, where a full disk would end in a traceback.
        self._path = Path(logdir) / _file_name()
        self._described: set[str] = set()  # a tag's metadata goes with its first value only
        with self._telling():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = RecordWriter(open(self._path, "xb"))  # noqa: SIM115
        self._add(event_pb2.Event(file_version="brain.Event:2"), 0, None)
        # Readers take only a second session start for a restart, so the first writer needs one.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(event_pb2.Event(session_log=start), purge_step or 0, None)

    def _add(self, event: Event, step: int, wall_time: float | None) -> None:
        event.step = int(step)
        event.wall_time = time.time() if wall_time is None else wall_time
        with self._telling():
            self._writer.write(event.SerializeToString())

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(self._path, error) from error

    def scalars(
        self, step: int, values: Mapping[str, float], wall_time: float | None = None
    ) -> None:
        """Writes values by tag at one step; NaN and infinities are kept as they are.

        Args:
            step: 0, 1, 2, …
            values: tag → number.
            wall_time: seconds since the epoch; now if None.
        """
        items = list(values.items())
        for first in range(0, len(items), _VALUES_PER_EVENT):
            event = self._proto.Event()
            for tag, value in items[first : first + _VALUES_PER_EVENT]:
                self._add_scalar(event, tag, float(value))
            self._add(event, step, wall_time)

    def _add_scalar(self, event: Event, tag: str, value: float) -> None:
        from tensorboard.compat.proto import types_pb2
        from tensorboard.plugins.scalar import metadata

        item = event.summary.value.add(tag=tag)
        item.tensor.dtype = types_pb2.DT_FLOAT
        item.tensor.tensor_shape.SetInParent()  # a scalar: a shape of no dimensions
        # Beyond float32's range protobuf would refuse; an infinity says the same on a chart.
        with np.errstate(over="ignore"):
            item.tensor.float_val.append(float(np.float32(value)))
        if tag not in self._described:
            self._described.add(tag)
            item.metadata.CopyFrom(metadata.create_summary_metadata(None, None))

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Writes a Markdown text."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(self._proto.Event(summary=text_pb(tag, markdown)), step, None)

    def layout(self, tags: Iterable[str]) -> None:
        """Writes a custom-scalars layout: for each tag a margin chart of its mean within p10–p90.

        Belongs into the root folder of all runs; the bands are those of `write_arm`.
        """
        from tensorboard.plugins.custom_scalar import layout_pb2, metadata
        from tensorboard.util import tensor_util

        series = layout_pb2.MarginChartContent.Series
        charts = [
            layout_pb2.Chart(
                title=tag,
                margin=layout_pb2.MarginChartContent(
                    series=[series(value=f"{tag}/mean", lower=f"{tag}/p10", upper=f"{tag}/p90")]
                ),
            )
            for tag in tags
        ]
        category = layout_pb2.Category(title="bands over seeds", chart=charts)
        layout = layout_pb2.Layout(category=[category]).SerializeToString()
        event = self._proto.Event()
        # The plugin's own helper for this needs TensorFlow.
        event.summary.value.add(
            tag=metadata.CONFIG_SUMMARY_TAG,
            metadata=metadata.create_summary_metadata(),
            tensor=tensor_util.make_tensor_proto(layout, dtype=np.object_),
        )
        self._add(event, 0, None)

    def flush(self) -> None:
        """Writes out what is waiting, so that a running TensorBoard sees it."""
        with self._telling():
            self._writer.flush()

    def close(self) -> None:
        """Writes out what is waiting and closes the file."""
        with self._telling():
            self._writer.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def write_arm(
    folder: str | Path,
    arm: str,
    steps: Any,
    bands: Mapping[str, Mapping[str, Any]],
    text: str = "",
) -> Path:
    """Writes one arm's curves as one run, ``folder/ARM``; written again, it replaces the earlier.

    Args:
        folder: the workdir's ``tb`` folder.
        arm: the arm's name; its folder is `safe_name` of it.
        steps: [points] steps.
        bands: tag → statistic (mean, median, p10, p90, …) → [points] values; ``tag/statistic`` is
            the tag on TensorBoard. Points that are NaN are left out.
        text: Markdown about the arm, shown under Text.

    Returns:
        The run's folder.
    """
    run = Path(folder) / safe_name(arm)
    steps = np.asarray(steps)
    earlier = list(run.glob(_EVENT_FILES + "*"))
    curves = {
        f"{tag}/{statistic}": np.asarray(values, dtype=np.float64)
        for tag, statistics in bands.items()
        for statistic, values in statistics.items()
    }
    for tag, values in curves.items():
        if values.shape != steps.shape:
            raise ValueError(f"{tag} has shape {values.shape}, its steps {steps.shape}")
    for path in earlier:
        path.unlink()
    # A TensorBoard that is running still holds what the earlier files said.
    with Writer(run, purge_step=0 if earlier else None) as writer:
        if text:
            writer.text("arm", text)
        for at, step in enumerate(steps):
            point = {tag: v[at] for tag, v in curves.items() if not np.isnan(v[at])}
            writer.scalars(int(step), point)
    return run


def write_layout(folder: str | Path, tags: Iterable[str]) -> None:
    """Writes the layout of the bands' charts into the root of all runs (the ``tb`` folder)."""
    with Writer(folder) as writer:
        writer.layout(tags)


def command(folder: str | Path) -> str:
    """The command line that shows these runs: of this interpreter's environment, if it has one."""
    program = Path(sys.executable).parent / "tensorboard"
    if not program.exists() or sys.prefix == sys.base_prefix:
        return f"tensorboard --logdir={folder}"
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return f"{program} --logdir={folder}"
