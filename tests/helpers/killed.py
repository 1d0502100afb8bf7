"""Studies killed at random moments and resumed, held against ones that nobody kills, as a table.

PYTHONPATH=tests python -m helpers.killed [--moments=30] [--folder=DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from helpers import commands
from helpers.commands import Ended, finish, launch, start

ENDED_AT = str(Path(commands.__file__).with_name("ended_at.py"))
Kind = Literal["write", "time", "checkpoint"]
KINDS: tuple[Kind, ...] = ("write", "checkpoint", "time")
_PART = re.compile(r"\.block_(\d+)_step_(\d+)\.npz\.\w+\.part")


@dataclasses.dataclass(frozen=True)
class Killable:
    """A small study of several blocks that leaves many checkpoints.

    Attributes:
        name: what is trained, in a few words.
        experiment: the command.
        flags: all but its folder.
        blocks: how many.
        steps, every: of a trial, and between checkpoints.
    """

    name: str
    experiment: str
    flags: tuple[str, ...]
    blocks: int
    steps: int
    every: int

    @property
    def arguments(self) -> tuple[str, ...]:
        """All flags but its folder."""
        return (
            "--preset=smoke",
            *self.flags,
            "--lanes=4",
            f"--steps={self.steps}",
            f"--checkpoint_every={self.every}",
        )


# Checkpoints, evaluations and fingerprints fall due at steps of their own.
STUDIES = (
    Killable(
        "mlp, dropout, wrong labels, twins",
        "train",
        ("--dataset=iris", "--batch_size=8", "--model=mlp", "--hidden=4", "--dropout=0.2",
         "--label_noise=0.1", "--learning_rate=0.01", "--num_seeds=5", "--twin", "--test",
         "--eval_every=40", "--fingerprint_every=7"),
        3, 320, 12,
    ),
    Killable(
        "gru, splits vary",
        "train",
        ("--dataset=mnist1d", "--train_size=160", "--validation_fraction=0.03", "--model=gru",
         "--hidden=4", "--batch_size=16", "--vary=init,order,split", "--num_seeds=8",
         "--eval_every=25", "--fingerprint_every=10"),
        2, 100, 6,
    ),
    Killable(
        "regression, three arms, one diverges",
        "schedules",
        ("--dataset=diabetes", "--model=mlp", "--hidden=6", "--optimizer=momentum",
         "--learning_rate=0.001", "--schedules=cosine;0:1,70:1e30", "--outliers=0.1",
         "--batch_size=16", "--num_seeds=4", "--eval_every=33", "--fingerprint_every=9"),
        3, 240, 10,
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a study's process is killed.

    Attributes:
        kind: at a touch of the disk (a file flushed or given its name), once a checkpoint's
            temporary file is seen, or after some time.
        share: of all touches, of all checkpoints or of the time, at which that is.
        workers: of the run that goes on, after one with 2.
        again: whether the run that goes on is killed, too, before the last one.
    """

    kind: Kind
    share: float
    workers: int = 2
    again: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.share:.3f}, {self.workers} workers{', twice' * self.again}"


def moments(count: int, seed: int = 9) -> list[Moment]:
    """Moments from a fixed generator: the kinds in turn, every fifth killed twice."""
    shares = np.random.default_rng(seed).uniform(size=count)
    return [
        Moment(KINDS[k % 3], share, 1 if k % 4 == 3 else 2, k % 5 == 4)
        for k, share in enumerate(shares.tolist())
    ]


@dataclasses.dataclass(frozen=True)
class Whole:
    """A study that ran without a kill.

    Attributes:
        touches: of the disk, as `ended_at` counts them.
        seconds: from its first checkpoint to its end.
        programs: what it compiled.
    """

    study: Killable
    workdir: Path
    touches: int
    seconds: float
    programs: Path

    def copy(self, folder: Path) -> Path:
        """The compiled programs for one process alone: a kill may cut a file of them short."""
        return Path(shutil.copytree(self.programs, folder / "programs", dirs_exist_ok=True))


def whole(study: Killable, folder: Path, programs: Path) -> Whole:
    """Runs a study in a process that nobody kills, once for each folder."""
    folder.mkdir(exist_ok=True, parents=True)
    workdir, told = folder / "study", folder / "told"
    with commands.alone(folder):
        commands.exchange(programs)
        if not told.exists():
            program = [ENDED_AT, "SIGKILL", "0", f"experiments.{study.experiment}"]
            ended = finish(start([*program, *study.arguments, f"--workdir={workdir}"], programs))
            assert ended.status == 0, ended.err
            told.write_text(ended.err)
        commands.exchange(programs)
    found = re.search(r"touches: (\d+), then (\S+) s", told.read_text())
    assert found is not None
    return Whole(study, workdir, int(found[1]), float(found[2]), programs)


def _stop(process: subprocess.Popen[str]) -> None:
    """Kills the process, if it has not ended."""
    process.kill()
    ended = finish(process)
    assert ended.status in (0, -signal.SIGKILL), ended.err


def _after_a_while(workdir: Path, process: subprocess.Popen[str], delay: float) -> None:
    while not (workdir / "checkpoints").exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    _stop(process)


def _inside_a_checkpoint(
    workdir: Path, process: subprocess.Popen[str], block: int, step: int
) -> None:
    """Kills as soon as the temporary file of this checkpoint, or of a later one, is seen."""
    folder = workdir / "checkpoints"
    while process.poll() is None:
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):  # it comes and goes with each block
            names = os.listdir(folder)
        found = filter(None, map(_PART.fullmatch, names))
        if any((int(one[1]), int(one[2])) >= (block, step) for one in found):
            break
    _stop(process)


