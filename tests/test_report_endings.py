"""The table of where each arm's curves ended."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from helpers.made import Made

from convergence.analysis.curves import VERDICTS
from convergence.report import endings
from convergence.reporting import records


def test_every_arm_has_its_verdicts_and_blown_up_trials_are_counted(tmp_path: Path) -> None:
    study = Made(arms=("base", "other"), seeds=3).write(tmp_path / "study")
    told = records.read(study)
    loss = told.curves["loss_mean"].copy()
    loss[told.rows["other"][0], 10:] = np.nan
    told = dataclasses.replace(told, curves={**told.curves, "loss_mean": loss})
    ((_, _, headers, rows, note),) = endings.made(told)
    assert [row[0] for row in rows] == ["base", "other"]
    assert all(len(row) == len(headers) for row in rows)
    assert "1 diverged" in rows[1][1]
    assert "diverged" not in rows[0][1]
    assert [row[2] for row in rows] == ["3", "3"]
    assert any(name in rows[0][1] for name in VERDICTS)
    assert "first" not in note


def test_without_curves_there_is_no_table(tmp_path: Path) -> None:
    told = records.read(Made(curves=False).write(tmp_path / "study"))
    assert endings.made(told) == []
