"""A user's own files: what names one, and the one place where user code is run."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from convergence import ratefile
from convergence.errors import UserError

# Fields that may name a user's own file, and what that is.
OWN = {"model": "model", "init": "initialiser", "loss": "loss", "schedule": "schedule"}


def _line_of(error: BaseException, path: Path) -> str:
    """The user's line that an error came from, as ``" (line 3)"``, or ""."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" (line {error.lineno})"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""


def told(error: BaseException, path: Path) -> str:
    """One line about an error in a user's file: file, line, type and message."""
    message = str(error).strip().splitlines()
    first = message[0] if message else "no message"
    return f"{path}{_line_of(error, path)}: {type(error).__name__}: {first}"


def file_of(reference: str) -> str:
    """The path in what may name a user's file (``file.py:attribute``, ``file.csv``), or ""."""
    if ratefile.is_named_by(reference):
        return reference
    file, _, _ = reference.rpartition(":")
    return file if file.endswith(".py") else ""


def runs_code(reference: str) -> bool:
    """Whether it names a file that is run, not only read."""
    return file_of(reference) not in ("", reference)


def given(told: Any) -> dict[str, str]:
    """Where a user's files are now, by field, from a script's parsed arguments."""
    return {name: getattr(told, name, "") for name in OWN}


def split_reference(reference: str, field: str) -> tuple[Path, str]:
    """``path/to/file.py:attribute`` as an absolute path and a name.

    Raises:
        UserError: not of this form, or no such file.
    """
    file, _, attribute = reference.rpartition(":")
    if not file.endswith(".py") or not attribute.isidentifier():
        raise UserError(f"{reference!r} is not of the form path/to/file.py:attribute.", field)
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"there is no file {file}.", field)
    return path, attribute


def _load(path: Path, field: str) -> ModuleType:
    # The name carries the path, so that two files called model.py live beside each other.
    name = f"convergence_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be read as Python.", field)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses (and so Linen modules) look their module up while they are defined.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # the file may import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"loading failed in {told(error, path)}", field) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def load_attribute(reference: str, field: str) -> Any:
    """The attribute of a user's file; runs the file, with its folder importable.

    Args:
        reference: ``path/to/file.py:attribute``, the path absolute or from the current folder.
        field: the spec field that named it, for messages.

    Raises:
        UserError: wrong form, no such file, an error while the file runs (told with its line),
            or no such attribute (the nearest names are offered).
    """
    path, attribute = split_reference(reference, field)
    module = _load(path, field)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        near = difflib.get_close_matches(attribute, public, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "check the name."
        raise UserError(f"{path.name} has no attribute {attribute!r}; {hint}", field)
    return getattr(module, attribute)
