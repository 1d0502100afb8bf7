"""A finished study's records: scores by arm and by row, curves, and diverged trials."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers.plans import plan
from helpers.studies import MANY_ARMS, REGRESSION_ARMS, classification, regression
from sklearn import metrics as reference

from convergence.history import History
from convergence.spec import Arm
from convergence.training.curve import CurveRecorder

SOUND = [arm.name for arm in REGRESSION_ARMS if not arm.name.startswith("explodes")]
LOST = [arm.name for arm in REGRESSION_ARMS if arm.name.startswith("explodes")]


@cache
def found(task: str) -> History:
    return regression()[1] if task == "regression" else classification()[1]


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
@pytest.mark.parametrize("arm", SOUND)
def test_rows_of_a_regression(arm: str, metric: str) -> None:
    """Protects inference over rows: a seed's mean over rows is its clean metric.

    Also with missing values, outliers, input noise and another preparation.
    """
    history = found("regression")
    scores = history.row_scores(arm, metric)
    assert scores.shape == (2, 35)
    expected = history.of_arm(arm, metric, "clean")
    np.testing.assert_allclose(scores.mean(axis=1), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("metric", "function"),
    [
        ("rmse", reference.root_mean_squared_error),
        ("mae", reference.mean_absolute_error),
        ("r2", reference.r2_score),
    ],
)
def test_rows_against_told_targets(metric: str, function: object) -> None:
    """Protects tuning from clean targets: told scores are against what the trials were told."""
    history = found("regression")
    index = history.rows_of("outliers")
    told = history.row_scores("outliers", metric, told=True).mean(axis=1)
    for row, trial in enumerate(index):
        view = history.plan.view(history.trials[trial].arm, history.trials[trial].replica)
        rows = view.validation
        outputs = history.arrays["predictions"][[trial], : len(rows)]
        predicted = history.predicted(index[[row]], outputs)[0]
        value = function(view.targets[rows].astype(np.float64), predicted)  # type: ignore[operator]
        assert told[row] == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(told, history.of_arm("outliers", metric), rtol=1e-4)
    assert np.all(told != history.row_scores("outliers", metric).mean(axis=1))


def test_linearised_rows_of_rmse() -> None:
    """Protects the delta method: parts differ from row to row, in the metric's unit."""
    history = found("regression")
    parts = history.row_scores("base", "rmse")
    error = history.row_scores("base", "mae")  # absolute errors
    root = np.sqrt((error**2).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(parts, root + (error**2 - root**2) / (2 * root), rtol=1e-9)
    # Leaving a row out moves the score by what its part says, to first order.
    without = np.sqrt((error[:, 1:] ** 2).mean(axis=1))
    rows = parts.shape[1]
    said = (parts.sum(axis=1) - parts[:, 0]) / (rows - 1)
    np.testing.assert_allclose(without, said, atol=0.01)


@pytest.mark.parametrize("metric", ["accuracy", "cross_entropy", "brier"])
@pytest.mark.parametrize("arm", ["constant", "noisy", "splits", "twin"])
def test_rows_of_a_classification(arm: str, metric: str) -> None:
    """Protects inference over rows: a seed's mean over test rows is its clean test metric."""
    history = found("classification")
    scores = history.row_scores(arm, metric, test=True)
    assert scores.shape == (3, len(history.plan.test))
    expected = history.of_arm(arm, metric, "test")
    np.testing.assert_allclose(scores.mean(axis=1), expected, rtol=2e-5, atol=1e-6)
    rows = history.plan.test
    logits = history.arrays["predictions"][history.rows_of(arm)].astype(np.float64)
    chance = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    truth = history.plan.dataset.y[rows]
    if metric == "cross_entropy":
        value = reference.log_loss(truth, chance[0], labels=range(5))
    elif metric == "accuracy":
        value = reference.accuracy_score(truth, chance[0].argmax(axis=1))
    else:
        value = ((chance[0] - np.eye(5)[truth]) ** 2).sum(axis=1).mean()
    assert scores[0].mean() == pytest.approx(value, rel=1e-6)


def test_rows_that_are_not_the_same() -> None:
    """Protects pairs of rows: where the split varies, seeds are scored on rows of their own."""
    history = found("classification")
    with pytest.raises(ValueError, match="scored on different rows"):
        history.row_scores("splits", "accuracy")
    rows = [history.scored_rows(int(t), False) for t in history.rows_of("splits")]
    assert len({row.tobytes() for row in rows}) == 3
    assert np.array_equal(history.scored_rows(0, True), history.plan.test)


@pytest.mark.parametrize("arm", LOST)
def test_diverged_seeds_have_no_score(arm: str) -> None:
    """Protects averages: a diverged seed is NaN by metric and by row, without a warning."""
    history = found("regression")
    for metric in ("rmse", "mae", "r2"):
        for split in ("validation", "clean", "train"):
            assert np.all(np.isnan(history.of_arm(arm, metric, split)))
        assert np.all(np.isnan(history.row_scores(arm, metric)))
    assert np.all(history.diverged[history.rows_of(arm)])
    for other in SOUND:
        assert np.all(np.isfinite(history.of_arm(other, "rmse", "train")))


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_outputs_beyond_all_bounds(task: str, value: float) -> None:
    """Protects reports from warnings: rows of a model that broke are NaN, whatever it put out."""
    history = found(task)
    arm = history.arm_names[0]
    index = history.rows_of(arm)
    arrays = dict(history.arrays)
    for name in ("predictions", "first_bad"):
        arrays[name] = arrays[name].copy()
    arrays["predictions"][index[0]], arrays["first_bad"][index[0]] = value, 3
    broken = History(history.plan, history.eval_steps, arrays)
    for metric in (
        ("rmse", "mae", "r2") if task == "regression" else ("accuracy", "brier", "cross_entropy")
    ):
        test = task == "classification"
        scores = broken.row_scores(arm, metric, test=test)
        assert np.all(np.isnan(scores[0]))
        assert np.array_equal(scores[1:], history.row_scores(arm, metric, test=test)[1:])


def test_clean_is_validation_where_nothing_is_spoiled() -> None:
    """Protects arms' tables: asked for clean scores, a study without contamination has them."""
    history = found("classification")
    assert np.any(history.final("accuracy", "clean") != history.final("accuracy"))
    arrays = {k: v for k, v in history.arrays.items() if not k.startswith("eval/clean")}
    plain = History(history.plan, history.eval_steps, arrays)
    assert np.array_equal(plain.final("accuracy", "clean"), plain.final("accuracy"))


def test_arms_by_name() -> None:
    """Protects pairing: an arm's values come by replica, so that seeds meet seeds."""
    history = found("classification")
    assert history.arm_names == tuple(arm.name for arm in MANY_ARMS)
    for number, name in enumerate(history.arm_names):
        rows = history.rows_of(name)
        assert [history.trials[r].arm for r in rows] == [number] * 3
        assert [history.trials[r].replica for r in rows] == [0, 1, 2]
        expected = history.final("brier", "train")[rows]
        assert np.array_equal(history.of_arm(name, "brier", "train"), expected)
    assert history.study is history.plan.study
    curve = history.curve("cross_entropy")
    assert curve.shape == (len(history.trials), len(history.eval_steps))
    assert curve.dtype == np.float64
    assert np.array_equal(curve[:, -1], history.final("cross_entropy"))


def test_evaluations_before_the_first_step() -> None:
    """Protects curves: they begin at step 0, with the initial weights, equal for equal starts."""
    history = found("classification")
    assert history.eval_steps[0] == 0
    assert history.eval_steps[-1] == 24
    start = history.curve("cross_entropy")[:, 0]
    base = history.rows_of("constant")
    assert np.array_equal(start[base], start[history.rows_of("cosine")])
    assert np.all(start[base] != start[history.rows_of("wide")])


def synthetic(total: int, ends: list[int]) -> tuple[History, np.ndarray]:
    """A history of made-up losses, and the losses."""
    arms = tuple(Arm.of(f"arm {k}", steps=total) for k in range(len(ends)))
    laid = plan(*arms, num_seeds=1)
    trace = np.random.default_rng(1).random((len(ends), total, 2)).astype(np.float32)
    recorder = CurveRecorder(len(ends), total, 0, 0)
    recorder.add(trace, np.array(ends))
    return History(laid, np.array([0, total]), recorder.arrays()), trace[..., 0]


def test_loss_curve_of_a_long_run() -> None:
    """Protects plots: points stand where their steps end, and bins hold the steps between."""
    total = 256 + 3 * 1000 - 1
    history, loss = synthetic(total, [total, 300])
    steps, curve = history.loss_curve()
    assert steps[:256].tolist() == list(range(1, 257))
    assert steps[256:].tolist() == [*range(259, total + 1, 3), total]
    assert {values.shape for values in curve.values()} == {(2, len(steps))}
    wide = loss.astype(np.float64)
    np.testing.assert_allclose(curve["mean"][0, 256:-1], wide[0, 256:-2].reshape(-1, 3).mean(1))
    assert np.array_equal(curve["max"][0, :256], wide[0, :256])
    assert np.array_equal(curve["improving"][0, 1:256], np.diff(wide[0, :256]) < 0)
    assert np.isnan(curve["improving"][0, 0])
    assert np.all(np.isnan(curve["mean"][1, steps > 301]))
    assert np.all(np.isfinite(curve["mean"][1, steps <= 300]))


def test_loss_curve_of_no_steps() -> None:
    """Protects a study of zero steps: no points, no fault."""
    history, _ = synthetic(0, [0])
    steps, curve = history.loss_curve()
    assert len(steps) == 0
    assert all(values.shape == (1, 0) for values in curve.values())


def test_copies() -> None:
    """Protects seeds from being called copies, and copies from being called seeds."""
    history = found("regression")
    assert not any(history.copies(arm) for arm in history.arm_names)
    index = history.rows_of("base")
    arrays = {name: values.copy() for name, values in history.arrays.items()}
    for values in arrays.values():
        values[index[1]] = values[index[0]]
    copied = History(history.plan, history.eval_steps, arrays)
    assert [arm for arm in history.arm_names if copied.copies(arm)] == ["base"]
    arrays["fingerprint"][index[1], 0] ^= 1  # no score tells, but the runs are not the same
    assert not copied.copies("base")
