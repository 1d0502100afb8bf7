"""A workdir in the wrong state, and a study that is stopped: told in a line, and nothing lost."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import commands
from helpers.commands import Ended, finish, launch, refused, start

from convergence import laboratory, study
from convergence.reporting import files, tensorboard
from convergence.reporting.workdir import Workdir

# Two blocks of 4 lanes, with a checkpoint every 8 steps.
STUDY = (
    *commands.SMALL,
    "--lanes=4",
    "--num_seeds=6",
    "--steps=40",
    "--eval_every=8",
    "--checkpoint_every=8",
)


@pytest.fixture(scope="module")
def whole(base: Path) -> Path:
    """The workdir of the study, never interrupted."""
    ended, workdir = commands.once(base, "whole", "train", *STUDY)
    assert ended.status == 0, ended.err
    return workdir


def stopped_at(checkpoint: int, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """The study, stopped with Ctrl-C once it has written so many checkpoints."""
    really, count = study.CheckpointFolder.save_checkpoint, 0

    def save(self: Any, *arguments: Any) -> None:
        nonlocal count
        really(self, *arguments)
        count += 1
        if count == checkpoint:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study.CheckpointFolder, "save_checkpoint", save)
        return launch("train", *STUDY, f"--workdir={workdir}")


def resumed(workdir: Path, whole: Path) -> Ended:
    """The study, continued by its flags.txt to its end: that of the whole one in every bit."""
    flagfile = f"--flagfile={workdir / 'flags.txt'}"
    ended = launch("train", flagfile, f"--workdir={workdir}", "--resume")
    assert ended.status == 0, ended.err
    assert commands.differing(workdir, whole) == []
    left = commands.tree(workdir)
    assert not [name for name in left if name.startswith(("blocks", "checkpoints", "."))]
    assert commands.manifest(workdir)["status"] == "finished"
    return ended


def test_a_report_that_was_not_reached_is_drawn(whole: Path, tmp_path: Path) -> None:
    """Protects a study killed between its last record and its report: --resume draws it."""
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / "report.html").unlink()
    half = copy / "tables" / f".summary.txt.1.x{files.TEMPORARY_SUFFIX}"
    half.write_text("half")
    again = launch("train", *STUDY, f"--workdir={copy}", "--resume")
    assert again.status == 0, again.err
    assert (copy / "report.html").is_file()
    assert not half.exists()


def test_a_finished_study_is_kept(whole: Path) -> None:
    """Protects results: a finished study is replaced only with --overwrite, and shown again."""
    before = commands.tree(whole)
    told = refused(launch("train", *STUDY, f"--workdir={whole}"), "train")
    assert told.startswith(f"--workdir: {whole} holds a finished study; give --overwrite")
    again = launch("train", *STUDY, f"--workdir={whole}", "--resume")
    assert again.status == 0
    assert again.lines[0] == f"The study in {whole} is finished; nothing is left to run."
    assert "accuracy on validation rows" in again.out
    assert again.out.endswith(f"TensorBoard: {tensorboard.command(whole / 'tb')}\n")
    assert commands.tree(whole) == before


def test_overwrite_starts_again(whole: Path, tmp_path: Path) -> None:
    """Protects --overwrite: nothing of the old study is left in the new one."""
    other = launch("train", *STUDY, "--steps=8", "--twin", f"--workdir={tmp_path}")
    assert other.status == 0
    assert launch("train", *STUDY, f"--workdir={tmp_path}", "--overwrite").status == 0
    assert commands.differing(tmp_path, whole) == []
    runs = [path.name for path in (tmp_path / "tb").iterdir() if path.is_dir()]
    assert sorted(runs) == ["base", "progress"]


def test_an_interrupted_study(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects hours of work: a stopped study is neither lost nor continued as another one."""
    ended = stopped_at(6, tmp_path, monkeypatch)
    assert ended.status == 130
    assert "Traceback" not in ended.err
    assert re.search(r"train: interrupted; continue with: python \S+ .* --resume$", ended.err)
    before = commands.tree(tmp_path)
    assert commands.manifest(tmp_path)["status"] == "interrupted"
    assert {"blocks/00000.npz", "checkpoints/block_00001_step_000000016.npz"} <= set(before)
    told = refused(launch("train", *STUDY, f"--workdir={tmp_path}"), "train")
    assert told.startswith(f"--workdir: {tmp_path} holds an unfinished study (interrupted); give")
    assert "--resume to continue" in told
    for more, which in (
        (("--steps=41",), "setting.train.steps was 40, now 41"),
        (("--learning_rate=0.1",), "setting.train.learning_rate was 0.001, now 0.1"),
        (("--num_seeds=7",), "run.num_seeds was 6, now 7"),
        (("--test",), "extra.test was False, now True"),
    ):
        arguments = (*STUDY, f"--workdir={tmp_path}", "--resume", *more)
        told = refused(launch("train", *arguments), "train")
        assert told.startswith(f"--resume: the study in {tmp_path} has other settings: {which}.")
    told = refused(launch("schedules", *STUDY, f"--workdir={tmp_path}", "--resume"), "schedules")
    assert "name was 'train', now 'schedules'" in told
    assert commands.tree(tmp_path) == before
    # What a kill would leave of files that were being written goes, too.
    for name in (".curves.npz.0a1b.part", "checkpoints/.x.part", "blocks/.00001.npz.2c.part"):
        (tmp_path / name).write_text("half")
    assert resumed(tmp_path, whole).lines[0] == "accuracy on train rows (intervals speak of seeds)"


