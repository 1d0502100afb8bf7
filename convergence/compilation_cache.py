"""Compiled programs are kept on disk, so that the second start of a study need not compile.

They live in ``convergence-lab/xla-…`` below ``$XDG_CACHE_HOME`` (or ``~/.cache``), a folder for
each processor and set of versions: an executable fits the machine that it was compiled on. A
program read back is the one that was written, so its bits are the same. Whoever can write to the
folder can make this user run code; it is the user's alone, and what belongs to somebody else is not
used.

Scripts call `enable`; experiments do so by themselves. The processes that they start inherit it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from convergence import cache_entries
from convergence.errors import UserError
from convergence.reporting import provenance

AUTO, OFF = "auto", ("none", "")
LIMIT = 2**29  # bytes of entries, of all processors and versions
_LEAST_FREE = 2**26  # bytes of free space below which nothing is kept
FLAG = "compilation_cache"
_FALSE = ("false", "0", "no", "off", "n", "f")  # as JAX reads its environment


class _Unusable(Exception):
    """Why a folder cannot keep programs, as the end of a sentence."""


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def identity() -> dict[str, object]:
    """What an executable depends on beside the program itself, as plain JSON.

    The number of usable cores is among it: XLA's compiler for CPUs divides work by it.
    """
    model, features = provenance.processor()
    return {
        "versions": {name: metadata.version(name) for name in ("jax", "jaxlib")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": model,
        "features": features,
        "cores": provenance.usable_cores(),
        "threads": provenance.thread_settings(),
    }


def usual_root() -> Path:
    """Where programs are kept unless told otherwise; raises RuntimeError without a home folder."""
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (told if told.is_absolute() else Path.home() / ".cache") / "convergence-lab"


def folder_in(root: Path) -> Path:
    """The folder below a root that fits this machine and these versions."""
    told = json.dumps(identity(), sort_keys=True)
    return root / f"xla-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _distrust(path: Path, whole: bool) -> None:
    """Raises _Unusable where other users could put programs into a folder.

    Args:
        path: the folder.
        whole: it must be the user's alone; otherwise it is enough that nobody else can rename what
            is the user's in it.
    """
    told = os.lstat(path) if whole else os.stat(path)
    if not stat.S_ISDIR(told.st_mode):
        raise _Unusable(f"{path} is no folder")
    if whole and not cache_entries.ours(told):
        raise _Unusable(f"{path} belongs to another user")
    writable = told.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable and (whole or not told.st_mode & stat.S_ISVTX):
        raise _Unusable(f"other users may write to {path}")


def prepare(root: Path, say: Callable[[str], None] = _to_stderr) -> Path:
    """Makes or opens the folder below a root, drops damaged and superfluous entries.

    Raises:
        _Unusable: it cannot be written, or cannot be trusted.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _distrust(root, whole=False)
        folder = folder_in(root)
        fresh = not folder.exists()
        folder.mkdir(mode=0o700, exist_ok=True)
        _distrust(folder, whole=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _Unusable(f"{folder} cannot be written")
        if shutil.disk_usage(folder).free < _LEAST_FREE:
            raise _Unusable(f"the disk of {folder} is full")
        dropped = cache_entries.drop_damaged(folder)
        cache_entries.prune([path for path in root.glob("xla-*") if path.is_dir()], LIMIT)
        if fresh:
            (folder / "about.json").write_text(json.dumps(identity(), indent=1) + "\n")
    except OSError as error:
        raise _Unusable(f"{error.filename or root}: {error.strerror or error}") from error
    if fresh:
        say(f"note: compiled programs are kept in {folder} (--{FLAG}=none: they are not)")
    if dropped:
        what = "1 entry" if dropped == 1 else f"{dropped} entries"
        say(f"note: {what} of the compilation cache was damaged and dropped; it is compiled anew")
    return folder


def enable(choice: str = AUTO, say: Callable[[str], None] = _to_stderr) -> Path | None:
    """Makes JAX keep this process's compiled programs, and use those that are kept.

    Args:
        choice: ``auto``, ``none`` (or empty), or a folder. With auto, a folder or a refusal of the
            user's own (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE) is left alone, and
            so are its entries.
        say: told what the user should know, a line each.

    Returns:
        The folder, or None where nothing is kept.

    Raises:
        UserError: a folder was named that cannot be used. With auto that is a line said, and the
            programs are compiled.
    """
    if choice in OFF:
        _set("jax_enable_compilation_cache", "false")
        return None
    if choice == AUTO:
        own = _setting("jax_compilation_cache_dir")
        refused = _setting("jax_enable_compilation_cache").lower() in _FALSE
        if own or refused:
            return None if refused else Path(own)
    try:
        root = usual_root() if choice == AUTO else Path(choice).expanduser().absolute()
        folder = prepare(root, say)
    except (_Unusable, RuntimeError) as error:
        if choice != AUTO:
            raise UserError(f"cannot keep compiled programs there: {error}.", FLAG) from error
        say(f"note: compiled programs are not kept ({error}); --{FLAG} names another folder")
        return None
    _set("jax_enable_compilation_cache", "true")
    _set("jax_compilation_cache_dir", str(folder))
    # JAX keeps only what took a second to compile, unless told otherwise.
    _set("jax_persistent_cache_min_compile_time_secs", "0")
    _set("jax_persistent_cache_min_entry_size_bytes", "-1")
    # An entry that another process is writing, or a disk just full, costs a compilation; the next
    # start clears up.
    for what in ("reading", "writing"):
        warnings.filterwarnings("ignore", f"Error {what} persistent compilation cache")
    return folder


def _setting(name: str) -> str:
    """A setting of JAX's as text, "" if it is not made; JAX is not imported for it."""
    if "jax" not in sys.modules:
        return os.environ.get(name.upper(), "")
    import jax

    value = getattr(jax.config, name)
    return "" if value is None else str(value)


def _set(name: str, value: str) -> None:
    """Makes a setting of JAX's; by the environment, which it reads, where it is still to come."""
    os.environ[name.upper()] = value
    if "jax" not in sys.modules:
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    kind = type(getattr(jax.config, name))
    typed = value == "true" if kind is bool else kind(value) if kind in (int, float) else value
    jax.config.update(name, typed)
    compilation_cache.reset_cache()  # it may have looked for a folder already
