"""How far a study is: a bar on a terminal's stderr, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_INTERVALS = 32  # between updates, of which the pace is the median
_NARROWEST_BAR = 6
_PER_SECOND = 4  # how often the bar is drawn, by a thread beside the training


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


def countdown(seconds: float) -> str:
    """Seconds as a clock shows them, short enough for a bar.

    >>> countdown(8.2), countdown(125), countdown(7300)
    ('0:08', '2:05', '2:01:40')
    """
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def rate(per_second: float) -> str:
    """A number of trial-steps a second, to three digits.

    >>> rate(87.5), rate(12345), rate(2.5e6)
    ('88 trial-steps/s', '12.3k trial-steps/s', '2.5M trial-steps/s')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= size:
            return f"{float(f'{per_second / size:.3g}'):g}{letter} trial-steps/s"
    return f"{per_second:.0f} trial-steps/s"


class Pace:
    """How fast trial-steps are done, from when the host last looked.

    The median over the latest intervals, weighted by their steps: an interval in which a program
    was compiled hardly counts, and where the next arms are slower or faster the pace follows.
    """

    def __init__(self) -> None:
        self._at: tuple[float, int] | None = None
        self._intervals: deque[tuple[float, int]] = deque(maxlen=_INTERVALS)

    def add(self, now: float, done: int) -> None:
        """So many trial-steps are done at this time, in seconds.

        The first call only begins: what went before it held the compiling, or was done earlier.
        """
        if self._at is not None and done > self._at[1] and now > self._at[0]:
            steps = done - self._at[1]
            self._intervals.append(((now - self._at[0]) / steps, steps))
        self._at = (now, done)

    @property
    def seconds_a_step(self) -> float | None:
        """Seconds for one trial-step; None while nothing is known."""
        half, passed = sum(steps for _, steps in self._intervals) / 2, 0
        for seconds, steps in sorted(self._intervals):
            passed += steps
            if passed >= half:
                return seconds
        return None


def fitted(title: str, parts: Mapping[str, str], room: int) -> tuple[str, str]:
    """Title and text of a bar that fit into so many columns beside the bar itself.

    What gives way first: the note, the title, the rate, how many diverged.

    Args:
        parts: ``rate``, ``left``, ``diverged`` and ``note``, in this order, where there are any.
    """
    kept = dict(parts)
    for loses in ("", "note", "title", "rate", "diverged"):
        kept.pop(loses, None)
        title = "" if loses == "title" else title
        text = ", ".join(kept.values())
        if len(title) + 1 + len(text) <= room:
            break
    return title, text


class Progress:
    """A bar of a study in trial-steps (trials × steps) on a terminal; a context manager.

    Args:
        title: what is running.
        stream: where to write; stderr if None. Nothing is written where it is no terminal.
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
        self._pace = Pace()
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
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}", markup=False),
            console=Console(file=self._stream),
            transient=True,
            expand=True,
            refresh_per_second=_PER_SECOND,
        )
        self._task = self._bar.add_task(self.title, total=None, told="starting")
        self._bar.start()

    def update(self, done_steps: int, total_steps: int, diverged: int = 0, note: str = "") -> None:
        """Tells how many trial-steps are done, how many trials diverged, and a word of the moment.

        Args:
            done_steps: trial-steps done, those of an earlier run (on resumption) included.
            total_steps: trial-steps in all.
        """
        if self._bar is None or self._task is None:
            return
        self._pace.add(self._clock(), done_steps)
        share = f"{100 * done_steps / total_steps if total_steps else 100:3.0f} %"
        room = self._bar.console.width - _NARROWEST_BAR - len(share) - 3  # spaces between them
        parts = self._parts(done_steps, total_steps, diverged, note)
        title, text = fitted(self.title, parts, room)
        self._bar.update(
            self._task,
            description=title,
            completed=done_steps,
            total=total_steps,
            told=f"{share} {text}".rstrip(),
        )

    def _parts(self, done: int, total: int, diverged: int, note: str) -> dict[str, str]:
        seconds = self._pace.seconds_a_step
        parts = {}
        if seconds:
            parts["rate"] = rate(1 / seconds)
            parts["left"] = f"{countdown((total - done) * seconds)} left"
        if diverged:
            parts["diverged"] = f"{diverged} diverged"
        return parts | ({"note": note} if note else {})

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __exit__(self, *error: object) -> None:
        self.close()
