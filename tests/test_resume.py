"""Killed at any moment and resumed, a study ends in the same bits: SIGKILL to real processes."""

from __future__ import annotations

import dataclasses
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, finish, launch, start

ENDED_AT = str(Path(commands.__file__).with_name("ended_at.py"))
# Three blocks of 4 lanes; checkpoints and evaluations at steps of their own; wrong labels, twins.
STUDY = (
    *commands.SMALL,
    "--lanes=4",
    "--num_seeds=5",
    "--twin",
    "--test",
    "--label_noise=0.1",
    "--learning_rate=0.01",
    "--steps=320",
    "--eval_every=40",
    "--checkpoint_every=30",
    "--fingerprint_every=7",
)


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a process is killed: at a share of its touches of the disk, or of its time."""

    kind: str
    share: float
    workers: int = 2  # of the run that goes on, after one with 2

    def __str__(self) -> str:
        return f"{self.kind} {self.share:.3f}, {self.workers} workers"


def moments() -> list[Moment]:
    """Ten moments from a fixed generator: seven of them in the middle of writing something."""
    shares = np.random.default_rng(9).uniform(size=10)
    kinds = ["write", "time", "write"] * 3 + ["write"]
    return [
        Moment(kind, share, workers=1 if k == 2 else 2)
        for k, (kind, share) in enumerate(zip(kinds, shares))
    ]


@dataclasses.dataclass(frozen=True)
class Whole:
    """The uninterrupted run.

    Attributes:
        touches: of the disk, as `ended_at` counts them.
        seconds: from its first checkpoint to its end.
        programs: what it compiled.
    """

    workdir: Path
    touches: int
    seconds: float
    programs: Path

    def copy(self, folder: Path) -> Path:
        """The compiled programs for one process alone: a kill may cut a file of them short."""
        return Path(shutil.copytree(self.programs, folder / "programs"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs and compiled programs are shared."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        yield tmp_path_factory.getbasetemp()


@pytest.fixture(scope="module")
def whole(base: Path) -> Whole:
    """The study in a process that nobody kills."""
    folder = commands.shared_folder(base) / "never-killed"
    folder.mkdir(exist_ok=True)
    programs, workdir, told = base / "programs", folder / "study", folder / "told"
    with commands.alone(folder):
        commands.exchange(programs)
        if not told.exists():
            arguments = [ENDED_AT, "SIGKILL", "0", "experiments.train", *STUDY]
            ended = finish(start([*arguments, f"--workdir={workdir}"], programs))
            assert ended.status == 0, ended.err
            told.write_text(ended.err)
        commands.exchange(programs)
    found = re.search(r"touches: (\d+), then (\S+) s", told.read_text())
    assert found is not None
    return Whole(workdir, int(found[1]), float(found[2]), programs)


def killed(moment: Moment, whole: Whole, workdir: Path, programs: Path) -> None:
    """Runs the study in a process and kills it at the moment, before it ends."""
    flags = (*STUDY, f"--workdir={workdir}", "--workers=2")
    if moment.kind == "write":
        at = 1 + int(moment.share * (whole.touches - 1))
        arguments = [ENDED_AT, "SIGKILL", str(at), "experiments.train", *flags]
        assert finish(start(arguments, programs)).status == -signal.SIGKILL
        assert at < 10 or commands.manifest(workdir)["status"] == "running"
        return
    delay = moment.share * whole.seconds
    while True:
        process = start(["-m", "experiments.train", *flags, "--overwrite"], programs)
        while not any(workdir.glob("checkpoints/block*")) and process.poll() is None:
            time.sleep(0.002)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
        ended = finish(process)
        assert ended.status in (0, -signal.SIGKILL), ended.err
        if commands.manifest(workdir)["status"] == "running":
            return
        delay /= 2  # the machine was faster this time: it had ended


def going_on(workdir: Path, workers: int) -> Ended:
    """Continues the study in this process."""
    begun = (workdir / "manifest.json").exists()
    more = ["--resume"] if begun else []
    return launch("train", *STUDY, f"--workdir={workdir}", f"--workers={workers}", *more)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(m, marks=[pytest.mark.slow] * (k not in (1, 2)), id=str(m))
        for k, m in enumerate(moments())
    ],
)
def test_killed_at_any_moment(whole: Whole, tmp_path: Path, moment: Moment) -> None:
    """Protects the bits contract's third line: SIGKILL and resume change no array of any file."""
    workdir, programs = tmp_path / "study", whole.copy(tmp_path)
    killed(moment, whole, workdir, programs)
    ended = going_on(workdir, moment.workers)
    assert ended.status == 0, ended.err
    assert "damaged" not in ended.out
    assert commands.differing(workdir, whole.workdir) == []
    assert commands.manifest(workdir)["status"] == "finished"
    left = commands.tree(workdir)
    assert set(left) - {"flags.txt"} >= {"manifest.json", "summary.json", "trials.parquet"}
    assert not [name for name in left if name.endswith((".part", ".lock", ".reserve"))]
    assert left["tables/summary.txt"] == (whole.workdir / "tables" / "summary.txt").read_bytes()


@pytest.mark.slow
def test_killed_again_and_again(whole: Whole, tmp_path: Path) -> None:
    """Protects a study on a machine that fails often: each life goes on where the last one fell."""
    workdir, programs = tmp_path / "study", whole.copy(tmp_path)
    flags = (*STUDY, f"--workdir={workdir}")
    seen = []
    for life in range(3):
        more = ["--resume"] if life else []
        arguments = [ENDED_AT, "SIGKILL", "41", "experiments.train", *flags, *more]
        assert finish(start(arguments, programs)).status == -signal.SIGKILL
        blocks = len(list(workdir.glob("blocks/*.npz")))
        seen.append((blocks, max(path.name for path in workdir.glob("checkpoints/*.npz"))))
    assert seen[0] < seen[1] < seen[2]
    assert going_on(workdir, 2).status == 0
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
