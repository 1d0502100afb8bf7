"""The branch test from flags to files: what it says, writes, resumes and refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch, summary
from helpers.finished import finished

from convergence.analysis import branches as judged
from convergence.analysis.branches import BranchVerdict
from convergence.branching import folder, growth
from convergence.errors import UserError
from convergence.report import branch as tables
from convergence.reporting import figures, files, records
from convergence.spec import Arm, DataSpec

NAME = "schedules"
SMALL = (
    *("--parts=branch", "--preset=smoke", "--dataset=iris", "--batch_size=8", "--hidden=8"),
    *("--num_seeds=6", "--steps=60", "--lanes=32", "--eval_every=3"),
    *("--metric=cross_entropy", "--optimizer=sgd", "--learning_rate=0.3", "--notensorboard"),
)
PLANTED = "3:.001"  # dropped by so much within the first steps, iris is hardly learnt


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs and compiled programs are shared."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        yield tmp_path_factory.getbasetemp()


@pytest.fixture(scope="module")
def ran(base: Path) -> tuple[Ended, Path]:
    """A finished test of a run that was lowered too early."""
    return commands.once(base, "branch", NAME, *SMALL, f"--schedule={PLANTED}")


def test_what_it_says(ran: tuple[Ended, Path]) -> None:
    """Protects the terminal: the verdict first, a line a branch, in 80 columns."""
    ended, _ = ran
    assert ended.status == 0, ended.err
    assert ended.lines[0].startswith("Branch test: lowered too early. ")
    assert max(map(len, ended.lines)) <= 80
    for words in ("held to 9", "never lowered", "schedule 3:.001, lowered at step 3"):
        assert words in ended.out


def test_what_it_writes(ran: tuple[Ended, Path]) -> None:
    """Protects the summary: a planted fault is found, each way has its curve, and both files of
    the own run agree."""
    _, workdir = ran
    told = summary(workdir)["branch"]
    verdict = BranchVerdict.from_json(told["verdict"])
    assert verdict.verdict == judged.EARLY
    assert (told["schedule"], told["steps"], told["point"]) == (PLANTED, 60, 3)
    names = [way["name"] for way in told["ways"]]
    assert names == [judged.OWN, *(one.claim.treatment for one in verdict.branches)]
    for way in told["ways"]:
        for line in way["curve"].values():
            assert len(line) == len(told["eval_steps"])
            assert line[-1] is not None
    stored = files.read_npz(workdir / "branches.npz")
    trials = files.read_parquet(workdir / "trials.parquet")
    assert np.array_equal(
        stored["0/0/cross_entropy"][:, -1], np.float32(trials["validation_cross_entropy"])
    )
    prints = files.read_npz(workdir / "fingerprints.npz")["final"]
    assert np.array_equal(stored["0/0/fingerprint"], prints)  # the run as it was, grown again
    best = verdict.branches[verdict.best or 0]
    place = names.index(best.claim.treatment)
    gain = stored[f"0/{place}/cross_entropy"][:, -1] - stored["0/0/cross_entropy"][:, -1]
    assert best.effect == pytest.approx(gain.mean(dtype=np.float64), rel=1e-5)


def test_claims_are_fixed_before_training(ran: tuple[Ended, Path]) -> None:
    """Protects the rule: what is decided was written down before, claim by claim."""
    _, workdir = ran
    verdicts = [one["claim"] for one in summary(workdir)["verdicts"]]
    assert commands.manifest(workdir)["claims"] == verdicts
    assert {one["id"] for one in verdicts} == {"3c"}  # at step 3 no earlier point is left


def test_table_and_figure(ran: tuple[Ended, Path]) -> None:
    """Protects the report: one table, one figure of two panels, both telling the verdict."""
    _, workdir = ran
    found = records.read(workdir)
    ((name, title, headers, rows, _),) = tables.all_made(found)
    assert (name, title) == ("branches", "Branch test: lowered too early")
    assert all(len(row) == len(headers) for row in rows)
    assert len(rows) == len(summary(workdir)["branch"]["ways"])
    (drawn,) = [one for one in figures.draw(found) if one.name == "branches"]
    assert "lowered too early" in drawn.sentence
    for svg in drawn.svgs():
        ElementTree.fromstring(svg)
    page = (workdir / "report.html").read_text()
    assert "Where it ends" in page
    assert title in page


def test_resumed_between_branches(
    ran: tuple[Ended, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects --resume: killed between two branches, it ends in the same files, and what was
    there is not trained again."""
    whole, counted = ran[1], [0]
    branch = growth.Grower._branch

    def killed(self: Any, *given: Any) -> growth.Grown:
        counted[0] += 1
        if counted[0] == 4:
            raise KeyboardInterrupt
        return branch(self, *given)

    arguments = (*SMALL, f"--schedule={PLANTED}", f"--workdir={tmp_path / 's'}")
    monkeypatch.setattr(growth.Grower, "_branch", killed)
    assert launch(NAME, *arguments).status != 0
    assert launch(NAME, *arguments, "--resume").status == 0
    ways = len(summary(whole)["branch"]["ways"])
    assert counted[0] == 4 + ways - 3
    assert summary(tmp_path / "s") == summary(whole)
    stored = [files.read_npz(folder / "branches.npz") for folder in (whole, tmp_path / "s")]
    assert stored[0].keys() == stored[1].keys()
    assert all(stored[0][name].tobytes() == stored[1][name].tobytes() for name in stored[0])


