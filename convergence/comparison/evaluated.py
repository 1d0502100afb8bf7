"""The first study's saved params, evaluated again: how far their predictions move by that alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convergence.analysis.agreement import Agreement, agreement
from convergence.comparison.side import Side
from convergence.reporting import files

EVALUATED = "evaluated.npz"  # outputs of the first study's params, evaluated again


def evaluated(study: Side, path: Path, before: Path | None = None) -> dict[str, Agreement]:
    """By arm, the saved params' outputs under a condition against those at first.

    Args:
        path: of `EVALUATED`.
        before: evaluated in the baseline; None: against the study's own predictions.

    Raises:
        FileNotFoundError: it was not evaluated.
        CorruptFile: the file is damaged.
    """
    now_, stored = files.read_npz(path), study.predictions
    outputs = now_["outputs"].astype(np.float64)
    if stored is None:
        return {}
    rows = files.read_npz(study.saved.workdir.path("predictions.npz"), ("rows",))["rows"]
    rows = np.broadcast_to(rows, (study.count, rows.shape[1]))
    first = np.zeros_like(outputs)
    scored = np.zeros(outputs.shape[:2], bool)
    for trial, line in enumerate(rows):
        there = line >= 0
        place = np.searchsorted(now_["row"], line[there])
        first[trial, place] = stored.outputs[trial][there]
        scored[trial, place] = True
    if before is not None:
        first = files.read_npz(before)["outputs"].astype(np.float64)
    both = np.isfinite(first) & np.isfinite(outputs)
    kept = np.asarray(both.reshape(len(first), -1).all(axis=1))
    found = {}
    for arm in study.saved.arms:
        mine = study.saved.trials(arm)
        mine = mine[kept[mine]]
        if len(mine):
            found[arm] = agreement(first[mine], outputs[mine], scored[mine], scored[mine], True)
    return found
