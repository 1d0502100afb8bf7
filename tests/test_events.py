"""What TensorBoard shows of a study, read back from its event files."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import boards
from helpers.studies import REGRESSION_ARMS, classification, regression
from tensorboard.plugins.hparams import api_pb2

from convergence import events, names
from convergence.analysis.bands import bands
from convergence.history import History
from convergence.reporting import tensorboard

CLASSIFICATION = ("accuracy", "cross_entropy", "brier")


@cache
def found(task: str) -> History:
    return regression()[1] if task == "regression" else classification()[1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The event files of both studies."""
    folder = tmp_path_factory.mktemp("events")
    return {t: boards.written(found(t), folder / t) for t in ("regression", "classification")}


def test_bands() -> None:
    """Protects TensorBoard: percentiles over the seeds that are finite, NaN where none is."""
    values = np.array([[1.0, np.nan], [2.0, np.inf], [3.0, np.nan], [np.inf, np.nan]])
    told = bands(values)
    assert {name: band[0] for name, band in told.items()} == {
        "mean": 2.0,
        "median": 2.0,
        "p10": pytest.approx(1.2),
        "p90": pytest.approx(2.8),
    }
    assert all(np.isnan(band[1]) for band in told.values())


def test_series_of_an_arm() -> None:
    """Protects the bands' steps: the loss of the step at which each evaluation was made."""
    history = found("classification")
    index, steps = history.rows_of("constant"), history.eval_steps
    series = events.arm_series(history, index)
    tags = {f"{m}/{s}" for m in CLASSIFICATION for s in ("validation", "clean")}
    assert set(series) == tags | {"loss/train"} == set(events.curve_tags(history.plan))
    raw = history.arrays["raw"][index]
    assert np.isnan(series["loss/train"][:, 0]).all()
    np.testing.assert_allclose(series["loss/train"][:, 1:], raw[:, steps[1:] - 1])
    expected = history.curve("accuracy")[index]
    np.testing.assert_allclose(series["accuracy/validation"], expected)


def test_tags_of_a_clean_study() -> None:
    """Protects the layout: no chart of what is never scored; the study's own metric first."""
    plan = found("regression").plan
    assert events.metric_names(plan) == ("rmse", "mae", "r2")
    assert events.curve_tags(plan)[:3] == ["rmse/validation", "rmse/clean", "loss/train"]
    clean = dataclasses.replace(plan.study, arms=plan.study.arms[:1])
    tags = events.curve_tags(type(plan)(clean, plan.dataset))
    assert tags == ["rmse/validation", "loss/train", "mae/validation", "r2/validation"]


def test_a_run_an_arm(shown: dict[str, Path]) -> None:
    """Protects TensorBoard: bands over an arm's seeds at each evaluation, lost arms included."""
    history, folder = found("regression"), shown["regression"]
    assert len([path for path in folder.iterdir() if path.is_dir()]) == len(REGRESSION_ARMS)
    for arm in REGRESSION_ARMS:
        back = boards.read(folder / tensorboard.safe_name(arm.name))
        index = history.rows_of(arm.name)
        told = bands(history.curve("rmse")[index])
        for statistic in tensorboard.BANDS:
            points = dict(back[f"rmse/validation/{statistic}"])
            for step, value in zip(history.eval_steps, told[statistic]):
                assert np.isnan(value) or points[step] == pytest.approx(value, rel=1e-6)
        lost = arm.name.startswith("explodes")
        assert back["seeds/diverged"] == [(history.eval_steps[-1], len(index) if lost else 0)]
        assert back["seeds/finished"] == [(history.eval_steps[-1], 0 if lost else len(index))]
        assert ("explodes" in arm.name) == (len(told["mean"]) != np.isfinite(told["mean"]).sum())