@pytest.mark.parametrize(
    ("flags", "verdict", "said"),
    [
        (("--schedule=20:1",), None, "its rate never comes down"),
        pytest.param((), None, "schedule drop, lowered at step 30", marks=pytest.mark.slow),
        pytest.param(
            ("--schedule=cosine", "--warmup=5"),
            *(None, "lowered from its first steps on"),
            marks=pytest.mark.slow,
        ),
        (
            ("--learning_rate=1e30", "--schedule=drop"),
            *(judged.IMPOSSIBLE, "every seed of the run diverged"),
        ),
    ],
)
def test_other_runs(flags: tuple[str, ...], verdict: str | None, said: str, tmp_path: Path) -> None:
    """Protects odd runs: never lowered, lowered all along, diverged – answers in words."""
    ended = launch(NAME, *SMALL, *flags, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")["branch"]
    assert said in " ".join(ended.out.split())
    if verdict:
        assert told["verdict"]["verdict"] == verdict
    if "--schedule=20:1" in flags:
        assert {way["kind"] for way in told["ways"]} == {"own", "earlier"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--schedule=plateau",), "--schedule: reduce on plateau lowers the rate where"),
        (("--steps=8",), "--steps: 8 steps with a warm-up of 0 are too few to branch from"),
        (("--steps=20", "--warmup=15"), "--steps: 20 steps with a warm-up of 15"),
        (("--num_seeds=1",), "--num_seeds: must be at least 2 here"),
        (("--twin",), "--twin: has no part in this experiment"),
        (("--schedule=0:0",), "--schedule: the rate is 0 throughout"),
        (("--schedule=9:x",), "--schedule: '9:x' is not a pair"),
    ],
)
def test_mistakes(flags: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """Protects users: each mistake is named with its flag, before a folder is touched."""
    ended = launch(NAME, *SMALL, *flags, f"--workdir={tmp_path / 's'}")
    assert commands.refused(ended, NAME).startswith(said)
    assert not (tmp_path / "s").exists()


def test_a_finished_study_is_tested_from_its_folder(ran: tuple[Ended, Path]) -> None:
    """Protects scripts/branch.py: from the folder alone the same is found, and nothing written."""
    before = commands.tree(ran[1])
    assert folder.of_folder(ran[1]).to_json() == summary(ran[1])["branch"]
    assert commands.tree(ran[1]) == before


def test_folders_that_cannot_be_tested(ran: tuple[Ended, Path], tmp_path: Path) -> None:
    """Protects users: which arm, how many seeds, told in a sentence."""
    told = DataSpec(dataset="iris")
    arms = (Arm("base"), Arm.of("cosine", schedule="cosine"))
    finished(tmp_path / "one", told, arms=arms, num_seeds=1)
    with pytest.raises(UserError, match=r"--arm: the study in .* has 2 arms; name one: base, cos"):
        folder.of_folder(tmp_path / "one")
    with pytest.raises(UserError, match="one seed, which says nothing"):
        folder.of_folder(tmp_path / "one", "cosine")
    with pytest.raises(UserError, match="unknown arm 'cosin'"):
        folder.of_folder(tmp_path / "one", "cosin")
    script = [sys.executable, str(commands.ROOT / "scripts" / "branch.py")]
    done = subprocess.run([*script, "/nowhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("branch: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_beside_the_comparison_of_schedules(tmp_path: Path) -> None:
    """Protects --parts=schedules,branch: both answers, both sets of claims, in one study."""
    more = ("--parts=schedules,branch", "--schedules=linear", "--budgets=30,60")
    ended = launch(NAME, *SMALL, *more, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    families = {one["claim"]["family"] for one in told["verdicts"]}
    assert "branches" in families
    assert len(families) > 1
    assert told["branch"]["schedule"] == "drop"
    assert "Branch test: " in ended.out
    assert max(map(len, ended.lines)) <= 80
    claims = commands.manifest(tmp_path / "s")["claims"]
    assert claims == [one["claim"] for one in told["verdicts"]]
    refused = launch(NAME, *SMALL, *more, "--schedule=plateau", f"--workdir={tmp_path / 't'}")
    assert commands.refused(refused, NAME).startswith("--schedule: reduce on plateau")
    assert not (tmp_path / "t").exists()
