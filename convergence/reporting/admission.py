"""Whether a folder may be used for a study: what is in it, and what was asked for."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convergence import spec
from convergence.errors import UserError
from convergence.reporting import files, provenance
from convergence.reporting.lock import LOCK_NAME
from convergence.reporting.manifest import MANIFEST, read_manifest, refusal, telling

RESERVE = ".reserve"
KNOWN = (
    "flags.txt",
    "trials.parquet",
    "curves.npz",
    "predictions.npz",
    "fingerprints.npz",
    "sketches.npz",
    "twins.npz",
    "branches.npz",
    "summary.json",
    "preprocessing.json",
    "preprocessing.npz",
    "params",
    "report.html",
    "tables",
    "tb",
    "checkpoints",
    "blocks",
)


def make_folder(path: Path) -> Path:
    """Makes the folder and its parents; returns its real path; raises UserError if it cannot be."""
    with telling(path, "make the folder"):
        if path.exists() and not path.is_dir():
            raise refusal(f"{path} is a file; give a folder.")
        path.mkdir(parents=True, exist_ok=True)
        return path.resolve()


def contents(root: Path) -> list[str]:
    """Names in the folder, without the traces of a start that was killed before its manifest."""
    with telling(root, "read"):
        names = sorted(entry.name for entry in root.iterdir())
    return [name for name in names if name not in (LOCK_NAME, RESERVE) and not _temporary(name)]


def _temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(files.TEMPORARY_SUFFIX)


def refuse_foreign(root: Path) -> None:
    """Raises UserError for a folder with something in it that is no study of ours."""
    if read_manifest(root) is None and (found := contents(root)):
        raise refusal(
            f"{root} is not empty and holds no study (found {found[0]!r}); nothing in it was "
            "touched, choose another folder."
        )


def check_start(root: Path, manifest: Mapping[str, Any] | None, overwrite: bool) -> None:
    """Raises UserError where a study is there already and --overwrite was not given."""
    if manifest is None or overwrite:
        return
    if manifest["status"] == "finished":
        raise refusal(
            f"{root} holds a finished study; give --overwrite to replace it, or another folder."
        )
    raise refusal(
        f"{root} holds an unfinished study ({manifest['status']}); give --resume to continue it, "
        "or --overwrite to start again."
    )


def _filled(told: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's spec with the defaults of fields that its version did not have."""
    extra = {"extra": told["extra"]} if "extra" in told else {}
    try:
        known = spec.from_json({name: v for name, v in told.items() if name != "extra"})
    except UserError:
        return dict(told)  # its differences will be told
    return spec.to_json(known) | extra


def check_resume(root: Path, manifest: Mapping[str, Any], spec_json: Mapping[str, Any]) -> None:
    """Raises UserError, naming the fields, where a study would be resumed with other settings."""
    asked = manifest.get("asked") or manifest["spec"]  # see `manifest.settled`
    changed = spec.differences(_filled(asked), dict(spec_json))
    if changed:
        raise UserError(
            f"the study in {root} has other settings: {_told(changed)}. Repeat its flags "
            "(flags.txt), or give another --workdir.",
            "resume",
        )


def check_drift(
    root: Path, manifest: Mapping[str, Any], now: Mapping[str, Any], allow: bool
) -> list[dict[str, Any]]:
    """What changed under an unfinished study, as plain records.

    Raises:
        UserError: if anything that may change bits did and it is not allowed.
    """
    changed = provenance.drift(manifest["provenance"], now)
    if changed and not allow:
        raise UserError(
            f"the study in {root} began under other conditions: {_told(changed)}. Its bits may "
            "change; give --allow_drift to continue all the same (it is recorded).",
            "resume",
        )
    return [{"field": field, "was": was, "now": now_is} for field, was, now_is in changed]


def replaced_child(
    name: str, manifest: Mapping[str, Any], spec_json: Mapping[str, Any], drift: bool
) -> dict[str, Any] | None:
    """A record of why a nested study that had begun must start again, or None where it goes on.

    Under conditions that drifted, what the outer study chooses may be another setting than before
    the interruption; the nested study of the earlier choice is then of no use.

    Raises:
        UserError: its settings are others, though nothing drifted.
    """
    changed = spec.differences(_filled(manifest["spec"]), dict(spec_json))
    if not changed:
        return None
    if not drift:
        raise UserError(
            f"the nested study {name} has other settings than this run gives it: {_told(changed)}."
            f" Move the folder {name} out of the workdir to start it again.",
            "resume",
        )
    return {
        "child": name,
        "status": manifest["status"],
        "spec_digest": spec.digest(manifest["spec"]),
        "changed": [field for field, _, _ in changed],
        "told": _told(changed),
    }


def _told(changes: Iterable[tuple[str, Any, Any]], limit: int = 4) -> str:
    changes = list(changes)
    told = [f"{field} was {_short(was)}, now {_short(now)}" for field, was, now in changes[:limit]]
    more = [f"and {len(changes) - limit} more"] if len(changes) > limit else []
    return "; ".join(told + more)


def _short(value: Any) -> str:
    text = repr(value) if value is not None else "absent"
    return text if len(text) <= 60 else text[:40] + "…"


def remove_study(root: Path, manifest: Mapping[str, Any]) -> None:
    """Removes the study's own files and folders, nothing else, and no link's target.

    The manifest itself stays (rewritten by the caller), so that a removal that is cut short leaves
    an unfinished study, not a folder that nobody owns.
    """
    own = [*KNOWN, *(name for name in manifest.get("files", []) if plain_name(name))]
    own += [entry.name for entry in root.iterdir() if _temporary(entry.name)]
    for name in own:
        _remove(root / name)
    for name in manifest.get("children", []):
        if plain_name(name):
            _remove_child(root / name)


def plain_name(name: object) -> bool:
    """Whether this is one file name: no folders, no hidden files, no way up."""
    return isinstance(name, str) and name == Path(name).name and not name.startswith((".", "~"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_child(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    manifest = read_manifest(folder)
    if manifest is not None:
        remove_study(folder, manifest)
        for name in (RESERVE, LOCK_NAME, MANIFEST):
            (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of the user's is in it
        folder.rmdir()
