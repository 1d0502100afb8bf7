"""Blocks and checkpoints tell their trials: another number of devices never reads them as others'.

On an accelerator a block has as many lanes as all devices together, so a resume on another number
of them lays the trials out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import commands

from convergence import data, spec
from convergence.history import History
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

FEW = DataSpec(dataset="teacher_classification", generated_rows=120)
AGAIN = "Blocks that another number of devices had finished are computed again."


@pytest.fixture(scope="module", autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """These studies share their programs."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        yield


def side_by_side(devices: int) -> Machine:
    return Machine(tuple(jax.devices()[:devices]), "vmap")


def run(
    folder: Path, devices: int, stop_at: int = 0, resume: bool = False
) -> tuple[History | None, list[str]]:
    """Eight trials of 20 steps at a width of two; stopped after so many steps in all, if asked."""
    train = TrainSpec(steps=20, batch_size=16)
    every = {"checkpoint_every": 5, "eval_every": 5}
    study = StudySpec(
        setting=Setting(FEW, ModelSpec(hidden=(4,)), train),
        run=RunSpec(num_seeds=4, lanes=2, fingerprint_every=5, **every),
        arms=(Arm("base"), Arm.of("fast", learning_rate=0.01)),
    )
    dataset = data.load(FEW)
    study = resolve(spec.validate(study), dataset)

    def told(done: int, total: int, diverged: int) -> None:
        if stop_at and done >= stop_at:
            raise KeyboardInterrupt

    about = {"data_digest": dataset.digest, "device": {"platform": "gpu", "count": devices}}
    with Workdir.prepare(
        folder, spec.to_json(study), about, command=["x"], resume=resume, allow_drift=resume
    ) as workdir:
        try:
            machine = side_by_side(devices)
            history = Study(study, dataset, machine, workdir=workdir, progress=told).run()
        except KeyboardInterrupt:
            workdir.mark("interrupted")
            return None, workdir.messages
        workdir.mark("finished")
        return history, workdir.messages


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> History:
    """The study on one device, never interrupted."""
    history, messages = run(tmp_path_factory.mktemp("whole"), 1)
    assert messages == []
    assert history is not None
    return history


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("stop_at", [90, 110])
def test_resumed_on_other_devices(
    first: int, second: int, stop_at: int, whole: History, tmp_path: Path
) -> None:
    """Protects a resume that was allowed to drift: each trial's record is that trial's own."""
    run(tmp_path, first, stop_at)
    history, messages = run(tmp_path, second, resume=True)
    assert history is not None
    assert AGAIN in messages
    assert messages.count(AGAIN) == 1
    for name, values in whole.arrays.items():
        assert history.arrays[name].tobytes() == values.tobytes(), name
    kept = [files.read_npz(path)["trial"] for path in sorted((tmp_path / "params").glob("*"))]
    assert np.concatenate(kept).tolist() == list(range(8))


def test_a_checkpoint_of_other_trials(whole: History, tmp_path: Path) -> None:
    """Protects the current block: a checkpoint of other trials is named and not used."""
    run(tmp_path, 2, stop_at=30)
    assert any((tmp_path / "checkpoints").iterdir())
    history, messages = run(tmp_path, 1, resume=True)
    assert history is not None
    assert any("it is of other trials, from another number of devices" in m for m in messages)
    assert np.array_equal(history.fingerprints, whole.fingerprints)


def test_the_same_devices_read_them_back(whole: History, tmp_path: Path) -> None:
    """Protects the ordinary resume: nothing is computed again where the layout is the same."""
    run(tmp_path, 2, stop_at=90)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "blocks").iterdir()}
    assert times
    history, messages = run(tmp_path, 2, resume=True)
    assert history is not None
    assert [m for m in messages if "conditions" not in m] == []
    for name, time in times.items():
        assert (tmp_path / "blocks" / name).stat().st_mtime_ns == time
    assert np.array_equal(history.fingerprints, whole.fingerprints)
