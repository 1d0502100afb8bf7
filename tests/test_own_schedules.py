"""A user's own schedules from flags to a finished study that can be trained again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.finished import finished
from helpers.plans import plan

from convergence import flags, laboratory, schedules
from convergence.difference.sides import open_side
from convergence.errors import UserError
from convergence.plan import Plan
from convergence.replay import open_replay
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec

FEW = DataSpec(dataset="teacher_classification", generated_rows=150)


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    path = tmp_path / "rates.csv"
    path.write_text("step,rate\n0,0.004\n3,0.04\n5,0.01\n")
    return path


@pytest.fixture
def code(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text("import numpy as np\nhalf = lambda step, steps: np.where(step < 4, 1, 0.5)\n")
    return f"{path}:half"


def test_all_in_one_program(rates: Path, code: str) -> None:
    """Protects the comparison: a schedule is a row of numbers, wherever it comes from."""
    texts = ("constant", str(rates), code, "0:1,5:.1", "cosine_restarts:2", "drop:1e*.5", "plateau")
    found = plan(*(Arm.of(text, schedule=text) for text in texts))
    assert len(found.groups) == 1
    for place, text in zip(found.schedule_of_arm, texts):
        own = schedules.shape(text, 20, steps_per_epoch=found._per_epoch(0, 0))
        assert np.array_equal(found.shapes[place][:20], own)


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), 0.04), (("--learning_rate=0.5",), 0.5), (("--preset=small",), 0.04)],
)
def test_rates_in_a_file_are_absolute(rates: Path, given: tuple[str, ...], expected: float) -> None:
    """Protects what was written down: the peak is the file's, unless another is asked for."""
    presets = {"small": {"learning_rate": 7.0}}
    line = (f"--schedule={rates}", *given)
    options = flags.from_arguments(line, "train", presets)
    assert options.setting.train.learning_rate == expected
    assert flags.from_arguments(("--schedule=cosine",), "train").setting.train.learning_rate == 1e-3


def test_rates_of_optimisers_that_find_their_own() -> None:
    """Protects prodigy and the like from adam's default, at which they hardly move."""

    def rate(*line: str) -> float:
        return flags.from_arguments(line, "train").setting.train.learning_rate

    assert rate("--optimizer=prodigy") == 1.0
    assert rate("--optimizer=momo_adam") == 0.01
    assert rate("--optimizer=prodigy", "--learning_rate=0.3") == 0.3
    assert rate("--optimizer=muon") == 1e-3


def test_they_are_part_of_the_study(rates: Path, code: str, tmp_path: Path) -> None:
    """Protects repetition: digests in the manifest, files that moved, and those that changed."""
    folder = tmp_path / "study"
    arms = (Arm("base"), Arm.of("file", schedule=str(rates)), Arm.of("code", schedule=code))
    history = finished(folder, FEW, arms=arms, num_seeds=1)
    own = code.rpartition(":")[0]
    known = Workdir.open(folder).manifest["provenance"]["user_files"]
    assert sorted(known) == sorted([str(rates), own])
    assert laboratory.user_files(history.plan.study) == known
    with pytest.raises(UserError, match="--schedule: the study runs code of your own"):
        open_replay(folder)
    moved = tmp_path / "moved.py"
    shutil.move(own, moved)
    replay = open_replay(folder, {"schedule": f"{moved}:half"})  # the file of rates is read there
    assert np.array_equal(Plan(replay.study, replay.dataset).shapes, history.plan.shapes)
    assert not open_side(folder, {"schedule": f"{moved}:half"}).changed
    rates.write_text(rates.read_text().replace("0.01", "0.02"))
    with pytest.raises(UserError, match=r"rates\.csv is not the file that was trained"):
        open_replay(folder, {"schedule": f"{moved}:half"})
    rates.unlink()
    with pytest.raises(UserError, match=r"--schedule: there is no file .*rates\.csv"):
        open_replay(folder, {"schedule": f"{moved}:half"})
    assert "no file" in open_side(folder, {"schedule": f"{moved}:half"}).changed


@pytest.mark.slow
def test_a_file_of_rates_may_move(rates: Path, tmp_path: Path) -> None:
    """Protects a folder that was handed on: with its file beside it, the study is trained again."""
    folder = tmp_path / "study"
    history = finished(folder, FEW, arms=(Arm.of("file", schedule=str(rates)),), num_seeds=1)
    assert np.array_equal(
        Plan(open_replay(folder).study, history.plan.dataset).shapes, history.plan.shapes
    )
    moved = shutil.move(rates, tmp_path / "moved.csv")
    replay = open_replay(folder, {"schedule": str(moved)})
    assert np.array_equal(Plan(replay.study, replay.dataset).shapes, history.plan.shapes)
