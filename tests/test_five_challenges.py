"""The main job end to end: tables, verdicts, and a recommendation that only unused data confirm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch, summary
from helpers.markup import Page

from convergence import data, flags, laboratory, spec
from convergence.reporting import files, tensorboard

FIVE = commands.SMALL
# A model without widths: one program to compile instead of three.
DIABETES = ("--preset=smoke", "--dataset=diabetes", "--batch_size=8", "--model=linear", "--hidden=")
ARMS, SEEDS = {"iris": 31, "diabetes": 29}, 2
DECISIONS = {"holds", "fails", "undecided", "not applicable"}


@pytest.fixture(scope="module")
def iris(base: Path) -> tuple[Ended, Path]:
    """The main job on iris."""
    return commands.once(base, "five", "five_challenges", *FIVE)


@pytest.fixture(scope="module")
def diabetes(base: Path) -> tuple[Ended, Path]:
    """The main job on a regression."""
    return commands.once(base, "five-diabetes", "five_challenges", *DIABETES)


@pytest.mark.parametrize(("name", "metric"), [("iris", "accuracy"), ("diabetes", "rmse")])
def test_what_is_said(request: pytest.FixtureRequest, name: str, metric: str) -> None:
    """Protects the answer: a primary claim for each challenge, its verdict, then the advice."""
    ended, workdir = request.getfixturevalue(name)
    assert ended.status == 0, ended.err
    assert ended.err.startswith(f"five_challenges: {ARMS[name]} arms × {SEEDS} seeds on {name}, ")
    assert max(map(len, ended.lines)) <= 80
    shown = tensorboard.command(workdir / "tb")
    report = laboratory.opening_command(workdir / "report.html")
    assert ended.out.endswith(f"\nWorkdir: {workdir}\nReport: {report}\nTensorBoard: {shown}\n")
    primary = ended.out.index(f"The five challenges on {name}: {metric} (")
    advice = ended.out.index(
        "\n\nRecommended" if "\n\nRecommended" in ended.out else "\n\nWithdrawn"
    )
    assert ended.out.index("Further claims") < primary < advice
    verdicts = summary(workdir)["verdicts"]
    assert {v["decision"] for v in verdicts} <= DECISIONS
    first = [v for v in verdicts if v["claim"]["family"] == "primary"]
    assert [v["claim"]["challenge"] for v in first] == [1, 2, 3, 4, 5]
    table = ended.out[primary:advice].replace("*", "").split()
    for verdict in first:
        assert verdict["claim"]["id"] in table
        assert verdict["comparisons"] == 5
    assert (workdir / "tables" / "summary.txt").read_text().splitlines() == ended.lines


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_the_report_answers(request: pytest.FixtureRequest, name: str) -> None:
    """Protects the page that is forwarded: every claim, the advice, all figures."""
    ended, workdir = request.getfixturevalue(name)
    read = Page((workdir / "report.html").read_text("utf-8"))
    assert read.unclosed == []
    words = " ".join(read.words.split())
    for one in summary(workdir)["verdicts"]:
        assert one["claim"]["statement"] in words
    assert "Confirmation: the recommended setting on unused seeds" in words
    assert ("Recommended, confirmed" in words) == ("\n\nRecommended, confirmed" in ended.out)
    figures = {one for one in read.ids if one.startswith("figure-") and not one.endswith("-title")}
    always = ("differences", "finals", "metric", "loss", "rate", "spread")
    assert {f"figure-{one}" for one in always} <= figures


def test_what_cannot_be_asked(diabetes: tuple[Ended, Path]) -> None:
    """Protects from an answer without a question: a model without widths has no narrow one."""
    ended, workdir = diabetes
    asked = summary(workdir)["not_applicable"]
    assert [one["id"] for one in asked] == ["5e", "5d"]
    for one in asked:
        assert f"{one['id']} {' '.join(one['statement'].split()[:3])}" in ended.out
    assert ended.out.count("not applicable (") == 2


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_every_file_is_there(request: pytest.FixtureRequest, name: str) -> None:
    """Protects the workdir's contract: every trial of every arm in every file, a run an arm."""
    _, workdir = request.getfixturevalue(name)
    found = commands.manifest(workdir)
    assert found["status"] == "finished"
    assert found["children"] in (["confirmation"], ["combination", "confirmation"])
    for study in (workdir, *(workdir / child for child in found["children"])):
        assert commands.manifest(study)["status"] == "finished"
        left = {path.name for path in study.iterdir()}
        assert not left & {"blocks", "checkpoints", ".lock", ".reserve"}
    table = files.read_parquet(workdir / "trials.parquet")
    arms = [arm["name"] for arm in found["spec"]["arms"]]
    assert len(arms) == ARMS[name]
    assert table["arm"] == arms * SEEDS
    assert set(table["status"]) == {"finished"}
    trials = ARMS[name] * SEEDS
    for path, arrays in ((n, files.read_npz(workdir / f"{n}.npz")) for n in commands.ARRAYS):
        wanted = {
            "fingerprints": ("marks", "chains", "final", "final_chain"),
            "curves": ("loss_mean", "loss_improving"),
            "predictions": ("outputs",),
            "sketches": ("sketches",),
        }[path]
        assert {len(arrays[key]) for key in wanted} == {trials}
    runs = {run.name for run in (workdir / "tb").iterdir() if run.is_dir()}
    assert len(runs - {tensorboard.PROGRESS}) == ARMS[name]
    assert [row["arm"] for row in summary(workdir)["arms"]] == arms


