"""How far a study is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_SECONDS_BETWEEN_LINES = 20.0


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(8.2), duration(125), duration(7300)
    ('8 s', '2 min 5 s', '2 h 1 min')
    """
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Progress:
    """Progress of a study in trial-steps (trials × steps); a context manager.

    Args:
        title: what is running.
        stream: where to write; stderr if None. A terminal gets a bar, anything else a plain line
            every 20 s at most, so that a short run in a pipe says nothing.
        quiet: say nothing at all.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        title: str,
        *,
        stream: TextIO | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title = title
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._clock = clock
        self._began = self._spoke = clock()
        self._first: int | None = None  # trial-steps that an earlier run had done
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        if not self._quiet and self._stream.isatty():
            self._start_bar()
        return self

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} % {task.fields[told]}", markup=False),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task(self.title, total=None, told="")
        self._bar.start()

    def update(self, done_steps: int, total_steps: int, diverged: int = 0, note: str = "") -> None:
        """Tells how many trial-steps are done, how many trials diverged, and a word of the moment.

        Args:
            done_steps: trial-steps done, those of an earlier run (on resumption) included.
            total_steps: trial-steps in all.
        """
        if self._first is None:
            self._first = done_steps
        told = self._told(done_steps, total_steps, diverged, note)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done_steps, total=total_steps, told=told)
        elif not self._quiet and self._clock() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = self._clock()
            share = 100 * done_steps / total_steps if total_steps else 100
            print(f"{self.title}: {share:.0f} % {told}", file=self._stream, flush=True)

    def _told(self, done: int, total: int, diverged: int, note: str) -> str:
        elapsed, fresh = self._clock() - self._began, done - (self._first or 0)
        parts = []
        if elapsed > 0 and fresh > 0:
            rate = fresh / elapsed
            parts += [f"{rate:,.0f} trial-steps/s", f"{duration((total - done) / rate)} left"]
        if diverged:
            parts.append(f"{diverged} diverged")
        if note:
            parts.append(note)
        return ", ".join(parts)

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
