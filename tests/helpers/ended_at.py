"""Runs an experiment that gets a signal at its n-th touch of the disk.

    python ended_at.py SIGNAL N MODULE [flag …]

Touches are the moments at which a file is flushed, given its name, or its folder is flushed; with
N = 0 nothing is sent. At the end, stderr says how many touches there were, and how many seconds
passed since the tenth (when all that a small study needs is compiled).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Sends the signal at the n-th touch of the disk, and runs the module."""
    sent, at, module = signal.Signals[sys.argv[1]], int(sys.argv[2]), sys.argv[3]
    del sys.argv[1:4]
    touches, tenth = 0, 0.0

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def touch(*arguments: Any) -> Any:
            nonlocal touches, tenth
            touches += 1
            if touches == 10:
                tenth = time.monotonic()
            if touches == at:
                os.kill(os.getpid(), sent)
            return function(*arguments)

        return touch

    os.fsync, os.replace = watched(os.fsync), watched(os.replace)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        seconds = time.monotonic() - tenth
        print(f"touches: {touches}, then {seconds:.3f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
