"""Predictions of a finished study's model on new rows: which model, its outputs, and the table.

What is needed is in the workdir (`saving`): the training data may be gone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from convergence.analysis.ensemble import Ensemble, of_classes, of_numbers, scores
from convergence.data.encoding import Encoding
from convergence.data.new_rows import NewRows
from convergence.data.table import MAX_CELLS
from convergence.errors import UserError, unknown_name
from convergence.names import MODELS
from convergence.optimizers import build_optimizer
from convergence.packing import Packing
from convergence.reporting import admission, files, provenance
from convergence.reporting.workdir import Workdir
from convergence.saved import Saved
from convergence.study import Machine
from convergence.training.forward import SLAB, Forward
from convergence.training.program import Program
from convergence.training.step import Algorithm
from convergence.userfile import split_reference

CONFIRMATION, RECOMMENDED = "confirmation", "recommended"  # as the main job names them


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The arm that predicts.

    Attributes:
        saved: the study that trained it.
        arm: its name.
        why: why this one, in a few words.
    """

    saved: Saved
    arm: str
    why: str


def choose(folder: Path, arm: str = "") -> Chosen:
    """The arm of this name in a study or in one nested in it; by default what was recommended.

    Without a name it is the setting that the main job recommended and confirmed, else the study's
    arm without changes.

    Raises:
        UserError: no study, an unfinished one, no such arm.
    """
    workdir = Workdir.open(folder)
    saved = Saved.open(workdir)
    if arm:
        return _named(saved, arm)
    decision = _decision(workdir)
    if decision == "holds" and CONFIRMATION in workdir.manifest["children"]:
        nested = Saved.open(Workdir.open(workdir.path(CONFIRMATION)))
        if RECOMMENDED in nested.arms:
            return Chosen(nested, RECOMMENDED, "recommended and confirmed")
    plain = [one.name for one in saved.study.arms if not one.changes and not one.twin]
    why = "the setting without changes" if plain else "the study's first arm"
    if decision and decision != "holds":
        why += "; no other was confirmed"
    return Chosen(saved, (plain or saved.arms)[0], why)


def _named(saved: Saved, arm: str) -> Chosen:
    if arm in saved.arms:
        return Chosen(saved, arm, "as asked")
    names = list(saved.arms)
    for child in saved.workdir.manifest["children"]:
        folder = Workdir.open(saved.workdir.path(child)) if admission.plain_name(child) else None
        if folder and folder.finished:
            nested = Saved.open(folder)
            if arm in nested.arms:
                return Chosen(nested, arm, f"as asked, of the nested study {child}")
            names += nested.arms
    raise unknown_name(arm, set(names), "arm", "arm")


def _decision(workdir: Workdir) -> str:
    """What became of the main job's recommendation, or "" in other studies."""
    try:
        summary = files.read_json(workdir.path("summary.json"))
    except (FileNotFoundError, files.CorruptFile):
        return ""
    told = summary.get("recommendation") if isinstance(summary, dict) else None
    return str(told.get("decision", "")) if isinstance(told, dict) else ""


def check_own_model(chosen: Chosen, given: str, allow_drift: bool) -> str:
    """The reference of the user's own model to run, or "" for a bundled one.

    A manifest may come from anywhere, so the file that it names is never run by itself: the user
    names it, and its digest must be the trained one's.

    Raises:
        UserError: it is not named, or is not the file that was trained (unless drift is allowed).
    """
    trained = chosen.saved.setting(chosen.arm).model.model
    if trained in MODELS:
        if given:
            raise UserError(f"the model of {chosen.arm!r} is {trained}; leave this out.", "model")
        return ""
    if not given:
        raise UserError(
            f"the model of {chosen.arm!r} is code of your own, which is run only when you name it: "
            f"give --model={trained} (or where the file is now).",
            "model",
        )
    path, _ = split_reference(given, "model")
    told = chosen.saved.workdir.manifest["provenance"].get("user_files")
    known = told.get(trained.rpartition(":")[0]) if isinstance(told, dict) else None
    if hashlib.sha256(path.read_bytes()).hexdigest() != known and not allow_drift:
        raise UserError(
            f"{path} is not the file that was trained (its SHA-256 differs); restore it, or give "
            "--allow_drift to predict with it all the same.",
            "model",
        )
    return given


def drift(saved: Saved) -> list[str]:
    """What may make the last digits differ from the study's own predictions: names of fields."""
    then = saved.workdir.manifest["provenance"]
    here = provenance.collect(str(then.get("data_digest")), then.get("user_files") or {})
    return [field for field, _, _ in provenance.drift(then, here)]


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """What an arm's models say of some rows.

    Attributes:
        replicas: int[seeds] of the seeds that predict.
        values: float32, as in the study's predictions.npz: [seeds, rows, classes] logits, or
            [seeds, rows] in the target's own unit.
        diverged: how many seeds diverged and were left out.
        seeds: how many the study has.
    """

    replicas: np.ndarray
    values: np.ndarray
    diverged: int
    seeds: int


