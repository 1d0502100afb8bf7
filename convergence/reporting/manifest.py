"""The manifest of a study's folder: what it holds, and reading it with suspicion."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convergence import spec
from convergence.errors import UserError
from convergence.reporting import files

WORKDIR_VERSION = 1
MANIFEST = "manifest.json"
STATUSES = ("running", "finished", "failed", "interrupted")
_USERS_FAULT = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EISDIR,
)


def refusal(message: str) -> UserError:
    """A UserError about --workdir."""
    return UserError(message, "workdir")


@contextlib.contextmanager
def telling(path: Path, doing: str) -> Iterator[None]:
    """Turns a refusal of the system's that the choice of folder caused into a UserError."""
    try:
        yield
    except ValueError as error:  # a null byte in the path
        raise refusal(f"{path} is no usable path: {error}.") from error
    except OSError as error:
        if error.errno not in _USERS_FAULT:
            raise
        reason = error.strerror or str(error)
        raise refusal(
            f"cannot {doing} {path}: {reason}; choose a folder you may write to."
        ) from error


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_manifest(
    spec_json: Mapping[str, Any],
    provenance: Mapping[str, Any],
    command: Sequence[str],
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of a study that begins now, as plain JSON; ``fields`` add to it."""
    known = files.plain(spec_json)
    return {
        "workdir_version": WORKDIR_VERSION,
        "status": "running",
        "spec": known,
        "spec_digest": spec.digest(known),
        "provenance": files.plain(provenance),
        "command": list(command),
        "claims": None,
        "looks": [],
        "drift": [],
        "files": [],
        "children": [],
        "times": [{"status": "running", "at": now()}],
        **files.plain(fields),
    }


def settled(manifest: Mapping[str, Any], spec_json: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for a study whose arms were settled by an earlier one, such as tuned rates.

    The spec is then what is trained; what was asked for is kept as ``asked``, by which the study is
    known again when it is resumed.
    """
    known = files.plain(spec_json)
    asked = manifest.get("asked") or manifest["spec"]
    return {"asked": asked, "spec": known, "spec_digest": spec.digest(known)}


def read_manifest(root: Path) -> dict[str, Any] | None:
    """The study's manifest, or None where the folder is missing, empty or holds no manifest.

    Raises:
        UserError: if it is corrupt, or was written by a newer version.
    """
    path = root / MANIFEST
    advice = "move the folder away or choose another one."
    try:
        with telling(path, "read"):
            if not path.exists():
                return None
            manifest = files.read_json(path)
    except files.CorruptFile as error:
        raise refusal(f"{error.path} is corrupt, {error.why}; {advice}") from error
    version = manifest.get("workdir_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int):
        raise refusal(f"{path} is not a manifest of ours; {advice}")
    if version > WORKDIR_VERSION:
        raise refusal(
            f"{root} was written by a newer version (workdir version {version}, this one knows "
            f"{WORKDIR_VERSION}); update the package or choose another folder."
        )
    for name, kind in (("spec", dict), ("provenance", dict), ("status", str), ("times", list)):
        if not isinstance(manifest.get(name), kind):
            raise refusal(f"{path} is corrupt: {name!r} is missing or damaged; {advice}")
    if manifest["status"] not in STATUSES:
        raise refusal(f"{path} is corrupt: its status is {manifest['status']!r}; {advice}")
    return dict(manifest)