def test_arms_differ_where_they_say(iris: tuple[Ended, Path]) -> None:
    """Protects the experiment's control: an arm changes what its name says, and its data only."""
    table = files.read_parquet(iris[1] / "trials.parquet")
    by_arm = {arm: k for k, arm in reversed(list(enumerate(table["arm"])))}
    default = {name: table[name][by_arm["default"]] for name in spec.TRACED}
    for arm, field, value in (
        ("rate=0.1", "learning_rate", 0.1),
        ("decay=0.01", "weight_decay", 0.01),
        ("init_scale=10", "init_scale", 10.0),
        ("one-bit twin", "", None),
        ("schedule=cosine", "", None),
    ):
        here = {name: table[name][by_arm[arm]] for name in spec.TRACED}
        assert here == default | ({field: value} if field else {})
    prints = files.read_parquet(iris[1] / "trials.parquet")["fingerprint"]
    assert prints[by_arm["one-bit twin"]] != prints[by_arm["default"]]
    assert prints[by_arm["spoiled"]] != prints[by_arm["default"]]


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_confirmation_uses_what_was_not_used(request: pytest.FixtureRequest, name: str) -> None:
    """Protects the advice from its own choice: other seeds, and the test split read only there."""
    _, workdir = request.getfixturevalue(name)
    child = workdir / "confirmation"
    found = commands.manifest(child)
    assert found["status"] == "finished"
    assert [claim["id"] for claim in found["claims"]] == ["confirmation"]
    assert found["claims"] == [v["claim"] for v in summary(child)["verdicts"]]
    mine, theirs = (files.read_parquet(path / "trials.parquet") for path in (workdir, child))
    assert set(mine["replica"]) == {0, 1}
    assert theirs["replica"] == [2, 2, 3, 3, 4, 4, 5, 5]
    assert theirs["arm"] == ["default", "recommended"] * 4
    assert not any(column.startswith("test_") for column in mine)
    assert any(column.startswith("test_") for column in theirs)
    outputs, held = (files.read_npz(path / "predictions.npz") for path in (workdir, child))
    assert (str(outputs["split"]), str(held["split"])) == ("validation", "test")
    development, test = data.outer_split(
        data.load(spec.DataSpec(dataset=name)), spec.DataSpec(dataset=name)
    )
    np.testing.assert_array_equal(held["row"], np.sort(test))
    assert set(outputs["row"]) <= set(development)
    advice = summary(workdir)["recommendation"]
    assert advice["verdict"] == summary(child)["verdicts"][0]
    # What was put to the test leads all that was weighed, on validation rows of the first seeds.
    weighed = summary(workdir)["weighed"]
    best = max(weighed, key=lambda one: one["lead"]["gain"])
    assert best["arm"] == advice["setting"]
    assert best["changes"] == found["spec"]["arms"][1]["changes"]
    if "combination" in commands.manifest(workdir)["children"]:
        tried = files.read_parquet(workdir / "combination" / "trials.parquet")
        assert set(tried["replica"]) == {0, 1}
        assert not any(column.startswith("test_") for column in tried)


