"""An event file: scalars, texts, histograms and other summaries.

Values are written as the plugins' tensors, about twenty scalars to an event (an event a value costs
ten times as much).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convergence.reporting.files import StorageError
from convergence.reporting.tensorboard.run_names import EVENT_FILES

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

_VALUES_PER_EVENT = 20
_BUCKETS = 30  # of a histogram


def _file_name() -> str:
    """Event files of a run are read in the order of their names, so by the time to a nanosecond."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    return f"{EVENT_FILES}{seconds:010d}.{rest:09d}.{os.getpid()}"


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

        self.summary(text_pb(tag, markdown), step)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        """Writes the distribution of the values that are finite; nothing where there is none.

        Args:
            values: [n] numbers.
        """
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if len(finite):
            self.summary(histogram_pb(tag, finite, buckets=_BUCKETS), step)

    def summary(self, summary: Summary, step: int) -> None:
        """Writes a plugin's summary."""
        event = self._proto.Event(summary=summary)
        for value in event.summary.value:
            if value.tag in self._described:
                value.ClearField("metadata")
            self._described.add(value.tag)
        self._add(event, step, None)

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

    def __exit__(self, *error: object) -> None:
        self.close()
