"""Trains a study once more into a folder of its own, and evaluates its saved params without that.

This is what a process under changed conditions does: whatever the condition is, the same code runs,
and what it leaves is a finished study that is compared as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convergence import prediction, results, spec
from convergence.comparison.evaluated import EVALUATED
from convergence.errors import UserError
from convergence.prediction import Chosen
from convergence.replay import Replay
from convergence.reporting import files, provenance
from convergence.reporting.workdir import Workdir
from convergence.spec import StudySpec
from convergence.study import Machine, Study
from convergence.training.blocks import Want


def changed(study: StudySpec, seeds: int = 0, compute_dtype: str = "") -> StudySpec:
    """A study with fewer seeds, or with another type in its forward pass.

    Args:
        seeds: the first so many of each arm (0: all); which others run beside changes no bit.
        compute_dtype: of the forward pass ("": the study's own).

    Raises:
        UserError: there are fewer seeds, or the model chooses its own types.
    """
    if seeds > study.run.num_seeds:
        raise UserError(f"there are only {study.run.num_seeds} seeds.", "sample")
    run = dataclasses.replace(study.run, save_params="all")
    if seeds:
        run = dataclasses.replace(run, num_seeds=seeds)
    setting = study.setting
    if compute_dtype:
        setting = setting.changed({"compute_dtype": compute_dtype})
    return spec.validate(dataclasses.replace(study, run=run, setting=setting))


def width_of(study: StudySpec) -> int:
    """How many lanes run side by side where they do: all trials, as far as a block has lanes."""
    return min(max(2, len(study.arms) * study.run.num_seeds), study.run.lanes)


def retrain(replay: Replay, study: StudySpec, folder: Path, vmap: bool = False) -> None:
    """Trains the study from its manifest and leaves a finished workdir.

    Args:
        replay: the study that was trained.
        study: it, as it is trained now (`changed`).
        folder: where to; must not hold a study.
        vmap: lanes side by side in one vectorised program, where a CPU takes them in turn.
    """
    machine = Machine.here()
    if vmap:
        machine = Machine(machine.workers[:1], "vmap")
        run = dataclasses.replace(study.run, lanes=width_of(study))
        study = dataclasses.replace(study, run=run)
    then = replay.saved.workdir.manifest["provenance"]
    about = provenance.collect(replay.dataset.digest, then.get("user_files"))
    with Workdir.prepare(folder, spec.to_json(study), about) as workdir:
        history = Study(
            study, replay.dataset, machine, Want(test=replay.test), workdir=workdir
        ).run()
        results.write(history, workdir, test=replay.test)
        workdir.mark("finished")
        workdir.remove_blocks()


def evaluate(replay: Replay, study: StudySpec, folder: Path, own: Mapping[str, str]) -> None:
    """Has the saved params predict the held-out rows again, and writes `EVALUATED`.

    Arrays: ``outputs`` float32[trials, rows(, classes)] as in predictions.npz, NaN where a trial
    diverged or its params were not kept; ``row`` int32[rows] of the dataset.

    Args:
        study: as the params are evaluated (`changed`); its seeds are left as they were.
        folder: of the retrained study.
        own: as `replay.open_replay`'s.

    Raises:
        UserError: no params were kept of any arm.
    """
    told = files.read_npz(replay.saved.workdir.path("predictions.npz"), ("outputs", "row"))
    saved = dataclasses.replace(
        replay.saved, study=dataclasses.replace(study, run=replay.study.run)
    )
    outputs = np.full((replay.count, len(told["row"]), *told["outputs"].shape[2:]), np.nan)
    refused = []
    for arm in saved.arms:
        model = own.get("model", "") if ":" in saved.setting(arm).model.model else ""
        try:
            found = prediction.outputs(Chosen(saved, arm, ""), replay.dataset.x[told["row"]], model)
        except UserError as error:  # none kept, or all of them diverged: others may be told
            refused.append(error)
            continue
        mine = saved.trials(arm)[found.replicas - study.run.first_replica]
        outputs[mine] = found.values
    if len(refused) == len(saved.arms):
        raise refused[0]
    Workdir.open(folder).write_npz(
        EVALUATED, {"outputs": outputs.astype(np.float32), "row": told["row"]}
    )
