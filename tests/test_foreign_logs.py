"""Logs of other libraries' writers, where they are installed: the right tags, and no others."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convergence import judged

SCRIPT = Path(__file__).resolve().parent / "helpers" / "foreign_logs.py"
NEEDS = {"tensorboardX": "tensorboardX", "keras": "tensorflow"}


@pytest.mark.slow
@pytest.mark.parametrize("writer", NEEDS)
def test_curves_of_another_library_s_writer_are_found(writer: str, tmp_path: Path) -> None:
    """``FOREIGN_PYTHON`` may name a Python in whose environment the writers are."""
    python = os.environ.get("FOREIGN_PYTHON", "")
    if not python and importlib.util.find_spec(NEEDS[writer]) is None:
        pytest.skip(f"{NEEDS[writer]} is not installed")
    command = [python or sys.executable, str(SCRIPT), writer, str(tmp_path), "--runs=4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    wanted = json.loads(done.stdout.splitlines()[-1])
    found = judged.judge_paths([str(tmp_path)])
    tags = {one.curve.tag for one in found.curves}
    extra = {f"evaluation_{tag[6:]}_vs_iterations" for tag in wanted if writer == "keras"}
    assert set(wanted) <= tags <= {*wanted, *extra}
    assert len({one.curve.run for one in found.curves}) == 4 * (2 if writer == "keras" else 1)