def test_histograms_over_seeds(shown: dict[str, Path]) -> None:
    """Protects the histograms: at each evaluation every finite seed is counted once."""
    history = found("classification")
    back = boards.read(shown["classification"] / "constant")
    values = history.curve("accuracy")[history.rows_of("constant")]
    histograms = back["accuracy/validation"]
    assert [step for step, _ in histograms] == history.eval_steps.tolist()
    for (_, buckets), seeds in zip(histograms, values.T):
        assert buckets.shape == (30, 3)
        assert buckets[:, 2].sum() == len(seeds)
        assert (buckets[0, 0], buckets[-1, 1]) == (seeds.min(), seeds.max())
    assert {"accuracy/clean", "loss/train"} <= set(back)
    assert "brier/validation" not in back
    kinds = boards.plugins(shown["classification"] / "constant")
    assert kinds["accuracy/validation"] == kinds["loss/train"] == "histograms"
    assert kinds["accuracy/validation/mean"] == kinds["seeds/diverged"] == "scalars"


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
def test_best_so_far(metric: str) -> None:
    """Protects HParams' column: each seed's best up to a step, then their mean; NaN left out."""
    values = np.array([[0.1, 0.4, 0.3], [0.2, np.nan, 0.1], [np.nan, np.nan, np.nan]])
    higher = metric in names.HIGHER_IS_BETTER
    expected = [0.15, 0.3, 0.3] if higher else [0.15, 0.15, 0.1]
    np.testing.assert_allclose(events.best(values, metric), expected)


def test_hyperparameters_and_their_domains(shown: dict[str, Path]) -> None:
    """Protects HParams: what differs between arms is there with all its values, and the usual."""
    experiment = boards.experiment(shown["regression"])
    infos = {info.name: info for info in experiment.hparam_infos}
    assert set(events.USUAL) <= set(infos)
    assert list(infos["learning_rate"].domain_discrete) == pytest.approx([0.005, 0.05, 0.1, 0.3])
    assert list(infos["steps"].domain_discrete) == [40, 300, 900]
    assert list(infos["optimizer"].domain_discrete) == ["momentum"]
    assert set(infos["loss"].domain_discrete) == {"mse", "huber", "mae", "rmse"}
    assert list(infos["vary"].domain_discrete) == ["init,order,dropout,augment", "order,corrupt"]
    assert infos["clip_norm"].differs
    assert not infos["optimizer"].differs
    assert "beta1" not in infos
    assert "twin" not in infos
    twin = {i.name: i for i in boards.experiment(shown["classification"]).hparam_infos}["twin"]
    assert (twin.type, list(twin.domain_discrete)) == (api_pb2.DATA_TYPE_BOOL, [False, True])
    for info in experiment.hparam_infos:
        assert info.WhichOneof("domain") is not None, info.name


def test_sessions_and_metrics(shown: dict[str, Path]) -> None:
    """Protects HParams' table: a line an arm with its own values, its metrics there, its end."""
    history, folder = found("regression"), shown["regression"]
    columns = [metric.name.tag for metric in boards.experiment(folder).metric_infos]
    assert columns[0] == "rmse/validation/mean"
    table = events.hyperparameters(history.plan)
    for index, arm in enumerate(REGRESSION_ARMS):
        run = folder / tensorboard.safe_name(arm.name)
        values, status = boards.session(run)
        assert values == {name: column[index] for name, column in table.items()}
        lost = arm.name.startswith("explodes")
        assert status == (api_pb2.STATUS_FAILURE if lost else api_pb2.STATUS_SUCCESS)
        absent = set(columns) - set(boards.read(run))
        assert absent <= ({"loss/train/mean"} if lost else set())  # lost before any evaluation


def test_runs_of_single_trials(tmp_path: Path) -> None:
    """Protects --tensorboard_trials: the first trials alone, with their own curves."""
    history = found("classification")
    folder = boards.written(history, tmp_path, trials=3)
    runs = sorted(path.parent for path in (folder / "trials").rglob("events*"))
    names = [arm.name for arm in history.study.arms[:3]]
    expected = [folder / tensorboard.trial_name(name, 0) for name in names]
    assert runs == sorted(expected)
    row = history.rows_of("constant")[0]
    back = boards.read(folder / tensorboard.trial_name("constant", 0))
    assert [v for _, v in back["loss/train"]] == history.arrays["raw"][row].tolist()
    assert [v for _, v in back["accuracy/validation"]] == history.curve("accuracy")[row].tolist()


def test_descriptions() -> None:
    """Protects readers of TensorBoard: an arm says what it changes and what varies."""
    history = found("classification")

    def lines(name: str) -> list[str]:
        return events.describe(history.plan, history.arm_names.index(name)).splitlines()

    assert lines("noisy") == [
        "- label_noise: 0.2",
        "- varied: init, order, dropout, augment",
        "- twin: False",
    ]
    assert lines("twin")[0] == "- the base setting"
    assert lines("twin")[-1] == "- twin: True"
    assert "- varied: split" in lines("splits")
