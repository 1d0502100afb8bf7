"""Thousands of trials in one call: bounded memory, and bits that survive being killed halfway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import scale

ROOT = Path(__file__).resolve().parent.parent
TRIALS = scale.TRIALS
LIMIT_MIB = 1024


def launched(mode: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The helper in a process of its own, on one host device as a user would have it."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, scale.__file__, mode, *([str(folder)] if folder else [])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def told(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_seconds_of_blocks() -> None:
    """Protects the command behind the figures for idle and diverged lanes: it runs."""
    seconds = scale.block_seconds(repeats=1, steps=12)
    assert set(seconds) == {"lone", "full", "half"}
    assert all(value > 0 for value in seconds.values())


@pytest.mark.slow
def test_four_thousand_trials(tmp_path: Path) -> None:
    """Protects memory and resuming: under 1 GiB in one call; killed halfway, the same bits."""
    whole = told(launched("whole"))
    assert whole["fingerprints"] == TRIALS
    assert whole["peak_mib"] < LIMIT_MIB
    folder = tmp_path / "study"
    assert launched("killed", folder).returncode == -signal.SIGKILL
    done = {path.name for path in (folder / "blocks").glob("*.npz")}
    assert TRIALS // 64 * 0.4 < len(done) < TRIALS // 64 * 0.6
    resumed = told(launched("resumed", folder))
    assert resumed["digest"] == whole["digest"]
    assert resumed["peak_mib"] < LIMIT_MIB
    assert resumed["accuracy"] == whole["accuracy"] > 0.7
