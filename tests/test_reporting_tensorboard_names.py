"""Folder names of TensorBoard's runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.reporting.tensorboard import PROGRESS, Writer, run_count, safe_name, trial_name

ODD = ("../../etc/passwd", "a/b", "..", ".", "", "a b", "x" * 500, "ü=1", "C:\\x", ".hidden")
NAMES = st.text(max_size=120) | st.sampled_from(ODD)


@given(NAMES)
def test_names_stay_inside(name: str) -> None:
    """Protects the file system: an arm's name is one plain folder inside tb, whatever it holds."""
    safe = safe_name(name)
    folder = Path("/runs/tb")
    assert (folder / safe).resolve().parent == folder
    assert 0 < len(safe) < 100
    assert not safe.startswith((".", "-"))
    assert safe.isascii()
    assert safe.isprintable()
    trial = (folder / trial_name(name, 7)).resolve()
    assert trial.parent.parent == folder / "trials"


@given(NAMES, NAMES)
def test_names_stay_different(one: str, other: str) -> None:
    """Protects arms from sharing a folder because their odd characters were replaced alike."""
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_names_that_look_alike_stay_different() -> None:
    """Protects arms whose names differ in nothing that a folder can hold."""
    odd = ["a/b", "a_b", "a b", "a\\b", "a//b", "", ".", "..", "trials", "progress"]
    assert len({safe_name(name) for name in odd}) == len(odd)
    assert safe_name("learning_rate=0.001") == "learning_rate=0.001"


@pytest.mark.parametrize("name", ["progress", "trials", "Trials", "PROGRESS"])
def test_an_arm_takes_no_folder_of_ours(name: str) -> None:
    """Protects the run of the progress and those of single trials from an arm of their name."""
    assert safe_name(name).lower() not in (PROGRESS, "trials")


def test_runs_are_counted(tmp_path: Path) -> None:
    """Protects the advice on many runs: folders with event files, however deep, are runs."""
    assert run_count(tmp_path) == 0
    for name in ("", "a", "a/b", "c"):
        with Writer(tmp_path / name):
            pass
    (tmp_path / "d").mkdir()
    assert run_count(tmp_path) == 4


def test_trials_sort_by_seed() -> None:
    """Protects the list of runs: seed 9 comes before seed 10."""
    names = [trial_name("a", replica) for replica in (2, 9, 10, 999)]
    assert names == sorted(names)
