"""Killed at any moment and resumed, a study ends in the same bits: SIGKILL to real processes.

helpers/killed.py prints a table of thirty moments over three studies.
"""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest
from helpers import commands, killed
from helpers.commands import finish, launch, start
from helpers.killed import ENDED_AT, STUDIES, Moment, Whole


def ran(base: Path, study: int) -> Whole:
    """One of the studies in a process that nobody kills."""
    folder = commands.shared_folder(base) / f"never-killed-{study}"
    return killed.whole(STUDIES[study], folder, base / "programs")


SAMPLE = killed.moments(12, seed=4)


@pytest.mark.parametrize(
    ("study", "moment"),
    [
        pytest.param(k // 4, m, marks=[pytest.mark.slow] * (k not in (0, 1)), id=f"{k // 4}, {m}")
        for k, m in enumerate(SAMPLE)
    ],
)
def test_killed_at_any_moment(base: Path, tmp_path: Path, study: int, moment: Moment) -> None:
    """Protects the bits contract's third line: SIGKILL and resume change no array of any file."""
    told = ran(base, study)
    assert killed.survived(moment, told, tmp_path) == []
    left = commands.tree(tmp_path / "study")
    assert set(left) - {"flags.txt"} >= {"manifest.json", "summary.json", "trials.parquet"}


def test_what_differs_is_told(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the check itself: a study that ends in another bit than the whole one is told."""
    told = ran(base, 0)
    monkeypatch.setattr(killed, "kill", lambda *given: shutil.copytree(told.workdir, given[2]))
    moment = Moment("time", 0.5)
    assert killed.survived(moment, told, tmp_path) == []
    path = tmp_path / "study" / "fingerprints.npz"
    shutil.rmtree(tmp_path / "study")

    def spoil(*given: object) -> None:
        shutil.copytree(told.workdir, tmp_path / "study")
        arrays = commands.files.read_npz(path)
        arrays["chains"].flat[3] ^= 1
        commands.files.write_npz(path, arrays)

    monkeypatch.setattr(killed, "kill", spoil)
    assert killed.survived(moment, told, tmp_path) == ["fingerprints/chains"]


@pytest.mark.slow
def test_killed_again_and_again(base: Path, tmp_path: Path) -> None:
    """Protects a study on a machine that fails often: each life goes on where the last one fell."""
    whole, workdir = ran(base, 0), tmp_path / "study"
    programs = whole.copy(tmp_path)
    flags = (*whole.study.arguments, f"--workdir={workdir}")
    seen = []
    for life in range(3):
        more = ["--resume"] if life else []
        arguments = [ENDED_AT, "SIGKILL", "41", "experiments.train", *flags, *more]
        assert finish(start(arguments, programs)).status == -signal.SIGKILL
        blocks = len(list(workdir.glob("blocks/*.npz")))
        seen.append((blocks, max(path.name for path in workdir.glob("checkpoints/*.npz"))))
    assert seen[0] < seen[1] < seen[2]
    assert killed.going_on(whole.study, workdir, 2).status == 0
    assert commands.differing(workdir, whole.workdir) == []


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.93])
def test_the_main_job_killed(base: Path, tmp_path: Path, share: float) -> None:
    """Protects the main job: killed while it compares or confirms, it gives the same advice."""
    flags = (*commands.SMALL, "--checkpoint_every=3", "--lanes=32")
    ended, workdir = commands.once(base, "five-32", "five_challenges", *flags)
    assert ended.status == 0, ended.err
    programs = Path(shutil.copytree(base / "programs", tmp_path / "own"))
    program = [ENDED_AT, "SIGKILL", "0", "experiments.five_challenges", *flags]
    counted = finish(start([*program, f"--workdir={tmp_path / 'counted'}"], programs))
    found = re.search(r"touches: (\d+)", counted.err)
    assert found is not None, counted.err
    program[2] = str(int(share * int(found[1])))
    study = tmp_path / "study"
    assert finish(start([*program, f"--workdir={study}"], programs)).status == -signal.SIGKILL
    assert (study / "confirmation").exists() == (share > 0.9)
    again = launch("five_challenges", *flags, f"--workdir={study}", "--resume")
    assert again.status == 0, again.err
    assert again.lines == ended.lines
    for name in ("", *commands.manifest(workdir)["children"]):
        assert commands.differing(study / name, workdir / name) == []
