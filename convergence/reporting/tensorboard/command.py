"""The command line that shows the runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def command(folder: str | Path) -> str:
    """The command line that shows these runs: of this interpreter's environment, if it has one.

    Quoted for a POSIX shell, so that it can be pasted whatever the path holds.
    """
    program = Path(sys.executable).parent / "tensorboard"
    if not program.exists() or sys.prefix == sys.base_prefix:
        program = Path("tensorboard")
    elif program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.join([str(program), f"--logdir={folder}"])
