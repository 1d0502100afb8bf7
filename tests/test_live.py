"""Event files while a study runs: read at every look, and after an interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import boards
from helpers.studies import DATA, MLP, SHORT, classification, laid
from tensorboard.plugins.hparams import api_pb2

from convergence import data
from convergence.live import Live
from convergence.reporting.tensorboard import PROGRESS
from convergence.spec import Arm
from convergence.study import Machine, Study
from convergence.watch import Look

ARMS = (Arm("base"), Arm.of("hot", learning_rate=1e30), Arm.of("wide", hidden=(7,)))


def study() -> Study:
    """Two programs, of two arms in two blocks and of one arm in one."""
    laid_out = laid(DATA, MLP, SHORT, ARMS, num_seeds=4, lanes=4, eval_every=8)
    return Study(laid_out, data.load(DATA), Machine.here(1))


class Reader:
    """Passes on what it is told, and reads the event files each time."""

    def __init__(self, live: Live, folder: Path) -> None:
        self.live, self.folder = live, folder
        self.looks: list[Look] = []
        self.seen: list[dict[str, int]] = []  # status of each arm's session, after each block
        self.shares: list[float] = []

    def looked(self, look: Look) -> None:
        self.live.looked(look)
        self.looks.append(look)
        points = boards.read(self.folder / PROGRESS)["progress/share_done"]
        self.shares.append(float(points[-1][1]))
        assert [step for step, _ in points] == [one.done for one in self.looks if one.scores]

    def ended(self, trials: Any, arrays: Any) -> None:
        self.live.ended(trials, arrays)
        self.seen.append({arm.name: boards.session(self.folder / arm.name)[1] for arm in ARMS})


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, Any]:
    """A study that was read while it ran, and its history."""
    folder, runner = tmp_path_factory.mktemp("live"), study()
    live = Live(runner.plan, runner.cadence.eval_steps(), folder)
    assert {boards.session(folder / arm.name)[1] for arm in ARMS} == {0}
    reader = Reader(live, folder)
    runner.watcher = reader
    history = runner.run()
    live.close()
    return reader, history


def test_progress_is_readable_at_every_look(watched: tuple[Reader, Any]) -> None:
    """Protects a watcher: share done, finished, diverged and the metric in flight, as they come."""
    reader, history = watched
    assert reader.shares == pytest.approx([k / 9 for k in range(1, 10)])
    assert [look.finished for look in reader.looks][2::3] == [4, 8, 12]
    back = boards.read(reader.folder / PROGRESS)
    assert [v for _, v in back["progress/trials_diverged"]] == [2] * 3 + [4] * 6
    last = history.curve("accuracy")[history.rows_of("wide"), -1]
    assert back["in_flight/accuracy/validation/mean"][-1][1] == pytest.approx(last.mean())
    assert back["in_flight/accuracy/validation/p10"][-1][1] <= last.mean()


def test_an_arm_is_written_when_its_seeds_are_there(watched: tuple[Reader, Any]) -> None:
    """Protects the bands: none of half an arm; until then HParams knows of no end."""
    running, success, failure = 0, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
    reader, history = watched
    assert reader.seen == [
        {"base": running, "hot": running, "wide": running},
        {"base": success, "hot": failure, "wide": running},
        {"base": success, "hot": failure, "wide": success},
    ]
    back = boards.read(reader.folder / "base")
    expected = history.curve("accuracy")[history.rows_of("base")].mean(axis=0)
    told = [value for _, value in back["accuracy/validation/mean"]]
    np.testing.assert_allclose(told, expected, rtol=1e-6)


def test_watching_changes_no_bit(watched: tuple[Reader, Any]) -> None:
    """Protects the bits contract: a study that nobody watches ends in the same records."""
    alone = study().run()
    for name, values in watched[1].arrays.items():
        assert values.tobytes() == alone.arrays[name].tobytes(), name


def test_blocks_in_any_order(tmp_path: Path) -> None:
    """Protects seeds' order: trials that come one by one, backwards, make the same run."""
    _, history, _ = classification()
    whole = boards.written(history, tmp_path / "whole")
    live = Live(history.plan, history.eval_steps.tolist(), tmp_path / "parts")
    for trial in reversed(history.trials):
        rows = {name: values[[trial.index]] for name, values in history.arrays.items()}
        live.ended([trial], rows)
    live.close()
    for run in ("splits", "constant"):
        one, other = boards.read(whole / run), boards.read(tmp_path / "parts" / run)
        assert list(one) == list(other)
        for tag, points in one.items():
            for (step, value), (again, same) in zip(points, other[tag], strict=True):
                assert step == again
                assert np.array_equal(value, same)


def test_an_interrupted_study_goes_on(tmp_path: Path) -> None:
    """Protects the progress after a resumption: what was done twice is shown once."""
    plan = study().plan
    scores = {"validation/accuracy": np.array([0.5, np.nan], np.float32)}
    look = Look(0, 100, 0, 0, scores)

    def looks(steps: tuple[int, ...]) -> None:
        live = Live(plan, [0, 24], tmp_path)
        for step in steps:
            live.looked(dataclasses.replace(look, done=step))
        live.looked(dataclasses.replace(look, done=99, scores={}))  # no evaluation: no point
        live.close()

    looks((10, 20, 30))
    looks((20, 30, 40))
    back = boards.read(tmp_path / PROGRESS)
    assert [step for step, _ in back["progress/share_done"]] == [10, 20, 30, 40]
    assert back["in_flight/accuracy/validation/median"][0][1] == 0.5
    assert len(boards.read(tmp_path)["custom_scalars__config__"]) == 1


def test_all_diverged_in_flight(tmp_path: Path) -> None:
    """Protects the progress where no trial in flight has a score: the counts are still told."""
    live = Live(study().plan, [0, 24], tmp_path)
    lost = np.full(3, np.nan, np.float32)
    live.looked(Look(5, 10, 0, 3, {"validation/accuracy": lost}))
    live.close()
    back = boards.read(tmp_path / PROGRESS)
    assert back["progress/trials_diverged"] == [(5, 3)]
    assert not [tag for tag in back if tag.startswith("in_flight")]
