"""Curves from a study of ours: each trial's training loss and its scores on held-out rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convergence import names
from convergence.logs.curve import Curve
from convergence.reporting import records


def is_study(folder: Path) -> bool:
    """Whether the folder is a study's."""
    return (folder / "manifest.json").is_file()


def read(folder: Path) -> tuple[list[Curve], list[str]]:
    """The curves of a study's trials by arm and replica, and what of its records is missing.

    Raises:
        UserError: its manifest cannot be read.
    """
    told = records.read(folder)
    found: list[Curve] = []
    for arm in told.arms:
        rows = told.rows[arm]
        for row, replica in zip(rows, told.seeds(arm)):
            run = f"{arm}/seed {replica}"
            length = told.column("steps")[row]
            found += _trial(told, run, int(row), length)
    return found, list(told.missing)


def _trial(told: records.Records, run: str, row: int, length: float) -> list[Curve]:
    curves = told.curves
    found = []
    if "loss_mean" in curves and "loss_step" in curves:
        found.append(_within(run, "loss", curves["loss_step"], curves["loss_mean"][row], length))
    for name in curves:
        split, _, metric = name.partition("_")
        if split in ("validation", "clean") and metric in names.METRICS and "eval_step" in curves:
            found.append(_within(run, name, curves["eval_step"], curves[name][row], length))
    return found


def _within(run: str, tag: str, steps: np.ndarray, values: np.ndarray, length: float) -> Curve:
    """The part of a curve within the trial's own length."""
    steps = steps.astype(np.float64)
    inside = steps <= length if np.isfinite(length) else np.ones(len(steps), bool)
    return Curve(run, tag, steps[inside], values[inside].astype(np.float64))
