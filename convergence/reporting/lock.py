"""One process at a time writes a folder: a lock file that dies with its holder."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from convergence.errors import UserError

LOCK_NAME = ".lock"


class FolderLock:
    """An exclusive advisory lock on ``folder/.lock``, holding the owner's pid and start time.

    The system drops the lock when its process dies, however it dies, so that a stale file is simply
    taken over. On file systems and platforms without such locks it locks nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._descriptor: int | None = None
        self._pid = os.getpid()  # a forked child must not give back its parent's lock

    def acquire(self) -> None:
        """Takes the lock, or does nothing if this object holds it.

        Raises:
            UserError: if another holder has it (names its pid).
            OSError: if the lock file cannot be made.
        """
        while self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self.path, flags, 0o644)
            try:
                _lock(descriptor, self.path)
                if _is_still(descriptor, self.path):
                    owner = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, json.dumps(owner).encode())
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def release(self) -> None:
        """Gives the lock back and removes its file; does nothing if it is not held."""
        if self._descriptor is not None and os.getpid() == self._pid:
            descriptor, self._descriptor = self._descriptor, None
            try:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            finally:
                os.close(descriptor)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.release()


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks here; one writer at a time is then the user's care
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"{path.parent} is in use by another process{_owner(path)}; wait for it, stop it, or "
            "choose another folder.",
            "workdir",
        ) from error
    except OSError:  # a file system without locks
        return


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f" (pid {int(owner['pid'])}, since {str(owner['since'])[:19]} UTC)"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the locked file is the one that bears the name (a holder removes it on release)."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