def test_the_advice_is_a_command(iris: tuple[Ended, Path]) -> None:
    """Protects recommended.txt: as a flagfile it gives the setting that was confirmed."""
    ended, workdir = iris
    advice = summary(workdir)["recommendation"]
    assert advice["decision"] == "holds"
    assert "Recommended, confirmed:\n" in ended.out
    arguments = [f"--flagfile={workdir / 'recommended.txt'}"]
    presets = commands.experiment("five_challenges").PRESETS
    options = flags.from_arguments(arguments, "five_challenges", presets)
    changes = commands.manifest(workdir / "confirmation")["spec"]["arms"][1]["changes"]
    assert len(changes) == len(advice["flags"]) > 0
    for (field, value), flag in zip(changes, advice["flags"]):
        told = options.setting.get(field)
        assert told == (tuple(value) if isinstance(value, list) else value)
        assert flag.startswith(f"--{field}=")
        assert flag in ended.out


@pytest.mark.slow
def test_flags_repeat_the_main_job(iris: tuple[Ended, Path], tmp_path: Path) -> None:
    """Protects flags.txt: the job by its flags alone gives the same bits, and the same advice."""
    arguments = (f"--flagfile={iris[1] / 'flags.txt'}", f"--workdir={tmp_path}")
    again = launch("five_challenges", *arguments, "--tensorboard=false")
    assert again.status == 0, again.err
    assert again.lines == iris[0].lines
    assert commands.differing(iris[1], tmp_path) == []
    for child in commands.manifest(tmp_path)["children"]:
        assert commands.differing(iris[1] / child, tmp_path / child) == []
    assert summary(tmp_path) == summary(iris[1])


def test_claims_stand_before_training(
    base: Path, iris: tuple[Ended, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the rules from the results: all claims are on disk before a trial runs, and stay."""

    def stopped(study: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(laboratory.Study, "run", stopped)
    assert launch("five_challenges", *FIVE, f"--workdir={tmp_path}").status == 130
    before = commands.manifest(tmp_path)["claims"]
    assert before == commands.manifest(iris[1])["claims"]
    assert before == [verdict["claim"] for verdict in summary(iris[1])["verdicts"]]


def written(path: Path, rows: np.ndarray, kinds: np.ndarray) -> None:
    """A CSV of flowers."""
    lines = [",".join(map(str, row)) + f",kind {kind}" for row, kind in zip(rows, kinds)]
    path.write_text("\n".join(["a,b,c,d,kind", *lines]) + "\n")


@pytest.mark.slow  # two whole main jobs; test_study's test of a test file is the quick one
def test_the_test_file_moves_nothing_but_the_confirmation(base: Path, tmp_path: Path) -> None:
    """Protects the held-out discipline: other test rows change no trial, no claim, no choice."""
    dataset = data.load(spec.DataSpec(dataset="iris"))
    development, test = data.outer_split(dataset, spec.DataSpec(dataset="iris"))
    x, y = dataset.x.astype(np.float64).round(1), dataset.y
    written(tmp_path / "rows.csv", x[development], y[development])
    written(tmp_path / "true.csv", x[test], y[test])
    written(tmp_path / "false.csv", 3 * x[test] - 5, y[test][::-1])
    shape = [flag for flag in FIVE if not flag.startswith("--dataset")]
    for name in ("true", "false"):
        ended = launch(
            "five_challenges",
            *shape,
            "--dataset=file",
            f"--data_path={tmp_path / 'rows.csv'}",
            f"--test_path={tmp_path / f'{name}.csv'}",
            "--target=kind",
            f"--workdir={tmp_path / name}",
        )
        assert ended.status == 0, ended.err
        assert " on rows, " in ended.err
        assert "rows: 96 training, 24 validation, 30 test;" in ended.err
    true, false = tmp_path / "true", tmp_path / "false"
    assert commands.differing(true, false) == []
    assert commands.manifest(true)["claims"] == commands.manifest(false)["claims"]
    told = [summary(path) for path in (true, false)]
    advice = [one.pop("recommendation") for one in told]
    assert told[0] == told[1]
    assert advice[0]["flags"] == advice[1]["flags"] != []
    # Trials of the confirmation are the same, too: only what they are scored on is not.
    moved = commands.differing(true / "confirmation", false / "confirmation")
    assert {name.partition("/")[0] for name in moved} <= {"predictions", "trials"}
    assert all("test_" in name for name in moved if name.startswith("trials/"))
    assert advice[0]["verdict"]["effect"] != advice[1]["verdict"]["effect"]
    assert advice[1]["decision"] != "holds"
    assert not (false / "recommended.txt").exists()