def outputs(
    chosen: Chosen, x: np.ndarray, own: str = "", machine: Machine | None = None
) -> Outputs:
    """The outputs of an arm's models for float32[rows, features] in raw units.

    They are computed as the study computed its held-out predictions, by the same program: rows
    that it predicted get the same bits, on the same machine with the same versions.

    Args:
        own: reference of the user's own model (`check_own_model`).
        machine: where to run; default this process's first device.

    Raises:
        UserError: no params were kept, all trials diverged, a file is damaged, too many rows.
    """
    saved, arm = chosen.saved, chosen.arm
    model = saved.model(arm, own)
    trials = saved.trials(arm)
    index, models = saved.trained(trials, model)
    if not len(index):
        raise UserError(
            f"the study in {saved.workdir.root} kept no params of {arm!r}; train it again with "
            "--save_params=all.",
            "workdir",
        )
    preparation, diverged = saved.prepared(index)
    good = np.flatnonzero(~diverged)
    if not len(good):
        raise UserError(
            f"every trial of {arm!r} diverged; there is nothing to predict with.", "arm"
        )
    if len(good) * len(x) * saved.encoding.outputs > MAX_CELLS:
        raise UserError(
            f"{len(x)} rows by {len(good)} seeds are too many at once; split the file.", "data_path"
        )
    import jax

    models = jax.tree.map(lambda a: a[good], models)
    mine = preparation.of(good)
    machine = machine or Machine.here(1)
    forward = Forward(
        _program(saved, arm, model), machine.workers[0], machine.mode, saved.study.run.lanes
    )
    values = forward(models, mine.x_mean, mine.x_scale, x)
    if saved.encoding.task == "regression":
        scale, mean = (a.astype(np.float64)[:, None] for a in (mine.y_scale, mine.y_mean))
        with np.errstate(over="ignore"):
            values = (values[..., 0].astype(np.float64) / scale + mean).astype(np.float32)
    replicas = saved.replicas(index[good])
    return Outputs(replicas, values, int(diverged.sum()), len(trials))


def _program(saved: Saved, arm: str, model: Any) -> Program:
    train = saved.setting(arm).train
    packing = Packing.of(model.form(saved.encoding.shape)[0])
    optimizer = build_optimizer(train.optimizer, packing)
    return Program(
        algorithm=Algorithm(
            model, (), optimizer, train.batch_size, train.accumulate, False, packing
        ),
        initialisers=(),
        task=saved.encoding.task,
        shape=saved.encoding.shape,
        missing=True,  # in new rows, whatever the study's were like
        noisy=False,
        capacity=SLAB,
    )


def ensemble(encoding: Encoding, told: Outputs) -> Ensemble:
    """The seeds together."""
    if encoding.task == "classification":
        return of_classes(told.values)
    return of_numbers(told.values)


def table(encoding: Encoding, told: Outputs, together: Ensemble) -> dict[str, np.ndarray]:
    """Columns by name: row (from 1), the ensemble's prediction, its spread, and each seed's own."""
    names = np.array(encoding.classes or ("",), object)
    columns = {"row": 1 + np.arange(len(together.prediction))}
    if together.probability is None:
        columns |= {"prediction": together.prediction, "spread": together.spread}
        members = told.values
    else:
        assert together.agreement is not None
        assert together.entropy is not None
        columns["prediction"] = names[together.prediction]
        columns["probability"] = together.probability.max(axis=1)
        columns |= {"spread": together.spread, "agreement": together.agreement}
        columns["entropy"] = together.entropy
        for place, name in enumerate(encoding.classes):
            columns[f"probability_{name}"] = together.probability[:, place]
        members = names[together.members]
    return columns | {f"seed_{replica}": line for replica, line in zip(told.replicas, members)}


def arrays(encoding: Encoding, told: Outputs, together: Ensemble) -> dict[str, np.ndarray]:
    """The same as arrays for an NPZ, with each seed's outputs as in the study's predictions.npz."""
    found = {"outputs": told.values, "replicas": told.replicas, "prediction": together.prediction}
    found["spread"] = together.spread
    if together.probability is not None:
        found |= {"probability": together.probability, "class_names": np.array(encoding.classes)}
    return found


def summary(chosen: Chosen, told: Outputs, together: Ensemble, rows: NewRows) -> list[str]:
    """Sentences on what predicted, what was left out, and how well it did where that is known."""
    saved, encoding = chosen.saved, chosen.saved.encoding
    count = len(told.replicas)
    study = f"the study in {saved.workdir.root}"
    who = f"{chosen.arm!r} ({chosen.why}) of {study}, {count} of {told.seeds} seeds"
    lines = [f"{len(rows.x)} rows of {encoding.target!r} predicted by {who}"]
    if told.diverged:
        lines.append(f"left out: {_seeds(told.diverged)} that diverged")
    if told.seeds > count + told.diverged:
        missing = told.seeds - count - told.diverged
        lines.append(f"left out: {_seeds(missing)} whose params were not kept (--save_params)")
    lines += rows.notes
    if not np.isfinite(told.values).all():
        lines.append("some outputs are not finite: rows too far from those trained on?")
    if rows.y is not None:
        lines.append(_scored(encoding, together, rows.y))
    return lines


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _scored(encoding: Encoding, together: Ensemble, truth: np.ndarray) -> str:
    known = int((~np.isnan(truth)).sum())
    if not known:
        return f'"{encoding.target}" is there, but in no row as the model predicts it: not scored'
    told = scores(together, truth)
    said = [
        f"{name} {one:.4g} (mean of single seeds {own:.4g})" for name, (one, own) in told.items()
    ]
    return (
        f'"{encoding.target}" is there: not an input, used to score {known} of {len(truth)} rows: '
        + ", ".join(said)
    )
