"""Studies trained to their end in a workdir, without a command line, and their round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convergence import data, laboratory, prediction, results, spec
from convergence.history import History
from convergence.reporting import files, provenance
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training.blocks import Want

SHORT = TrainSpec(steps=6, batch_size=8, learning_rate=0.01)
SMALL = ModelSpec(hidden=(6,))


def finished(
    folder: Path,
    told: DataSpec,
    model: ModelSpec = SMALL,
    train: TrainSpec = SHORT,
    arms: tuple[Arm, ...] = (Arm("base"),),
    *,
    test: bool = False,
    machine: Machine | None = None,
    **run: Any,
) -> History:
    """Trains a study in the folder and leaves it as an experiment does."""
    dataset = data.load(told)
    run = {"num_seeds": 2, "lanes": 4} | run
    study = StudySpec("train", "?", Setting(told, model, train), RunSpec(**run), arms)
    study = resolve(spec.validate(study), dataset)
    about = provenance.collect(dataset.digest, laboratory.user_files(study))
    with Workdir.prepare(folder, spec.to_json(study), about, command=["x"]) as workdir:
        history = Study(
            study, dataset, machine or Machine.here(1), Want(test=test), workdir=workdir
        ).run()
        results.write(history, workdir, test=test)
        workdir.mark("finished")
        workdir.remove_blocks()
    return history


def predicted(folder: Path, x: np.ndarray, arm: str = "", **how: Any) -> prediction.Outputs:
    """What `scripts/predict.py` would compute."""
    return prediction.outputs(prediction.choose(folder, arm), x, **how)


def differing(folder: Path, history: History, x: np.ndarray, arm: str = "", **how: Any) -> int:
    """How many of the study's own held-out outputs are not repeated bit for bit from its folder.

    All rows are predicted at once, so that each stands in another place than in the study.
    """
    stored = files.read_npz(folder / "predictions.npz")
    told = predicted(folder, x, arm, **how)
    trials = history.rows_of(arm or history.arm_names[0])
    assert np.array_equal(told.replicas, [history.trials[t].replica for t in trials])
    wrong = 0
    for values, trial in zip(told.values, trials):
        rows = stored["rows"][trial if len(stored["rows"]) > 1 else 0]
        rows = rows[rows >= 0]
        own = stored["outputs"][trial][: len(rows)]
        assert own.dtype == values.dtype == np.float32
        assert own.shape == values[rows].shape
        wrong += int((own.view(np.uint32) != values[rows].view(np.uint32)).sum())
    return wrong
