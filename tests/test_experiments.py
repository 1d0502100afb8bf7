"""train and schedules from flags to files: every result is there, agrees, and can be had again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.commands import Ended, launch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convergence import data, laboratory, names, spec
from convergence.reporting import files, tensorboard
from convergence.training.fingerprint import join

SEEDS, STEPS, EVERY = 5, 24, 6
TRAIN = (
    *commands.SMALL,
    "--twin",
    "--test",
    "--label_noise=0.2",
    f"--num_seeds={SEEDS}",
    f"--steps={STEPS}",
    f"--eval_every={EVERY}",
    "--fingerprint_every=10",
)
OWN = "0:1,10:.1"
SCHEDULES = (*commands.SMALL, f"--schedules=cosine;{OWN};plateau", "--budgets=8,16")


@pytest.fixture(scope="module")
def train(base: Path) -> tuple[Ended, Path]:
    """A finished `train`, with twins, wrong labels and the test split."""
    return commands.once(base, "train", "train", *TRAIN)


@pytest.fixture(scope="module")
def schedules(base: Path) -> tuple[Ended, Path]:
    """A finished `schedules`, with a schedule of the user's own."""
    return commands.once(base, "schedules", "schedules", *SCHEDULES)


def strict(path: Path) -> Any:
    """The values of a JSON file that may hold no NaN and no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_what_train_says(train: tuple[Ended, Path]) -> None:
    """Protects the terminal: what runs, three tables in 80 columns, then where the results are."""
    ended, workdir = train
    assert ended.status == 0, ended.err
    assert ended.err.splitlines()[:3] == [  # a slow machine may add warnings
        "train: 2 arms × 5 seeds on iris, 24 steps",
        "rows: 96 training, 24 validation, 30 test; metric accuracy, margin 0.01",
        f"workdir: {workdir}",
    ]
    for split in ("train", "validation", "test"):
        assert f"accuracy on {split} rows" in ended.out
    shown = tensorboard.command(workdir / "tb")
    report = laboratory.opening_command(workdir / "report.html")
    assert ended.out.endswith(f"\nWorkdir: {workdir}\nReport: {report}\nTensorBoard: {shown}\n")
    assert max(map(len, ended.lines)) <= 80
    assert (workdir / "tables" / "summary.txt").read_text().splitlines() == ended.lines


def test_the_manifest_of_train(train: tuple[Ended, Path]) -> None:
    """Protects the record of what was run: the whole spec, its digest, where, and how it ended."""
    found = strict(train[1] / "manifest.json")
    assert found["status"] == "finished"
    assert [time["status"] for time in found["times"]] == ["running", "finished"]
    assert found["claims"] == []
    study = spec.from_json(found["spec"])
    assert [arm.name for arm in study.arms] == ["base", "base twin"]
    assert (study.run.metric, study.run.margin) == ("accuracy", 0.01)
    assert study.setting.train.steps == STEPS
    assert found["spec_digest"] == spec.digest(found["spec"])
    assert found["provenance"]["versions"]["jax"]
    left = {path.name for path in train[1].iterdir()}
    assert left == {
        *("manifest.json", "flags.txt", "trials.parquet", "summary.json", "report.html"),
        *("tables", "tb"),
        *(f"{name}.npz" for name in commands.ARRAYS),
        *("params", "preprocessing.json", "preprocessing.npz"),
    }


def test_the_trials_of_train(train: tuple[Ended, Path]) -> None:
    """Protects trials.parquet: a row a trial, its numbers those of the other files."""
    table = files.read_parquet(train[1] / "trials.parquet")
    assert {"trial", "arm", "replica", "varied", "steps", "status", "fingerprint"} <= set(table)
    assert set(spec.TRACED) <= set(table)
    splits = ("train", "validation", "clean", "test")
    metrics = {f"{s}_{m}" for s in splits for m in names.CLASSIFICATION_METRICS}
    assert metrics <= set(table)
    assert table["trial"] == list(range(2 * SEEDS))
    assert table["arm"] == ["base", "base twin"] * SEEDS
    assert table["replica"] == [seed for seed in range(SEEDS) for _ in range(2)]
    assert set(table["status"]) == {"finished"}
    digests = files.read_npz(train[1] / "fingerprints.npz")
    assert table["fingerprint"] == [f"{int(one):016x}" for one in join(digests["final"])]
    assert len(set(table["fingerprint"])) == 2 * SEEDS  # a twin is another trial
    summary = strict(train[1] / "summary.json")["arms"]
    assert [row["split"] for row in summary] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    mean = summary[4]["mean"]["estimate"]
    assert mean == pytest.approx(np.mean(table["test_accuracy"][::2]))


def test_the_curves_of_train(train: tuple[Ended, Path]) -> None:
    """Protects the curves: every step's loss, and each evaluation, for every trial."""
    found = files.read_npz(train[1] / "curves.npz")
    np.testing.assert_array_equal(found["loss_step"], np.arange(1, STEPS + 1))
    np.testing.assert_array_equal(found["eval_step"], np.arange(0, STEPS + 1, EVERY))
    for name in ("mean", "min", "max", "improving"):
        assert found[f"loss_{name}"].shape == (2 * SEEDS, STEPS)
    assert np.isfinite(found["loss_mean"]).all()
    table = files.read_parquet(train[1] / "trials.parquet")
    for split in ("validation", "clean"):
        for metric in names.CLASSIFICATION_METRICS:
            curve = found[f"{split}_{metric}"]
            assert curve.shape == (2 * SEEDS, 1 + STEPS // EVERY)
            np.testing.assert_array_equal(curve[:, -1], np.float32(table[f"{split}_{metric}"]))
    assert (found["validation_cross_entropy"] != found["clean_cross_entropy"]).any()


def test_the_digests_of_train(train: tuple[Ended, Path]) -> None:
    """Protects comparison with other machines: fingerprints and sketches at their fixed steps."""
    digests = files.read_npz(train[1] / "fingerprints.npz")
    np.testing.assert_array_equal(digests["step"], [10, 20])
    for name in ("marks", "chains"):
        assert digests[name].shape == (2 * SEEDS, 2, 2)
        assert digests[name].dtype == np.uint32
    # A flipped bit shows in every fingerprint; in the losses only where its unit is not dead.
    assert len(np.unique(join(digests["marks"]))) == 2 * SEEDS * 2
    assert len(np.unique(join(digests["chains"][::2]))) == SEEDS * 2
    sketches = files.read_npz(train[1] / "sketches.npz")
    np.testing.assert_array_equal(sketches["step"], [0, 1, 2, 4, 8, 16])
    values = sketches["sketches"]
    assert values.shape[:2] == (2 * SEEDS, 6)
    # A twin starts a rounding error away from its trial, and another seed does not.
    assert np.abs(values[0::2, 0] - values[1::2, 0]).max() < 1e-4
    assert np.abs(values[0, 0] - values[2, 0]).max() > 1e-2


def test_the_predictions_of_train(train: tuple[Ended, Path]) -> None:
    """Protects predictions.npz: the test split's rows, with the accuracy that is told."""
    found = files.read_npz(train[1] / "predictions.npz")
    dataset = data.load(spec.DataSpec(dataset="iris"))
    _, test = data.outer_split(dataset, spec.DataSpec(dataset="iris"))
    assert str(found["split"]) == "test"
    np.testing.assert_array_equal(found["rows"], [test])
    np.testing.assert_array_equal(found["row"], np.sort(test))
    assert len(np.unique(found["row_digest"])) >= len(test) - 1  # iris has a row twice
    assert found["outputs"].shape == (2 * SEEDS, len(test), 3)
    hits = (found["outputs"].argmax(axis=-1) == dataset.y[test]).mean(axis=1)
    table = files.read_parquet(train[1] / "trials.parquet")
    np.testing.assert_allclose(hits, table["test_accuracy"], rtol=1e-6)


def test_tensorboard_of_train(train: tuple[Ended, Path]) -> None:
    """Protects TensorBoard: a run an arm, whose bands are those of the curves."""
    curves = files.read_npz(train[1] / "curves.npz")
    runs = sorted(path for path in (train[1] / "tb").iterdir() if path.is_dir())
    assert len(runs) == 3  # and that of the progress
    shown = EventAccumulator(str(train[1] / "tb" / "base"), {"tensors": 0}).Reload()
    tags = shown.Tags()["tensors"]
    for statistic in ("mean", "median", "p10", "p90"):
        for tag in ("loss/train", "accuracy/validation", "accuracy/clean", "brier/clean"):
            assert f"{tag}/{statistic}" in tags
    events = shown.Tensors("accuracy/validation/mean")
    assert [event.step for event in events] == curves["eval_step"].tolist()
    told = [event.tensor_proto.float_val[0] for event in events]
    np.testing.assert_allclose(told, curves["validation_accuracy"][::2].mean(axis=0), rtol=1e-5)
    assert "base setting" in str(shown.Tensors("setting")[0].tensor_proto.string_val)


@pytest.mark.parametrize("name", ["train", "schedules"])
def test_flags_repeat_the_study(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    """Protects flags.txt: the study by its flags alone gives the same bits in every file."""
    _, workdir = request.getfixturevalue(name)
    flagfile = workdir / "flags.txt"
    arguments = (f"--flagfile={flagfile}", f"--workdir={tmp_path}", "--tensorboard=false")
    again = launch(name, *arguments)
    assert again.status == 0, again.err
    assert commands.differing(workdir, tmp_path) == []
    assert not (tmp_path / "tb").exists()
    report = laboratory.opening_command(tmp_path / "report.html")
    assert again.out.endswith(f"Workdir: {tmp_path}\nReport: {report}\n")
    assert strict(tmp_path / "summary.json") == strict(workdir / "summary.json")


def test_what_schedules_says(schedules: tuple[Ended, Path]) -> None:
    """Protects the answer: each schedule held against constant and cosine, with a verdict."""
    ended, workdir = schedules
    assert ended.status == 0, ended.err
    assert max(map(len, ended.lines)) <= 80
    summary = strict(workdir / "summary.json")
    arms = [
        f"{one} at {n} steps" for n in (8, 16) for one in ("constant", "cosine", OWN, "plateau")
    ]
    assert [row["arm"] for row in summary["arms"]] == ["default", *arms]
    claims = [(v["claim"]["treatment"], v["claim"]["control"]) for v in summary["verdicts"]]
    for steps in (8, 16):
        at = f" at {steps} steps"
        assert (f"cosine{at}", f"constant{at}") in claims
        for one in (OWN, "plateau"):
            assert {(one + at, f"cosine{at}"), (one + at, f"constant{at}")} <= set(claims)
        assert f"Schedules at {steps} steps" in ended.out
    assert {v["comparisons"] for v in summary["verdicts"]} == {2}
    assert {v["speaks_of"] for v in summary["verdicts"]} == {"seeds and rows"}
    assert commands.manifest(workdir)["claims"] == [v["claim"] for v in summary["verdicts"]]


def test_a_schedule_of_the_users(schedules: tuple[Ended, Path]) -> None:
    """Protects a user's own schedule: its rate until its step, then a tenth of it."""
    curves = files.read_npz(schedules[1] / "curves.npz")
    table = files.read_parquet(schedules[1] / "trials.parquet")
    cells = strict(schedules[1] / "summary.json")["tuning"]["cells"]
    tuned = next(one["rate"] for one in cells if (one["option"], one["steps"]) == (OWN, 16))
    own = curves["rate"][np.array(table["arm"]) == f"{OWN} at 16 steps"]
    np.testing.assert_allclose(own[:, :10], tuned, rtol=1e-6)
    np.testing.assert_allclose(own[:, 10:16], tuned / 10, rtol=1e-6)


def test_the_rates_of_the_comparison_are_the_tuned_ones(schedules: tuple[Ended, Path]) -> None:
    """Protects the tuning: the best of the same rates for each arm, on seeds of its own."""
    root = schedules[1]
    table = files.read_parquet(root / "trials.parquet")
    told, grids = strict(root / "summary.json")["tuning"], set()
    for cell in told["cells"]:
        arm = f"{cell['option']} at {cell['steps']} steps"
        of_arm = {r for r, name in zip(table["learning_rate"], table["arm"]) if name == arm}
        assert list(of_arm) == [pytest.approx(cell["rate"], rel=1e-6)]
        grids.add(tuple(cell["rates"]))
        tried = []
        for k in range(told["rounds"]):
            tuning = files.read_parquet(root / f"tuning{f'-{k + 1}' if k else ''}/trials.parquet")
            rows = zip(tuning["arm"], tuning["learning_rate"], tuning["validation_accuracy"])
            tried += [(score, -rate) for name, rate, score in rows if name.startswith(f"{arm}, ")]
            assert not set(tuning["replica"]) & set(table["replica"])
        assert len(tried) == len(cell["rates"])
        assert -max(tried)[1] == pytest.approx(cell["rate"], rel=1e-6)
    assert len(grids) == 1
    settled = commands.manifest(root)
    assert settled["spec_digest"] == spec.digest(settled["spec"])
    assert settled["asked"] != settled["spec"]


def test_claims_stand_before_training(
    base: Path, schedules: tuple[Ended, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the rules from the results: claims are on disk before a trial runs, and stay."""

    def stopped(study: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(laboratory.Study, "run", stopped)
    assert launch("schedules", *SCHEDULES, f"--workdir={tmp_path}").status == 130
    before = commands.manifest(tmp_path)
    after = commands.manifest(schedules[1])
    assert len(before["claims"]) == 10
    assert before["claims"] == after["claims"]
    assert before["spec"] == after["asked"]


@pytest.mark.parametrize("name", commands.EXPERIMENTS)
def test_dry_run(tmp_path: Path, name: str) -> None:
    """Protects --dry_run: it counts what would run, in 80 columns, and leaves nothing."""
    ended = launch(name, *commands.SMALL, "--dry_run", f"--workdir={tmp_path / 'study'}")
    assert (ended.status, ended.err) == (0, "")
    trials, programs, steps = {
        "train": ("2 trials", "1 program", "40 steps"),
        "schedules": ("80 trials", "1 program", "2216 steps"),
        "five_challenges": ("62 trials", "3 programs", "992 steps"),
    }[name]
    assert ended.lines[0] == f"{trials} in {programs}, {steps} in all;"
    assert ("The tuning before it: 78 trials, 2184 steps" in ended.out) == (name == "schedules")
    assert ended.lines[-1] == "Nothing was trained and nothing written."
    assert max(map(len, ended.lines)) <= 80
    assert list(tmp_path.iterdir()) == []
