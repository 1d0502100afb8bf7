"""What a trial really does: held step by step against the same training written out by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers.studies import EXPLODES, REGRESSION_ARMS, STEPS, ByHand, accumulated, regression

from convergence.history import History
from convergence.plan import Trial
from convergence.study import Study

SOUND = [arm.name for arm in REGRESSION_ARMS if not arm.name.startswith("explodes")]


@cache
def by_hand(trial: Trial) -> ByHand:
    return ByHand(regression()[0].plan, trial)


def trials_of(found: tuple[Study, History], arm: str) -> list[Trial]:
    history = found[1]
    return [history.trials[index] for index in history.rows_of(arm)]


def losses(history: History, trial: Trial) -> np.ndarray:
    """Every step's recorded loss: the curve is not binned in runs this short."""
    steps, curve = history.loss_curve()
    assert np.array_equal(steps, 1 + np.arange(len(steps)))
    return curve["mean"][trial.index]


@pytest.mark.parametrize("arm", SOUND)
def test_every_step_is_as_by_hand(arm: str) -> None:
    """Protects the rate (peak x shape x control), the rows of each batch, and each arm's own term.

    The losses of all steps agree with float64 NumPy to float32 rounding: order of rows, dropped
    partial batch, missing values, warm-up, schedule by hand, clipping, decay of kernels alone,
    input noise, losses, outliers, subset and preprocessing.
    """
    history = regression()[1]
    for trial in trials_of(regression(), arm):
        expected, found = by_hand(trial), losses(history, trial)
        np.testing.assert_allclose(found[: trial.steps], expected.losses, rtol=3e-6)
        assert np.all(np.isnan(found[trial.steps :]))
        assert history.arrays["steps_done"][trial.index] == trial.steps


def test_the_arms_differ() -> None:
    """Protects the test above from arms that change nothing."""
    history = regression()[1]
    curves = [losses(history, trials_of(regression(), arm)[0])[:STEPS] for arm in SOUND]
    for k, one in enumerate(curves):
        assert all(not np.allclose(one, other, rtol=1e-4) for other in curves[:k]), SOUND[k]


@pytest.mark.parametrize("arm", SOUND)
def test_scores_are_as_by_hand(arm: str) -> None:
    """Protects evaluation: validation as told, with its noise and outliers, and clean of both."""
    history = regression()[1]
    for trial in trials_of(regression(), arm):
        expected = by_hand(trial)
        rows = expected.view.validation
        for split, clean in (("validation", False), ("clean", True)):
            error = expected.errors(rows, clean)
            truth = history.plan.dataset.y if clean else expected.view.targets
            told = {
                "rmse": np.sqrt((error**2).mean()),
                "mae": np.abs(error).mean(),
                "r2": 1 - (error**2).mean() / truth[rows].astype(np.float64).var(),
            }
            for metric, value in told.items():
                found = history.arrays[f"eval/{split}/{metric}"][trial.index]
                np.testing.assert_allclose(found[-1], value, rtol=1e-4, atol=1e-5)
        predicted = history.predicted(
            np.array([trial.index]), history.arrays["predictions"][[trial.index], : len(rows)]
        )[0]
        clean_error = predicted - history.plan.dataset.y[rows]
        np.testing.assert_allclose(clean_error, expected.errors(rows, True), atol=1e-5)


def test_microbatches_are_one_batch() -> None:
    """Protects accumulation: the mean over two microbatches is the step of the whole batch."""
    study, history = accumulated()
    assert study.plan.groups[0].program.algorithm.accumulate == 2
    for trial in history.trials:
        expected = ByHand(study.plan, trial)
        np.testing.assert_allclose(losses(history, trial), expected.losses, rtol=3e-6)


def test_plateau_lowers_the_rate_where_its_controller_says() -> None:
    """Protects the controller inside the loop: the steps of the drops follow from the losses."""
    history = regression()[1]
    for trial in trials_of(regression(), "plateau"):
        controls = by_hand(trial).controls
        drops = np.flatnonzero(np.diff(controls))
        assert len(drops) >= 2
        assert np.all((drops + 1) % 50 == 49)  # known after a window's last step
        assert history.arrays["control"][trial.index] == controls[-1] == 0.5 ** len(drops)
    others = [t.index for arm in SOUND if arm != "plateau" for t in trials_of(regression(), arm)]
    assert np.all(history.arrays["control"][others] == 1)


def test_the_first_bad_step_is_exact() -> None:
    """Protects the record of a divergence: the step whose loss was the first that is not finite."""
    history = regression()[1]
    for trial in trials_of(regression(), "explodes"):
        found = losses(history, trial)
        assert np.all(np.isfinite(found[: EXPLODES + 1]))
        np.testing.assert_allclose(
            found[: EXPLODES + 1], losses(history, history.trials[trial.index - trial.arm])[:8]
        )
        assert np.isposinf(found[EXPLODES + 1])
        assert np.all(np.isnan(found[EXPLODES + 2 :]))
        assert history.arrays["first_bad"][trial.index] == EXPLODES + 1
        assert history.arrays["steps_done"][trial.index] == EXPLODES + 2
        assert history.first_bad[trial.index] == EXPLODES + 1
        assert history.diverged[trial.index]


def test_exploding_at_the_very_end_is_diverging() -> None:
    """Protects statistics from a model whose losses were all finite and whose scores are not."""
    history = regression()[1]
    for trial in trials_of(regression(), "explodes last"):
        assert np.all(np.isfinite(losses(history, trial)[:STEPS]))
        assert history.arrays["first_bad"][trial.index] == -1
        assert history.arrays["steps_done"][trial.index] == STEPS
        assert history.diverged[trial.index]
        assert history.first_bad[trial.index] == STEPS
        assert np.isnan(history.final("rmse")[trial.index])
    sound = [t.index for arm in SOUND for t in trials_of(regression(), arm)]
    assert not np.any(history.diverged[sound])
    assert np.all(history.first_bad[sound] == -1)


def test_records_of_trials_that_end_early() -> None:
    """Protects fingerprints and chains: a trial that has ended leaves no more of them."""
    study, history = regression()
    arrays = history.arrays
    assert arrays["marks"].shape == (len(history.trials), 90, 2)
    for trial in trials_of(regression(), "base"):
        assert np.all(arrays["marks"][trial.index, :4].any(axis=1))
        assert not arrays["marks"][trial.index, 4:].any()
        assert np.array_equal(arrays["marks"][trial.index, 3], arrays["fingerprint"][trial.index])
        chains = arrays["chains"][trial.index]
        assert np.all(chains[3:] == arrays["chain"][trial.index])
        assert len(np.unique(chains[:4], axis=0)) == 4
    for trial in trials_of(regression(), "explodes"):
        assert not arrays["marks"][trial.index].any()
    assert study.cadence.total == 900
