"""What a finished study leaves behind: the workdir's tables, arrays and event files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from helpers.studies import REGRESSION_ARMS, classification, regression

from convergence import results, spec
from convergence.history import History
from convergence.reporting import files
from convergence.reporting.workdir import Workdir

SPLITS = ("train", "validation", "clean", "test")
METRICS = {
    "regression": ("rmse", "mae", "r2"),
    "classification": ("accuracy", "cross_entropy", "brier"),
}


@cache
def found(task: str) -> History:
    return regression()[1] if task == "regression" else classification()[1]


def written(history: History, path: Path, *, test: bool) -> Path:
    told = {"versions": {}, "device": {}, "data_digest": history.plan.dataset.digest}
    with Workdir.prepare(path, spec.to_json(history.study), told, command=["test"]) as workdir:
        results.write(history, workdir, test=test)
        workdir.mark("finished")
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("results")
    return {
        "regression": written(found("regression"), base / "r", test=False),
        "classification": written(found("classification"), base / "c", test=True),
    }


@pytest.mark.parametrize("task", METRICS)
def test_trials_table(task: str, folders: dict[str, Path]) -> None:
    """Protects trials.parquet: a row a trial with its setting, how it ended, scores and digest."""
    history, table = found(task), polars.read_parquet(folders[task] / "trials.parquet")
    assert len(table) == len(history.trials)
    for row, trial in zip(table.iter_rows(named=True), history.trials, strict=True):
        setting = history.plan.settings[trial.arm]
        arm = history.arm_names[trial.arm]
        assert (row["trial"], row["arm"], row["replica"]) == (trial.index, arm, trial.replica)
        assert row["varied"] == ",".join(history.plan.varied(trial.arm))
        assert row["steps"] == trial.steps
        assert int(row["fingerprint"], 16) == int(history.fingerprints[trial.index])
        assert len(row["fingerprint"]) == 16
        told = {name: row[name] for name in spec.hyperparameters(setting)}
        assert told == spec.hyperparameters(setting)
        assert row["schedule"] == setting.train.schedule
        lost = arm.startswith("explodes")
        assert row["status"] == ("diverged" if lost else "finished")
        bad = {"explodes": 8, "explodes last": 40}.get(arm)
        assert row["first_non_finite_step"] == bad
        for split in SPLITS if task == "classification" else SPLITS[:3]:
            for metric in METRICS[task]:
                value = row[f"{split}_{metric}"]
                expected = history.final(metric, split)[trial.index]
                assert value is None if lost else value == expected
    assert ("test_accuracy" in table.columns) == (task == "classification")
    assert "test_rmse" not in table.columns
    assert table["steps"].dtype.is_integer()


def test_the_studys_own_metric_comes_first() -> None:
    """Protects readers of the table: the metric that was compared leads its split's columns."""
    history = found("regression")
    assert results.metric_names(history.plan) == ("rmse", "mae", "r2")
    assert results.scored_splits(history) == ("train", "validation", "clean")
    assert results.scored_splits(found("classification")) == SPLITS
    table = list(results.trials_table(history))
    assert next(name for name in table if name.startswith("train_")) == "train_rmse"


@pytest.mark.parametrize("task", METRICS)
def test_curves_file(task: str, folders: dict[str, Path]) -> None:
    """Protects curves.npz: losses at their steps, evaluations at theirs, trials in order."""
    history, arrays = found(task), files.read_npz(folders[task] / "curves.npz")
    steps, loss = history.loss_curve()
    assert np.array_equal(arrays["loss_step"], steps)
    for name, values in loss.items():
        assert np.array_equal(arrays[f"loss_{name}"], values, equal_nan=True)
    assert np.array_equal(arrays["eval_step"], history.eval_steps)
    assert int(arrays["bin_width"]) == 1
    for metric in METRICS[task]:
        for split in ("validation", "clean"):
            expected = history.curve(metric, split)
            assert np.array_equal(arrays[f"{split}_{metric}"], expected, equal_nan=True)


@pytest.mark.parametrize("task", METRICS)
def test_rates_in_the_curves_file(task: str, folders: dict[str, Path]) -> None:
    """Protects the figure of rates: peak × schedule at each step, then nothing; plateaus, too."""
    history, arrays = found(task), files.read_npz(folders[task] / "curves.npz")
    at, plan = arrays["loss_step"] - 1, history.plan
    lowered = 0
    for trial in history.trials:
        setting, told = plan.settings[trial.arm], arrays["rate"][trial.index]
        inside = at < trial.steps
        assert np.isnan(told[~inside]).all()
        shape = plan.shapes[plan.schedule_of_arm[trial.arm]][at[inside]]
        expected = setting.train.learning_rate * shape
        if setting.train.schedule == "plateau":
            factor = told[inside] / expected
            assert set(np.log2(factor)) <= {0.0, -1.0, -2.0, -3.0, -4.0}
            assert np.all(np.diff(factor) <= 0)
            lowered += int(factor[-1] < 1)
        else:
            np.testing.assert_allclose(told[inside], expected, rtol=1e-6)
    assert lowered or task == "classification"


