"""The folder that holds one study: prepared with care, written whole, read with suspicion."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from convergence.errors import UserError
from convergence.reporting import admission, files
from convergence.reporting.admission import RESERVE
from convergence.reporting.lock import FolderLock
from convergence.reporting.manifest import (
    MANIFEST,
    STATUSES,
    new_manifest,
    now,
    read_manifest,
    refusal,
    telling,
)

_BLOCKS = "blocks"
_BLOCK_NAME = re.compile(r"(\d{5,})\.npz")
_RESERVE_BYTES = 65536  # freed when the disk is full, so that the failure can still be written down


class Workdir:
    """One study's folder: its manifest, blocks and results.

    Make one with `prepare` (to write; locks the folder) or `open` (to read). As a context manager
    it marks a study that is still running when the block ends as failed or interrupted, by what
    ended it, and gives the lock back.

    Attributes:
        root: the folder's real path.
        resumed: whether an earlier run's work is continued.
        messages: sentences for the user, gathered on the way (drift allowed, damaged blocks, …).
    """

    def __init__(
        self, root: Path, manifest: dict[str, Any], lock: FolderLock | None, resumed: bool = False
    ) -> None:
        self.root = root
        self.resumed = resumed
        self.messages: list[str] = []
        self._manifest = manifest
        self._lock = lock

    @classmethod
    def prepare(
        cls,
        path: str | Path,
        spec_json: Mapping[str, Any],
        provenance: Mapping[str, Any],
        *,
        overwrite: bool = False,
        resume: bool = False,
        allow_drift: bool = False,
        command: Sequence[str] | None = None,
        **fields: Any,
    ) -> Workdir:
        """Takes a folder for a study: a fresh one, or with ``resume`` the unfinished one in it.

        Args:
            path: the folder; made with its parents if it is missing.
            spec_json: the whole study, as `spec.to_json` gives it.
            provenance: as `provenance.collect` gives it.
            overwrite: replace the study that is there (its own files only).
            resume: continue the study that is there; a finished one is opened, see `finished`.
            allow_drift: resume under changed versions or hardware, and record it.
            command: the command line (default: this process's).
            fields: more of the manifest, such as ``claims``; ignored on resume.

        Raises:
            UserError: naming --workdir or --resume, for every way in which the folder does not fit.
            StorageError: if the disk is full.
        """
        path = Path(path)
        if overwrite and resume:
            raise UserError("contradicts --overwrite; give one of them.", "resume")
        if resume and read_manifest(path) is None:
            raise UserError(f"there is no study in {path} to resume.", "resume")
        root = admission.make_folder(path)
        admission.refuse_foreign(root)
        lock = FolderLock(root)
        with telling(root, "write to"):
            lock.acquire()
        try:
            manifest = read_manifest(root)
            if resume and manifest is not None:
                return cls._resume(root, manifest, lock, spec_json, provenance, allow_drift)
            admission.check_start(root, manifest, overwrite)
            argv = sys.argv if command is None else command
            fresh = new_manifest(spec_json, provenance, argv, fields)
            return cls._start(root, manifest, lock, fresh)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _start(
        cls, root: Path, old: dict[str, Any] | None, lock: FolderLock, manifest: dict[str, Any]
    ) -> Workdir:
        if old is not None:
            files.write_json(root / MANIFEST, {**old, "status": "interrupted"})
            with telling(root, "replace the study in"):
                admission.remove_study(root, old)
        files.write_bytes(root / RESERVE, bytes(_RESERVE_BYTES))
        workdir = cls(root, manifest, lock)
        workdir._write_manifest()
        return workdir

    @classmethod
    def _resume(
        cls,
        root: Path,
        manifest: dict[str, Any],
        lock: FolderLock,
        spec_json: Mapping[str, Any],
        provenance: Mapping[str, Any],
        allow_drift: bool,
    ) -> Workdir:
        admission.check_resume(root, manifest, files.plain(spec_json))
        workdir = cls(root, manifest, lock, resumed=True)
        if workdir.finished:
            workdir.close()
            return workdir
        drift = admission.check_drift(root, manifest, files.plain(provenance), allow_drift)
        if drift:
            names = ", ".join(change["field"] for change in drift)
            workdir.messages.append(f"Resumed under changed conditions ({names}); bits may differ.")
            manifest["drift"] = [*manifest.get("drift", []), *({**d, "at": now()} for d in drift)]
        files.write_bytes(root / RESERVE, bytes(_RESERVE_BYTES))
        workdir.mark("running")
        return workdir

    @classmethod
    def open(cls, path: str | Path) -> Workdir:
        """A study to read, finished or not; takes no lock.

        Raises:
            UserError: if there is no study, or its manifest is corrupt or of a newer version.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if manifest is None:
            raise refusal(f"there is no study in {path}.")
        return cls(path.resolve(), manifest, None)

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as last written (a copy; change it with `update` and `mark`)."""
        return dict(self._manifest)

    @property
    def finished(self) -> bool:
        """Whether the study ran to its end."""
        return bool(self._manifest["status"] == "finished")

    def update(self, **fields: Any) -> None:
        """Replaces fields of the manifest and writes it whole; raises StorageError."""
        self._manifest.update(files.plain(fields))
        self._write_manifest()

    def mark(self, status: str, **fields: Any) -> None:
        """Writes the study's status and the time (UTC); the lock is given back unless it runs on.

        Args:
            status: running, finished, failed or interrupted.
            fields: more of the manifest, such as ``error``.
        """
        if status not in STATUSES:
            raise ValueError(f"no such status: {status}")
        self._manifest["times"] = [*self._manifest["times"], {"status": status, "at": now()}]
        try:
            self.update(status=status, **fields)
        finally:
            if status != "running":
                self.close()

    def _write_manifest(self) -> None:
        path, reserve = self.root / MANIFEST, self.root / RESERVE
        try:
            files.write_json(path, self._manifest)
        except files.StorageError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not reserve.exists():
                raise
            reserve.unlink()
            files.write_json(path, self._manifest)

    def record_look(self, **fields: Any) -> int:
        """Writes down one look at the results (whether to add seeds); its number, from 1."""
        looks = self._manifest["looks"]
        number = len(looks) + 1
        self.update(looks=[*looks, {"look": number, "at": now(), **fields}])
        return number

    def path(self, name: str) -> Path:
        """The path of a file or folder inside the workdir (not made).

        Raises:
            UserError: if the name, or a link on its way, leads out of the workdir.
        """
        relative = Path(name)
        inside = not relative.is_absolute() and relative.parts and ".." not in relative.parts
        if not inside or not (self.root / relative).resolve().is_relative_to(self.root):
            raise refusal(f"{name!r} leads out of {self.root}.")
        return self.root / relative

    def _to_write(self, name: str) -> Path:
        path = self.path(name)
        first = Path(name).parts[0]
        if first == MANIFEST or not admission.plain_name(first):
            raise ValueError(f"{name!r} is no name for a result")
        if first not in (*admission.KNOWN, *self._manifest["files"], *self._manifest["children"]):
            self.update(files=[*self._manifest["files"], first])  # so that --overwrite knows it
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.StorageError(path, error) from error
        return path

    def write_json(self, name: str, value: Any) -> None:
        """Writes a result as strict JSON (see `files.plain`); raises StorageError."""
        files.write_json(self._to_write(name), value)

    def write_text(self, name: str, text: str) -> None:
        """Writes a result as UTF-8 text; raises StorageError."""
        files.write_text(self._to_write(name), text)

    def write_npz(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Writes arrays by name; raises StorageError."""
        files.write_npz(self._to_write(name), arrays)

    def write_parquet(self, name: str, columns: Mapping[str, Any]) -> None:
        """Writes a table by columns; raises StorageError."""
        files.write_parquet(self._to_write(name), columns)

    def _block(self, index: int) -> str:
        return f"{_BLOCKS}/{index:05d}.npz"

    def save_block(self, index: int, arrays: Mapping[str, Any]) -> None:
        """Writes what a finished block recorded, by name; raises StorageError."""
        self.write_npz(self._block(index), arrays)

    def load_block(self, index: int) -> dict[str, np.ndarray] | None:
        """A finished block's arrays, or None where it is missing or damaged (see `messages`)."""
        try:
            return files.read_npz(self.path(self._block(index)))
        except FileNotFoundError:
            return None
        except files.CorruptFile as error:
            self.messages.append(f"{error} Block {index} is computed again.")
            return None

    def block_indices(self) -> list[int]:
        """Indices of the blocks that are on disk, ascending."""
        folder = self.path(_BLOCKS)
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        matches = [_BLOCK_NAME.fullmatch(name) for name in names]
        return sorted(int(match.group(1)) for match in matches if match)

    def remove_blocks(self) -> None:
        """Removes the blocks, once they are merged."""
        for index in self.block_indices():
            self.path(self._block(index)).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path(_BLOCKS).rmdir()

    def child(
        self,
        name: str,
        spec_json: Mapping[str, Any],
        provenance: Mapping[str, Any],
        *,
        allow_drift: bool = False,
        **fields: Any,
    ) -> Workdir:
        """A study inside this one: resumed if this one is and it had begun, fresh otherwise.

        Where this one was resumed under changed conditions and now asks for other settings than
        the nested study had, that one is replaced; ``messages`` and the manifest tell.

        Args:
            name: one plain file name, such as "confirmation".

        Raises:
            UserError: as `prepare`.
        """
        if not admission.plain_name(name) or name in (*admission.KNOWN, MANIFEST):
            raise ValueError(f"{name!r} is no name for a nested study")
        path = self.path(name)
        if name not in self._manifest["children"]:
            self.update(children=[*self._manifest["children"], name])
        begun = read_manifest(path) if self.resumed else None
        drift = bool(self._manifest.get("drift"))
        plain = files.plain(spec_json)
        if begun and (replaced := admission.replaced_child(name, begun, plain, drift)):
            begun, earlier = None, self._manifest.get("replaced", [])
            self.update(replaced=[*earlier, replaced | {"at": now()}])
            self.messages.append(
                f"Under the changed conditions {name} has other settings than it began with "
                f"({replaced['told']}); it was started again."
            )
        return Workdir.prepare(
            path,
            spec_json,
            provenance,
            overwrite=begun is None,
            resume=begun is not None,
            allow_drift=allow_drift,
            command=self._manifest["command"],
            **fields,
        )

    def close(self) -> None:
        """Gives the lock back; results can still be read and written."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.root / RESERVE).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Workdir:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._lock is not None and self._manifest["status"] == "running":
            interrupted = isinstance(error, KeyboardInterrupt)
            with contextlib.suppress(OSError):  # the error that ended the study is the one to tell
                if interrupted:
                    self.mark("interrupted")
                else:
                    self.mark("failed", error=f"{type(error).__name__}: {error}")
        self.close()
