"""Progress on a terminal, in a pipe, and in silence."""

from __future__ import annotations

import io

import pytest

from convergence.reporting.progress import Progress


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


def test_lines_now_and_then() -> None:
    """Protects logs: at most a line each 20 s, with rate, time left and how many diverged."""
    clock, stream = Clock(), io.StringIO()
    with Progress("weights", stream=stream, clock=clock) as progress:
        progress.update(1000, 9000)  # 1,000 were done by an earlier run
        for _ in range(40):
            clock.now += 1
            progress.update(1000 + int(clock.now - 100) * 100, 9000, 2, "block 1 of 3")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0] == ("weights: 33 % 100 trial-steps/s, 1 min 0 s left, 2 diverged, block 1 of 3")


def test_bar_on_a_terminal_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the bar: it draws, takes no markup from names, and goes when it is done."""
    monkeypatch.setenv("TERM", "xterm")
    clock, stream = Clock(), Terminal()
    with Progress("[bold]arm", stream=stream, clock=clock) as progress:
        progress.update(0, 10)
        clock.now += 1
        progress.update(5, 10, note="[red]")
    assert "[bold]arm" in stream.getvalue()
    assert "50 %" in stream.getvalue()
    progress.close()


def test_silence() -> None:
    """Protects the tests' and users' output: short runs in pipes, and quiet ones, say nothing."""
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        with Progress("x", stream=stream, quiet=quiet) as progress:
            progress.update(0, 0)
            progress.update(5, 10)
        assert stream.getvalue() == ""