def test_a_plateau_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a made-up course: where its end is not the recorded one, there is none."""
    history = found("regression")
    index = history.rows_of("plateau")
    arrays = history.arrays | {"control": history.arrays["control"] * 0.3}
    told = results.rates(History(history.plan, history.eval_steps, arrays))
    assert np.isnan(told[index]).all()
    assert np.isfinite(told[history.rows_of("base"), 0]).all()


@pytest.mark.parametrize("task", METRICS)
def test_digests_and_sketches(task: str, folders: dict[str, Path]) -> None:
    """Protects comparisons of runs: marks, chains and sketches with the steps they are of."""
    history, path = found(task), folders[task]
    marks = files.read_npz(path / "fingerprints.npz")
    every = history.study.run.fingerprint_every
    total = history.plan.total_steps
    assert marks["step"].tolist() == list(range(every, total + 1, every))
    for name, key in (("marks", "marks"), ("chains", "chains"), ("final", "fingerprint")):
        assert np.array_equal(marks[name], history.arrays[key])
    assert marks["marks"].shape == (len(history.trials), len(marks["step"]), 2)
    assert np.array_equal(marks["final_chain"], history.arrays["chain"])
    if total % every == 0:  # a trial that ran to the end has its last mark there
        longest = [t.index for t in history.trials if t.steps == total]
        assert np.array_equal(marks["marks"][longest, -1], marks["final"][longest])
    sketches = files.read_npz(path / "sketches.npz")
    powers = [2**k for k in range(32) if 2**k <= total]
    assert sketches["step"].tolist() == [0, *powers]
    assert sketches["sketches"].shape == (len(history.trials), 1 + len(powers), 64)


def test_predictions_of_a_regression(folders: dict[str, Path]) -> None:
    """Protects predictions.npz: values in the target's own unit, and rows to hold them against."""
    history = found("regression")
    told = files.read_npz(folders["regression"] / "predictions.npz")
    dataset = history.plan.dataset
    assert str(told["split"]) == "validation"
    assert told["rows"].shape == (1, 35)  # the split does not vary
    assert told["outputs"].shape == (len(history.trials), 35)
    for name in [arm.name for arm in REGRESSION_ARMS if not arm.name.startswith("explodes")]:
        index = history.rows_of(name)
        error = told["outputs"][index] - dataset.y[told["rows"][0]]
        expected = history.of_arm(name, "mae", "clean")
        np.testing.assert_allclose(np.abs(error).mean(axis=1), expected, rtol=1e-4)
    assert np.array_equal(told["row"], np.unique(told["rows"]))
    digests = results.row_digests(dataset.x, dataset.y)
    assert np.array_equal(told["row_digest"], digests[told["row"]])


def test_predictions_of_splits_that_vary(tmp_path: Path) -> None:
    """Protects predictions.npz: a line of rows for each trial where they differ, NaN for no row."""
    history = found("classification")
    width = len(history.plan.test)
    counts = [len(history.scored_rows(t.index, False)) for t in history.trials]
    arrays = dict(history.arrays)
    outputs = np.zeros((len(counts), max(counts), 5), np.float32)
    arrays["predictions"] = outputs
    told = results.predictions(History(history.plan, history.eval_steps, arrays), False)
    assert told["rows"].shape == (len(counts), max(counts))
    for trial, line in zip(history.trials, told["rows"], strict=True):
        rows = history.plan.view(trial.arm, trial.replica).validation
        assert np.array_equal(line[: len(rows)], rows)
        assert np.all(line[len(rows) :] == -1)
    assert np.array_equal(np.isnan(told["outputs"][..., 0]), told["rows"] < 0)
    tested = results.predictions(history, True)
    assert tested["rows"].tolist() == [history.plan.test.tolist()]
    assert tested["outputs"].shape == (len(counts), width, 5)
    assert np.array_equal(tested["outputs"], history.arrays["predictions"])


def test_row_digests() -> None:
    """Protects revised data: a row's digest is its inputs' and target's, wherever it stands."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    y = np.arange(50, dtype=np.int32) % 3
    x[7, 1] = np.nan
    base = results.row_digests(x, y)
    assert len(np.unique(base)) == 50
    order = np.random.default_rng(1).permutation(50)
    assert np.array_equal(results.row_digests(x[order], y[order]), base[order])
    other = x.copy()
    other[3, 2] = np.nextafter(other[3, 2], np.float32(9))
    assert np.flatnonzero(results.row_digests(other, y) != base).tolist() == [3]
    labels = y.copy()
    labels[4] += 1
    assert np.flatnonzero(results.row_digests(x, labels) != base).tolist() == [4]


@pytest.mark.parametrize("task", METRICS)
def test_nothing_else_is_written(task: str, folders: dict[str, Path]) -> None:
    """Protects the contract of the workdir: these files, whole, and a manifest that says so."""
    names = {p.name for p in folders[task].iterdir() if not p.name.startswith(".")}
    arrays = {"curves.npz", "predictions.npz", "fingerprints.npz", "sketches.npz"}
    prepared = {"preprocessing.json", "preprocessing.npz"}
    assert names == {"manifest.json", "trials.parquet"} | arrays | prepared
    manifest: dict[str, Any] = json.loads((folders[task] / "manifest.json").read_text())
    assert manifest["status"] == "finished"