def test_stopped_before_its_claims_were_told(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a study stopped in its first moment: what was not yet on record is, on resuming."""
    really = Workdir.update

    def update(self: Workdir, **fields: Any) -> None:
        if "claims" in fields:
            raise KeyboardInterrupt
        really(self, **fields)

    arguments = (*commands.SMALL, "--schedules=cosine;linear", f"--workdir={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "update", update)
        assert launch("schedules", *arguments).status == 130
    assert commands.manifest(tmp_path)["claims"] is None
    assert launch("schedules", *arguments, "--resume").status == 0
    assert len(commands.manifest(tmp_path)["claims"]) == 12
    assert "--schedules=cosine;linear\n" in (tmp_path / "flags.txt").read_text()


def test_a_loss_of_the_users_that_changed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a study with the user's own code: edited half-way, it is another study."""
    monkeypatch.setenv("HOME", str(tmp_path))
    code = tmp_path / "own.py"
    code.write_text("def loss(outputs, targets):\n    return (outputs[..., 0] - targets) ** 2\n")
    flags = ["--preset=smoke", "--dataset=diabetes", "--loss=~/own.py:loss"]
    arguments = [*flags, f"--workdir={tmp_path / 'study'}"]
    monkeypatch.setattr(laboratory.Study, "run", interrupted)
    assert launch("train", *arguments).status == 130
    assert launch("train", *arguments, "--resume").status == 130
    code.write_text(code.read_text().replace("** 2", "** 4"))
    told = refused(launch("train", *arguments, "--resume"), "train")
    assert "began under other conditions: " in told
    assert "own.py" in told


def interrupted(study: Any) -> None:
    """What Ctrl-C does to a study that is about to train."""
    raise KeyboardInterrupt


def flipped(path: Path) -> None:
    """One bit of the file turned over."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a bit flipped": flipped,
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
    "another's": lambda path: files.write_npz(path, {"x": [1.0]}),
}


@pytest.mark.parametrize(
    "damage",
    [pytest.param(name, marks=[pytest.mark.slow] * (k > 1)) for k, name in enumerate(DAMAGE)],
)
def test_a_corrupt_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Protects from a damaged checkpoint: the one before it is used, it is said, the bits agree."""
    stopped_at(7, tmp_path, monkeypatch)
    newest = tmp_path / "checkpoints" / "block_00001_step_000000024.npz"
    DAMAGE[damage](newest)
    ended = resumed(tmp_path, whole)
    told = " ".join(ended.out.partition("accuracy on")[0].split())
    assert told.startswith("note: The checkpoint of block 1 after step 24 cannot be used (")
    assert told.endswith("; fell back to the one before it.")


def test_all_of_it_corrupt(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from damage everywhere: blocks without a whole file are trained again, and told."""
    stopped_at(7, tmp_path, monkeypatch)
    for path in [*(tmp_path / "checkpoints").iterdir(), *(tmp_path / "blocks").iterdir()]:
        flipped(path)
    told = " ".join(resumed(tmp_path, whole).out.split())
    assert "Block 0 is computed again." in told
    assert "after step 24 cannot be used" in told
    assert re.search(r"after step 16 cannot be used \(.*?\); the block starts again\.", told)


@pytest.mark.parametrize(
    "full",
    [
        "checkpoints/block_00001",
        "curves.npz",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("blocks/00001", "summary.json")),
    ],
)
def test_a_full_disk(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    """Protects a study on a full disk: marked failed, nothing half-written, and it can go on."""
    really, happened = os.fsync, False

    def fsync(descriptor: int) -> None:
        # Full from this file on, until the workdir gives its reserve back.
        nonlocal happened
        here = os.fstat(descriptor)
        halves = [p for p in tmp_path.rglob(".*.part") if os.path.samestat(p.stat(), here)]
        name = str(halves[0].relative_to(tmp_path)) if halves else ""
        happened |= full in name.replace("/.", "/").removeprefix(".")
        if happened and (tmp_path / ".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        really(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        ended = launch("train", *STUDY, f"--workdir={tmp_path}")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    last = ended.err.splitlines()[-1]
    assert re.fullmatch(
        rf"train: cannot write {tmp_path}/{full}\S*: No space left on device\.", last
    )
    found = commands.manifest(tmp_path)
    assert found["status"] == "failed"
    assert "No space left on device" in found["error"]
    left = commands.tree(tmp_path)
    assert not [name for name in left if name.endswith(".part")]
    for name in left:
        if name.endswith(".npz"):
            files.read_npz(tmp_path / name)  # checks every checksum
    told = refused(launch("train", *STUDY, f"--workdir={tmp_path}"), "train")
    assert "holds an unfinished study (failed); give --resume" in told
    resumed(tmp_path, whole)


def test_ctrl_c(base: Path, whole: Path, tmp_path: Path) -> None:
    """Protects Ctrl-C in a real terminal: status 130, and the command it tells ends in the bits."""
    workdir = tmp_path / "my study"
    program = str(Path(commands.__file__).with_name("ended_at.py"))
    flags = [*STUDY, f"--workdir={workdir}"]
    programs = base / "programs"
    # The 40th touch of the disk is in the second block, between two checkpoints' files.
    ended = finish(start([program, "SIGINT", "40", "experiments.train", *flags], programs))
    assert ended.status == 130, ended.err
    assert "Traceback" not in ended.err
    assert commands.manifest(workdir)["status"] == "interrupted"
    left = commands.tree(workdir)
    assert "blocks/00000.npz" in left
    assert not [name for name in left if name.endswith((".part", ".lock", ".reserve"))]
    told = re.search(r"train: interrupted; continue with: (.*)", ended.err)
    assert told is not None
    command = shlex.split(told[1])
    assert command[:3] == ["python", "-m", "experiments.train"]
    again = launch("train", *command[3:])  # its words, in this process: it has the programs
    assert again.status == 0, again.err
    assert commands.differing(workdir, whole) == []
