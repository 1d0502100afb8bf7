"""What the real runs' labels mean: the definition of truth by which verdicts are counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import curve_data, curve_runs
from helpers.curve_runs import About, digest
from helpers.curve_tasks import BUNDLED, setting_tasks, tasks_of

from convergence.analysis.curves import judgement as says

STEPS = np.arange(1.0, 4001)
UNTIL = 400.0
GOOD = 0.1  # where the best arm ends


def about(kind: str = "loss", arm: str = "rate 1", middle: np.ndarray | None = None) -> About:
    return About(
        kind,  # type: ignore[arg-type]
        UNTIL,
        1.0,
        GOOD,
        0.0,
        arm,
        STEPS if middle is None else middle,
        broken=False,
    )


def fall(low: float, length: float) -> np.ndarray:
    return low + (1 - low) * np.exp(-STEPS / length)


def truth(values: np.ndarray, told: About | None = None) -> str:
    return curve_runs._truth(STEPS, values, told or about())


def test_at_rest_as_low_as_the_best_is_converged_and_higher_is_stuck() -> None:
    assert truth(fall(GOOD, 30)) == says.CONVERGED
    assert truth(fall(0.4, 30)) == says.STUCK


def test_what_gains_a_twentieth_of_its_descent_by_ten_times_the_length_improves() -> None:
    assert truth(fall(GOOD, 300)) == says.IMPROVING
    later = np.where(STEPS > 4000 * 0.6, 0.3, 0.4) + 0.6 * np.exp(-STEPS / 30)
    assert truth(later) == says.IMPROVING


@pytest.mark.parametrize("kind", ["loss", "held-out"])
def test_only_the_next_ten_times_the_length_count(kind: str) -> None:
    told = dataclasses.replace(about(kind), until=200.0, best=0.4)
    values = np.where(STEPS > 2200, 0.2, 0.4) + 0.6 * np.exp(-STEPS / 10)
    assert truth(values, told) == says.CONVERGED


def test_a_held_out_loss_that_rises_for_good_is_over_trained() -> None:
    rises = fall(GOOD, 30) + 0.5 * (STEPS / 400 - 0.3).clip(0, 3)
    assert truth(rises, about("held-out")) == says.OVERTRAINED
    back = np.where(STEPS > 600, 0.05, rises)
    assert truth(back, about("held-out")) == "neither"


def test_worse_than_at_the_start_is_diverged_unless_it_had_learned() -> None:
    assert truth(1 + STEPS / 400) == says.DIVERGED
    held_out = dataclasses.replace(about("held-out"), broken=True)
    assert truth(1 + STEPS / 400, held_out) == says.DIVERGED
    assert truth(1 + STEPS / 400, about("held-out")) == "neither"
    rises = fall(GOOD, 30) + 2 * (STEPS / 400 - 0.3).clip(0)
    assert truth(rises, held_out) == says.DIVERGED
    assert truth(rises, about("held-out")) == says.OVERTRAINED
    assert truth(np.where(STEPS > 300, np.nan, 0.5)) == says.DIVERGED
    assert truth(np.full(len(STEPS), 1.0)) == says.NOT_LEARNING
    noisy = 1 + 0.5 * np.random.default_rng(1).standard_normal(len(STEPS))
    assert truth(noisy, dataclasses.replace(about(), arm=curve_runs.STILL)) == says.NOT_LEARNING
    assert truth(noisy) != says.NOT_LEARNING  # but in doubt


def test_a_run_swings_that_does_so_in_step_with_its_rate_and_not_once_only() -> None:
    calm = fall(GOOD, 30)
    swings = calm + 0.2 * (STEPS % 20 < 10)
    told = about("loss", "cycle 20 8 0", swings)
    assert truth(swings, told) == says.OSCILLATING
    once = calm + 50 * np.exp(-((STEPS - 300) ** 2) / 20)
    assert truth(once, about("loss", "cycle 20 8 0", once)) == says.CONVERGED
    other = calm + 0.2 * (STEPS % 34 < 17)
    assert truth(other, about("loss", "cycle 20 8 0", other)) != says.OSCILLATING
    slight = calm + 0.12 * (STEPS % 20 < 10)
    assert truth(slight, about("loss", "cycle 20 8 0", slight)) == "neither"


def test_a_whole_batch_swings_where_that_lasts_and_a_bend_is_no_swing() -> None:
    told = about("loss", "full 20")
    swings = fall(GOOD, 30) + 0.2 * np.sin(STEPS / 3)
    assert truth(swings, told) == says.OSCILLATING
    fades = fall(GOOD, 30) + 0.2 * np.sin(STEPS / 3) * (STEPS < 450)
    assert truth(fades, told) == "neither"
    rises = fall(GOOD, 30) + 0.5 * (STEPS / 400 - 0.3).clip(0)
    assert truth(rises, dataclasses.replace(told, kind="held-out")) == says.OVERTRAINED


def test_where_noise_would_decide_it_is_neither() -> None:
    rng = np.random.default_rng(0)
    gain = np.where(STEPS > 450, 0.36, 0.4)  # of a descent of .6: about the twentieth that matters
    told = dataclasses.replace(about(), best=0.36)
    noisy = gain + 0.6 * np.exp(-STEPS / 30) + 0.1 * rng.standard_normal(len(STEPS))
    assert truth(noisy, told) == "neither"


def test_a_best_arm_that_is_unsure_beats_none() -> None:
    higher = fall(0.2, 30)
    assert truth(higher) == says.STUCK
    assert truth(higher, dataclasses.replace(about(), unsure=0.2)) == "neither"


def test_what_a_task_is_and_not_where_its_data_lie_names_its_runs() -> None:
    first, second = setting_tasks(2, 5)
    moved = dataclasses.replace(first, data=dataclasses.replace(first.data, data_path="/x/y.npz"))
    faster = dataclasses.replace(first, train=dataclasses.replace(first.train, learning_rate=1.0))
    assert digest(first) == digest(moved)
    assert len({digest(first), digest(second), digest(faster)}) == 3
    again = setting_tasks(2, 5)
    assert again == (first, second)


def test_tasks_are_drawn_of_every_kind_and_of_files_that_are_there(tmp_path: Path) -> None:
    files = curve_data.second(tmp_path, None)
    assert not {one.name for one in files} & {*BUNDLED, *curve_data.UCI}
    tasks = tasks_of(files, 12, 3)
    assert {task.kind for task in tasks} == {"rates", "noisy", "cycles"}
    assert all(Path(task.data.data_path).exists() for task in tasks)
