"""The last lines of every experiment: where the results are, and commands that can be pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from convergence import flags, laboratory, spec
from convergence.reporting.tensorboard import MOST_SELECTED, Writer
from convergence.reporting.workdir import Workdir


def closing(root: Path, runs: int, report: bool = False, *arguments: str) -> list[str]:
    """What is said of a workdir with so many runs."""
    told = {"versions": {}, "device": {}, "data_digest": ""}
    with Workdir.prepare(root, spec.to_json(spec.StudySpec()), told, command=["x"]) as workdir:
        for run in range(runs):
            with Writer(root / "tb" / f"run{run}"):
                pass
        if report:
            workdir.write_text("report.html", "<!doctype html>")
        options = flags.from_arguments([f"--workdir={root}", *arguments], "train")
        return laboratory.closing(workdir, options).splitlines()


def test_paths_with_spaces_can_be_pasted(tmp_path: Path) -> None:
    """Protects users with spaces in their paths: a shell reads the commands as they were meant."""
    root = tmp_path / "my runs" / "it's"
    workdir, report, board = closing(root, 1, report=True)
    assert workdir == f"Workdir: {root}"
    assert shlex.split(report)[-1] == f"{root}/report.html"
    assert shlex.split(board)[-1] == f"--logdir={root}/tb"


def test_only_what_is_there_is_told(tmp_path: Path) -> None:
    """Protects from commands that would open nothing."""
    assert closing(tmp_path / "a", 0) == [f"Workdir: {tmp_path}/a"]
    assert len(closing(tmp_path / "b", 1, False, "--notensorboard")) == 1


@pytest.mark.parametrize("more", [0, 1])
def test_advice_on_many_runs(tmp_path: Path, more: int) -> None:
    """Protects from an empty dashboard: TensorBoard selects none of more than 40 runs."""
    lines = closing(tmp_path, MOST_SELECTED + more)
    assert [line for line in lines if "Toggle all runs" in line] == lines[2:]
    assert len(lines) == 2 + more
    assert len(lines[-1]) <= 80 or not more