def kill(moment: Moment, told: Whole, workdir: Path, programs: Path, resumed: bool = False) -> None:
    """Runs the study (or goes on with it) in a process, and kills it.

    A fresh study is killed before it has ended (after that, only its report is drawn): where the
    machine was faster than that, again at half of the share. One that goes on may end first.
    """
    share = moment.share
    while True:
        _killed_once(dataclasses.replace(moment, share=share), told, workdir, programs, resumed)
        manifest = workdir / "manifest.json"
        if resumed or not manifest.exists() or commands.manifest(workdir)["status"] == "running":
            return
        share /= 2


def _killed_once(moment: Moment, told: Whole, workdir: Path, programs: Path, resumed: bool) -> None:
    study = told.study
    module = f"experiments.{study.experiment}"
    flags = [*study.arguments, f"--workdir={workdir}", "--workers=2"]
    flags.append("--resume" if resumed else "--overwrite")
    if moment.kind == "write":
        at = 1 + int(moment.share * (told.touches - 1))
        ended = finish(start([ENDED_AT, "SIGKILL", str(at), module, *flags], programs))
        assert ended.status == -signal.SIGKILL or resumed, ended.err
        return
    process = start(["-m", module, *flags], programs)
    if moment.kind == "time":
        _after_a_while(workdir, process, moment.share * told.seconds)
        return
    per_block = -(-study.steps // study.every) - 1
    number = int(moment.share * study.blocks * per_block)
    step = (number % per_block + 1) * study.every
    _inside_a_checkpoint(workdir, process, number // per_block, step)


def doing(workdir: Path) -> str:
    """What a killed study was at, from what it left."""
    part = next(iter(sorted(workdir.rglob("*.part"))), None)
    blocks = len(list(workdir.glob("blocks/*.npz")))
    saved = sorted(path.stem for path in workdir.glob("checkpoints/block*.npz"))
    if part is not None:
        name = part.name.removeprefix(".").rsplit(".", 2)[0]
        return f"writing {part.parent.name}/{name}: {part.stat().st_size:,} bytes were there"
    if (workdir / "predictions.npz").exists():
        return "writing its results"
    if not blocks and not saved:
        return "before the first checkpoint"
    at = f"after checkpoint {saved[-1]}" if saved else "between checkpoints"
    return f"{blocks} blocks done, {at}"


def going_on(study: Killable, workdir: Path, workers: int) -> Ended:
    """Goes on with the study in this process, to its end."""
    begun = (workdir / "manifest.json").exists()
    more = ["--resume"] if begun else []
    told = (f"--workdir={workdir}", f"--workers={workers}", *more)
    return launch(study.experiment, *study.arguments, *told)


def _finished(workdir: Path) -> bool:
    """Whether the study came to its end; one killed before its first file has not begun."""
    begun = (workdir / "manifest.json").exists()
    return begun and commands.manifest(workdir)["status"] == "finished"


def survived(
    moment: Moment,
    told: Whole,
    folder: Path,
    seen: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """What differs between a study killed at a moment and resumed, and one that nobody killed.

    Args:
        folder: an empty one, for its files.
        seen: told what the study was doing each time that it was killed.
    """
    workdir, programs = folder / "study", told.copy(folder)
    kill(moment, told, workdir, programs)
    seen(doing(workdir))
    if moment.again and (workdir / "manifest.json").exists():
        kill(dataclasses.replace(moment, share=moment.share / 3), told, workdir, programs, True)
        seen(doing(workdir))
    wrong = []
    if not _finished(workdir):
        ended = going_on(told.study, workdir, moment.workers)
        wrong += [ended.err] * (ended.status != 0) + ["damaged"] * ("damaged" in ended.out)
    if not _finished(workdir):
        return [*wrong, "it did not finish"]
    wrong += commands.differing(workdir, told.workdir)
    left = commands.tree(workdir)
    wrong += [name for name in left if name.endswith((".part", ".lock", ".reserve"))]
    if left["tables/summary.txt"] != (told.workdir / "tables" / "summary.txt").read_bytes():
        wrong.append("tables/summary.txt")
    return wrong


def table(count: int, folder: Path) -> Iterator[str]:
    """The moments dealt out to the studies in turn, one a line of Markdown."""
    yield "| study | moment | what it was doing when killed | differing arrays |"
    yield "| --- | --- | --- | ---: |"
    good = inside = 0
    with commands.programs_kept(folder) as programs:
        ran = [whole(study, folder / f"whole-{k}", programs) for k, study in enumerate(STUDIES)]
        for number, moment in enumerate(moments(count)):
            told, mine = ran[number // len(KINDS) % len(ran)], folder / f"killed-{number}"
            mine.mkdir()
            was: list[str] = []
            wrong = survived(moment, told, mine, was.append)
            good += not wrong
            inside += any("writing checkpoints/" in text for text in was)
            yield f"| {told.study.name} | {moment} | {'; '.join(was)} | {len(wrong)} |"
            if wrong:
                yield f"\n{wrong}\n"
            shutil.rmtree(mine)
    yield f"\n{good} of {count} ended in the same bits; {inside} were killed inside a checkpoint."


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None, help="keep the studies here")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for line in table(flags.moments, flags.folder or Path(temporary)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
