"""The experiment lr_finder from flags to files: what it says, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch, refused, summary

from convergence import names
from convergence.analysis.verdict import Verdict
from convergence.finder import wanted
from convergence.reporting import figures, records

NAME = "lr_finder"
SMALL = ("--preset=smoke", "--hidden=4", "--batch_size=8", "--notensorboard")
CASES = {
    "classification": (*SMALL, "--dataset=iris", "--optimizer=sgd"),
    "regression": (*SMALL, "--dataset=diabetes", "--loss=huber", "--horizon=48"),
}


@pytest.fixture(scope="module", params=CASES)
def ran(request: pytest.FixtureRequest, base: Path) -> tuple[str, Ended, Path]:
    """A finished smoke run, of a classification and of a regression."""
    ended, workdir = commands.once(base, f"finder-{request.param}", NAME, *CASES[request.param])
    return request.param, ended, workdir


def test_what_it_says(ran: tuple[str, Ended, Path]) -> None:
    """Protects the terminal: every table, and the rate in a plain sentence, no plot to read."""
    task, ended, workdir = ran
    assert ended.status == 0, ended.err
    assert max(map(len, ended.lines)) <= 80
    steps = 48 if task == "regression" else 32
    told = summary(workdir)["finding"]
    assert " ".join(ended.out.split()).count(f"Start from a learning rate of {told['rate']:.3g}")
    for part in (
        "Training loss by learning rate",
        "What each rule suggests",
        "this search, half",
        "fastai valley",
        "Claims, margin 0.05 of the best descent",
        f"for runs of {steps} steps",
    ):
        assert part in " ".join(ended.out.split()), part
    assert (workdir / "report.html").stat().st_size > 10_000


def test_what_it_writes(ran: tuple[str, Ended, Path]) -> None:
    """Protects readers of summary.json: the keys that its module promises, and their sense."""
    task, _, workdir = ran
    told = summary(workdir)
    found = told["finding"]
    assert found["verdict"] == "found"
    assert found["low"] < found["rate"] < found["high"]
    assert found["margin"] == pytest.approx(found["divergence"] / found["rate"])
    assert found["horizon"] == (48 if task == "regression" else 32)
    rates = [row["rate"] for row in told["first_search"]]
    np.testing.assert_allclose(rates, np.geomspace(1e-4, 10, 6), rtol=1e-5)
    assert {row["was"] for row in told["rates"]} >= {"too low", "useful"}
    assert len(told["second_search"]) == 13
    assert min(row["lost"] for row in told["second_search"]) == 0
    kinds = {row["kind"] for row in told["rules"]}
    assert kinds == {"ours", "literal", "published"}
    for row in told["rules"]:
        if row["lost_mean"] is not None:  # of two seeds, one may not descend at all in 16 steps
            assert 0 <= row["lost_mean"] <= row["lost_worst"] <= 1
    assert told["rate_free"] == []
    made = told["recommendation"]
    rounded = float(f"{found['rate']:.3g}")
    assert made["flags"] == [f"--learning_rate={rounded:.6g}"]
    assert (workdir / "recommended.txt").exists() == (made["decision"] == "holds")


def test_the_losses_are_those_of_the_trials(ran: tuple[str, Ended, Path]) -> None:
    """Protects the table of rates: mean training losses, worked out anew from curves.npz."""
    _, _, workdir = ran
    told, study = summary(workdir), records.read(workdir)
    for row in told["first_search"]:
        arm = next(a for a in study.arms if a == f"rate={row['rate']:.6g}")
        loss = study.curves["loss_mean"][study.rows[arm]][:, :16].mean(axis=1)
        if row["loss"] is not None:
            assert row["loss"] == pytest.approx(float(loss.mean()), rel=1e-5)


def test_claims_are_fixed_before_training(ran: tuple[str, Ended, Path]) -> None:
    """Protects the manifest: each verdict is on a claim that was written down beforehand."""
    _, _, workdir = ran
    fixed = commands.manifest(workdir)["claims"]
    verdicts = [Verdict.from_json(one) for one in summary(workdir)["verdicts"]]
    assert [verdict.claim.to_json() for verdict in verdicts] == fixed
    assert [one["id"] for one in fixed] == ["3a", "3a", "1a", "1a"]


def test_confirmed_at_the_horizon_on_unused_seeds(ran: tuple[str, Ended, Path]) -> None:
    """Protects the recommendation: other replicas, and runs as long as the rate is meant for."""
    task, _, workdir = ran
    manifest = commands.manifest(workdir / "confirmation")
    assert manifest["spec"]["run"]["first_replica"] == 2
    assert manifest["spec"]["setting"]["train"]["steps"] == (48 if task == "regression" else 32)


def test_its_figures(ran: tuple[str, Ended, Path]) -> None:
    """Protects the report: the loss by rate, and under a rate too low, good and too high."""
    drawn = {one.name: one for one in figures.draw(records.read(ran[2]))}
    assert {"rate_losses", "rates_compared"} <= set(drawn)
    assert "Start from" in drawn["rate_losses"].sentence
    for svg in drawn["rate_losses"].svgs():
        assert "runs diverge from" in svg
    page = (ran[2] / "report.html").read_text()
    for name in ("finding", "rate-losses", "rules"):
        assert f'id="{name}"' in page or f"id='{name}'" in page or f"{name}.md" in page


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--low=1e-9", "--high=1e-7"), ("No rate can be suggested", "Search from")),
        (("--low=1e20", "--high=1e25"), ("No rate can be suggested", "diverge at every rate")),
    ],
)
def test_a_range_that_does_not_do(
    flags: tuple[str, ...], words: tuple[str, ...], base: Path, tmp_path: Path
) -> None:
    """Protects users of --low and --high: what is wrong with the range, and a better one."""
    ended = launch(NAME, *CASES["classification"], *flags, f"--workdir={tmp_path / 's'}")
    assert ended.status == 0, ended.err
    for part in words:
        assert part in " ".join(ended.out.split())
    told = summary(tmp_path / "s")
    assert told["finding"]["rate"] is None
    assert told["finding"]["help"] is not None
    assert told["recommendation"]["setting"] is None
    assert not (tmp_path / "s" / "confirmation").exists()


@pytest.mark.slow
def test_the_range_is_found_by_itself(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the default: with no range given, it is widened to an optimum and divergence; the
    optimisers without a tuned rate stand beside it."""
    monkeypatch.setattr(wanted, "LOW", 1e-5)
    monkeypatch.setattr(wanted, "HIGH", 0.01)
    own = ("--low=0", "--high=0", "--rates=0", "--rivals", f"--workdir={tmp_path / 's'}")
    ended = launch(NAME, *CASES["classification"], *own)
    assert ended.status == 0, ended.err
    told = summary(tmp_path / "s")
    assert (tmp_path / "s" / "wider1").is_dir()
    assert told["finding"]["verdict"] == "found"
    assert told["finding"]["searched"][1] > 0.5
    assert told["finding"]["divergence"] is not None
    assert [row["optimizer"] for row in told["rate_free"][1:]] == list(names.RATE_FREE)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--low=-1",), "--low: -1 is out of range"),
        (("--low=1", "--high=2"), "--high: 2 is not four times 1"),
        (("--rates=2",), "--rates: 2 is out of range"),
        (("--horizon=8",), "--horizon: 8 is shorter"),
        (("--steps=3",), "--steps: 3 is out of range"),
        (("--epochs=2",), "--epochs: does not fit here"),
        (("--learning_rate=0",), "--learning_rate: must be above 0"),
    ],
)
def test_bad_flags(flags: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """Protects users: a sentence that names the flag, status 2, and no folder touched."""
    ended = launch(NAME, *SMALL, "--dataset=iris", *flags, f"--workdir={tmp_path / 's'}")
    assert refused(ended, NAME).startswith(words)
    assert not (tmp_path / "s").exists()


def test_dry_run(base: Path, tmp_path: Path) -> None:
    """Protects --dry_run: the cost is told, nothing is written."""
    ended = launch(NAME, *CASES["regression"], "--dry_run", f"--workdir={tmp_path / 's'}")
    assert ended.status == 0
    assert "18 trials" in ended.out
    assert "second search" in ended.out
    assert not (tmp_path / "s").exists()
