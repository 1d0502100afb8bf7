"""Progress on a terminal, wide and narrow; silence elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.reporting.progress import Pace, Progress, duration, fitted

ROOT = Path(__file__).resolve().parent.parent
DRAWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drawn(columns: int, title: str, updates: str) -> list[str]:
    """The lines that a bar draws on a real pseudo-terminal of so many columns."""
    script = (
        "from convergence.reporting.progress import Progress\n"
        "class Clock:\n"
        "    now = 0.0\n"
        "    def __call__(self):\n"
        "        self.now += 7.0\n"
        "        return self.now\n"
        f"with Progress({title!r}, clock=Clock()) as bar:\n"
        f"    for k in {updates}:\n"
        "        bar.update(k * 100_000, 2_000_000, 12)\n"
        "        bar._bar.refresh()\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=theirs, cwd=ROOT, env=environment
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            said += more
    os.close(ours)
    assert process.returncode == 0
    plain = DRAWN.sub("", said.decode())
    return [line for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_bar_stays_on_one_line(columns: int) -> None:
    """Protects the terminal: bar, pace, time left and diverged trials fit on one line of it."""
    lines = drawn(columns, "five challenges", "range(1, 4)")
    assert max(map(len, lines)) <= columns
    last = lines[-1]
    assert "15 %" in last
    assert "1:59 left" in last
    assert "12 diverged" in last
    assert ("14.3k trial-steps/s" in last) == (columns >= 60)
    assert ("five challenges" in last) == (columns >= 80)
    assert "━" in last


def test_bar_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the bar: it draws, takes no markup from names, and goes when it is done."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    clock, stream = Clock(), Terminal()
    with Progress("[bold]arm", stream=stream, clock=clock) as progress:
        assert progress._bar is not None
        progress._bar.refresh()
        progress.update(0, 10)
        clock.now += 1
        progress.update(5, 10, note="[red]")
        progress._bar.refresh()
    assert "[bold]arm" in stream.getvalue()
    assert "starting" in stream.getvalue()
    assert "50 %" in stream.getvalue()
    assert "0:01 left, [red]" in stream.getvalue()
    progress.close()


def test_silence() -> None:
    """Protects logs and pipes: where there is no terminal, or none is wanted, nothing is said."""
    clock = Clock()
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        with Progress("x", stream=stream, quiet=quiet, clock=clock) as progress:
            progress.update(0, 0)
            clock.now += 1000
            progress.update(5, 10)
        assert stream.getvalue() == ""


def left(seconds_a_step: float | None, steps: int) -> float:
    assert seconds_a_step is not None
    return seconds_a_step * steps


def test_compiling_does_not_spoil_the_time_left() -> None:
    """Protects the time left: ten seconds of compiling before each program's first segment."""
    pace, now, done = Pace(), 0.0, 0
    for _ in range(3):  # programs of 20 segments of 100 steps, one second each
        now += 10
        for _ in range(20):
            now += 1
            done += 100
            pace.add(now, done)
            if done > 200:
                assert left(pace.seconds_a_step, 6000 - done) == pytest.approx((6000 - done) / 100)


def test_nothing_is_told_before_it_is_known() -> None:
    """Protects a resumed study: what an earlier run did says nothing about the pace of this one."""
    pace = Pace()
    assert pace.seconds_a_step is None
    pace.add(1.0, 500_000)
    assert pace.seconds_a_step is None
    pace.add(1.0, 500_000)
    pace.add(3.0, 500_100)
    assert pace.seconds_a_step == pytest.approx(0.02)


def test_the_pace_follows_slower_blocks() -> None:
    """Protects the time left: after a block of wider models it is that block's pace."""
    pace, now, done = Pace(), 0.0, 0
    for seconds in (1.0, 8.0):
        for _ in range(20):
            now += seconds
            done += 100
            pace.add(now, done)
    assert pace.seconds_a_step == pytest.approx(0.08)


@given(st.lists(st.tuples(st.floats(0, 1e4, allow_nan=False), st.integers(0, 10**12)), max_size=80))
def test_any_pace_is_one_of_those_seen(moves: list[tuple[float, int]]) -> None:
    """Protects the bar from nonsense: the pace lies within what was seen."""
    pace, now, done, seen = Pace(), 0.0, 0, []
    pace.add(now, done)
    for seconds, steps in moves:
        if steps and now + seconds > now:
            seen.append((now + seconds - now) / steps)
        now, done = now + seconds, done + steps
        pace.add(now, done)
    if not seen:
        assert pace.seconds_a_step is None
    else:
        assert pace.seconds_a_step is not None
        assert min(seen) <= pace.seconds_a_step <= max(seen)


def test_what_gives_way_first() -> None:
    """Protects a narrow bar: the time left stays longest."""
    parts = {"rate": "9 trial-steps/s", "left": "8 s left", "diverged": "1 diverged", "note": "x"}
    assert fitted("title", parts, 99) == ("title", ", ".join(parts.values()))
    assert fitted("title", parts, 45) == ("title", "9 trial-steps/s, 8 s left, 1 diverged")
    assert fitted("title", parts, 40) == ("", "9 trial-steps/s, 8 s left, 1 diverged")
    assert fitted("title", parts, 30) == ("", "8 s left, 1 diverged")
    assert fitted("title", parts, 5) == ("", "8 s left")
    assert duration(59.6) == "1 min 0 s"
