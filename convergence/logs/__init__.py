"""Curves out of anybody's logs: TensorBoard folders, our studies, CSV, Parquet and NPZ files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convergence.errors import UserError
from convergence.logs import tables, tensorboard, workdirs
from convergence.logs.curve import Curve, higher_is_better, kind_of, sounds_judgeable

__all__ = ["Curve", "higher_is_better", "kind_of", "read", "sounds_judgeable"]


def read(path: str, step: str = "", wanted: Sequence[str] = ()) -> tuple[list[Curve], list[str]]:
    """The curves at a path, and sentences on what could not be read.

    Args:
        path: a study's folder, a folder of TensorBoard logs (or one event file), or a CSV,
            Parquet or NPZ file.
        step, wanted: columns of a CSV, Parquet or NPZ file, as `tables.read` takes them.

    Raises:
        UserError: there is nothing at the path, or no curve in it.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"there is no file or folder {path}.")
    if place.is_dir():
        return workdirs.read(place) if workdirs.is_study(place) else tensorboard.read(place)
    if tensorboard.EVENTS.fullmatch(place.name):
        return tensorboard.read_file(place)
    return tables.read(place, step, wanted), []
