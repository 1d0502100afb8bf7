"""Curves from a CSV, Parquet or NPZ file: a column of steps, and columns of values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convergence.data import npz, table
from convergence.errors import UserError, unknown_name
from convergence.logs.curve import Curve

STEPS = (
    "step",
    "steps",
    "global_step",
    "_step",
    "iteration",
    "iter",
    "iterations",
    "it",
    "batch",
    "epoch",
    "epochs",
    "update",
    "t",
)
GROUPS = ("run", "seed", "arm", "trial", "name", "experiment", "replica", "model")


def read(path: Path, step: str, wanted: Sequence[str]) -> list[Curve]:
    """The curves in a file.

    Args:
        path: of the file.
        step: the name of the column of steps; '' to look for it by the usual names.
        wanted: names of the columns of values; all columns of numbers if empty.

    Raises:
        UserError: the file cannot be read, or holds no such columns.
    """
    if path.suffix.lower() == ".npz":
        return _from_npz(path, step, wanted)
    return _from_table(path, step, wanted)


def _step_name(names: Sequence[str], step: str, file: str) -> str:
    if step:
        if step not in names:
            raise unknown_name(step, names, "step", f"column of {file}:")
        return step
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in STEPS if name in lower), "")


def _from_table(path: Path, step: str, wanted: Sequence[str]) -> list[Curve]:
    held = table.read(str(path), "", columns=1)
    names = held.frame.columns
    for name in wanted:
        if name not in names:
            raise unknown_name(name, names, "value", f"column of {held.file}:")
    at = _step_name(names, step, held.file)
    numbers = {name: _numbers(held, name) for name in names}
    steps = numbers.get(at) if at else np.arange(held.frame.height, dtype=np.float64)
    if steps is None:
        raise held.error("holds text where steps are wanted.", column=at)
    group = _groups(held, [name for name in names if name not in (*wanted, at)])
    told = () if at else ("no column of steps: rows are counted",)
    found = []
    for name in wanted or [name for name in names if name != at and name.lower() not in GROUPS]:
        values = numbers[name]
        if values is None:
            if wanted:
                raise held.error("holds text where values are wanted.", column=name)
            continue
        for run in dict.fromkeys(group):
            # An empty cell is no point: such a quantity is recorded more rarely.
            mine = np.array([one == run for one in group]) & _recorded(held, name)
            if mine.any():
                found.append(Curve(run, name, steps[mine], values[mine], told))
    if not found:
        raise held.error("no column holds numbers to judge; name them with --value.")
    return found


def _groups(held: table.Table, names: Sequence[str]) -> list[str]:
    """Which run each row is of, by the columns that tell it; '' where none does."""
    chosen = [name for name in names if name.lower() in GROUPS]
    if not chosen:
        return [""] * held.frame.height
    cells = [held.frame[name].to_list() for name in chosen]
    return [
        " ".join(f"{name}={'' if one is None else one}" for name, one in zip(chosen, row))
        for row in zip(*cells)
    ]


def _recorded(held: table.Table, name: str) -> np.ndarray:
    return held.frame[name].is_not_null().to_numpy()


def _numbers(held: table.Table, name: str) -> np.ndarray | None:
    """A column as float64 with NaN and infinities as they are; None where it is text."""
    import polars as pl

    column = held.frame[name]
    parsed = column.cast(pl.Float64, strict=False)
    wrong = column.is_not_null() & parsed.is_null()
    total, bad = column.len() - column.null_count(), int(wrong.sum())
    if total == 0 or 2 * bad > total:
        return None
    return np.asarray(parsed.fill_null(np.nan).to_numpy(), np.float64)


def _from_npz(path: Path, step: str, wanted: Sequence[str]) -> list[Curve]:
    arrays = npz.read_arrays(str(path), None, "")
    for name in wanted:
        if name not in arrays:
            raise unknown_name(name, arrays, "value", f"array of {path.name}:")
    at = _step_name(list(arrays), step, path.name)
    steps = arrays[at].astype(np.float64) if at else None
    if steps is not None and steps.ndim != 1:
        raise UserError(f"{path.name}, {at}: has shape {steps.shape}; give one row.", "step")
    found = []
    for name in wanted or [name for name in arrays if name != at]:
        values = arrays[name]
        fits = values.ndim in (1, 2) and values.dtype.kind in "iuf"
        if fits and steps is not None:
            fits = values.shape[-1] == len(steps)
        if not fits:
            if wanted:
                raise UserError(
                    f"{path.name}, {name}: has shape {values.shape}; give [points] or "
                    "[runs, points] numbers, as many points as there are steps.",
                    "value",
                )
            continue
        told = () if at else ("no array of steps: points are counted",)
        here = np.arange(values.shape[-1], dtype=np.float64) if steps is None else steps
        rows = np.atleast_2d(values).astype(np.float64)
        for k, row in enumerate(rows):
            run = f"run {k}" if values.ndim == 2 else ""
            found.append(Curve(run, name, here, row, told))
    if not found:
        raise UserError(
            f"{path.name} holds no curves: arrays of [points] or [runs, points] numbers are wanted,"
            f" as many points as there are steps; it holds {', '.join(arrays) or 'nothing'}."
        )
    return found
