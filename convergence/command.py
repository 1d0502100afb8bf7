"""What surrounds an experiment's `main`: environment, signals, exit status and the help page."""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import gc
import os
import re
import shlex
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from convergence.errors import UserError
from convergence.names import RATE_FREE
from convergence.userfile import OWN

DONE, FAULT, MISTAKE, INTERRUPTED = 0, 1, 2, 130
PLATFORMS = ("auto", "cpu", "gpu", "tpu")
_WIDTH = 80


@dataclasses.dataclass(frozen=True)
class FlagHelp:
    """One flag on the help page."""

    group: str
    name: str
    default: str
    help: str


class Parser(argparse.ArgumentParser):
    """argparse for the scripts: flags in full, and mistakes told in one line, with status 2."""

    def __init__(self, name: str, docstring: str) -> None:
        super().__init__(
            prog=name,
            description=textwrap.dedent(docstring).strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_own_files(self) -> None:
        """A flag for each field that may name a user's own file, which may have moved since."""
        for field, what in OWN.items():
            about = f"where your own {what}'s file is, if it is one"
            self.add_argument(f"--{field}", metavar="FILE", default="", help=about)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong and exits."""
        say(f"{self.prog}: {message.rstrip('.')}; see --help.")
        sys.exit(MISTAKE)


def set_environment(platform: str) -> None:
    """Chooses JAX's platform, before JAX is imported.

    Args:
        platform: one of `PLATFORMS`; auto leaves the choice to JAX (and JAX_PLATFORMS).
    """
    if platform != "auto":
        # The CPU stays available beside an accelerator, for work on the host.
        os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}[platform]


def spare_the_collector() -> None:
    """Lets Python's garbage collector look less often, and not at all when the process ends.

    Imports and tracing make hundreds of thousands of objects that stay: looking through them time
    and again takes a tenth of a short command, and the last look, at exit, another tenth.
    """
    gc.set_threshold(max(50_000, gc.get_threshold()[0]), *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def check_platform(platform: str) -> None:
    """Raises UserError where the platform was asked for and JAX cannot use it (it says so late)."""
    if platform not in ("gpu", "tpu"):
        return
    import jax

    try:
        found = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["no device found"])[0]
        raise UserError(f"JAX finds no {platform} here ({reason}).", "platform") from error
    if found != platform:
        raise UserError(
            f"JAX finds no {platform} here, only {found}; install JAX for it (see README), or "
            "leave the flag out.",
            "platform",
        )


def say(message: str) -> None:
    """A line to stderr, flushed, whatever its state."""
    print(message, file=sys.stderr, flush=True)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def resume_command(arguments: Sequence[str]) -> str:
    """The command line that continues this one."""
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    program = f"python -m {module.name}" if module else f"python {shlex.quote(sys.argv[0])}"
    switches = re.compile(r"--?(no)?(overwrite|resume)(=.*)?")
    kept = [shlex.quote(argument) for argument in arguments if not switches.fullmatch(argument)]
    return " ".join([program, *kept, "--resume"])


def guarded(
    main: Callable[[], Any], name: str, workdir: Path | None, arguments: Sequence[str]
) -> int:
    """Runs ``main`` and returns the exit status; tells in a line or two what ended it.

    ``workdir`` is the folder that ``--resume`` would continue; None where there is nothing to.

    A mistake of the user's gives 2 and a full disk 1, without a traceback; Ctrl-C and SIGTERM 130,
    with the command that continues the study; anything else is our fault: a traceback and 1.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        main()
        sys.stdout.flush()
        return DONE
    except UserError as error:
        # Scripts that begin no study take their folders without a flag.
        flagless = workdir is None and error.field == "workdir"
        say(f"{name}: {error.sentence if flagless else error}")
        return MISTAKE
    except KeyboardInterrupt:
        if workdir is None:
            say(f"\n{name}: interrupted; nothing was written.")
            return INTERRUPTED
        begun = (workdir / "manifest.json").exists()
        further = f"; continue with: {resume_command(arguments)}" if begun else " before it began."
        say(f"\n{name}: interrupted{further}")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone; nothing can be told to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    except Exception as error:
        if isinstance(error, OSError) and _told_by_system(error):
            where = f" ({error.filename})" if error.filename else ""
            told = str(error) if str(error).endswith(".") else f"{error.strerror}{where}."
            say(f"{name}: {told}")
        else:
            traceback.print_exc()
        return FAULT


def _told_by_system(error: OSError) -> bool:
    """Whether the error is the disk's, not the program's."""
    import errno

    from convergence.reporting.files import StorageError

    full = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
    return isinstance(error, StorageError) or error.errno in full


def help_page(docstring: str, flags: Sequence[FlagHelp]) -> str:
    """The experiment's docstring and its flags by group, at most 80 columns wide."""
    lines = [textwrap.dedent(docstring).strip(), ""]
    groups: dict[str, list[FlagHelp]] = {}
    for flag in flags:
        groups.setdefault(flag.group, []).append(flag)
    for group, members in groups.items():
        lines.append(f"{group}:")
        for flag in members:
            head = f"  --{flag.name}={flag.default}"
            if len(head) <= 30:
                first, rest = f"{head:<31} ", flag.help
            else:
                lines.append(head)
                first, rest = " " * 32, flag.help
            lines += textwrap.wrap(
                rest, _WIDTH, initial_indent=first, subsequent_indent=" " * 32
            ) or [first.rstrip()]
        lines.append("")
    lines.append("After = stands the default; --flagfile=FILE reads flags from a file, one a line.")
    lines.append("Exit status: 0 done, 2 a mistake in flags or data, 1 a fault of the program.")
    return "\n".join(lines)


def usual_rate(values: Mapping[str, Any]) -> float:
    """The rate where none was given: a file's own, or that at which an optimiser is documented."""
    rate: float = values["learning_rate"]
    if values["schedule"].lower().endswith(".csv"):
        from convergence.ratefile import peak_rate  # NumPy is slow to start

        return peak_rate(values["schedule"]) or rate
    return RATE_FREE.get(values["optimizer"], rate)


def preset_values(
    presets: Mapping[str, Mapping[str, Any]], preset: str, known: Sequence[str]
) -> dict[str, Any]:
    """A preset's values by field name; KeyError if it names a field that nobody knows."""
    values = dict(presets.get(preset, {}))
    for name in values:
        if name not in known:
            raise KeyError(f"preset {preset!r} sets {name!r}, which is no flag")
    return values
