"""What a finished study leaves in its workdir: tables, curves and digests."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from convergence import saving, schedules, spec
from convergence.events import metric_names
from convergence.history import History
from convergence.pairs import pairs
from convergence.reporting.workdir import Workdir
from convergence.training.curve import bin_width
from convergence.training.twins import steps as twin_steps

SPLITS = ("train", "validation", "clean", "test")


def scored_splits(history: History) -> tuple[str, ...]:
    """The splits on which this study's trials were scored at their end."""
    first = metric_names(history.plan)[0]
    known = {
        "train": f"final/train/{first}",
        "validation": f"eval/validation/{first}",
        "clean": f"eval/clean/{first}",
        "test": f"final/test/{first}",
    }
    return tuple(split for split in SPLITS if known[split] in history.arrays)


def trials_table(history: History) -> dict[str, list[Any]]:
    """One row a trial, by column: setting, outcome and digest."""
    plan, trials = history.plan, history.trials
    settings = [plan.settings[trial.arm] for trial in trials]
    bad, diverged = history.first_bad, history.diverged
    table: dict[str, list[Any]] = {
        "trial": [trial.index for trial in trials],
        "arm": [plan.study.arms[trial.arm].name for trial in trials],
        "replica": [trial.replica for trial in trials],
        "varied": [",".join(plan.varied(trial.arm)) for trial in trials],
        "steps": [trial.steps for trial in trials],
        "status": ["diverged" if one else "finished" for one in diverged],
        "first_non_finite_step": [int(b) if d else None for b, d in zip(bad, diverged)],
        "fingerprint": [f"{int(word):016x}" for word in history.fingerprints],
    }
    for name in spec.TRACED:
        table[name] = [float(setting.get(name)) for setting in settings]
    for name in ("schedule", "loss", "optimizer", "init", "model"):
        table[name] = [str(setting.get(name)) for setting in settings]
    for split in scored_splits(history):
        for metric in metric_names(history.plan):
            values = history.final(metric, split)
            table[f"{split}_{metric}"] = [float(v) if np.isfinite(v) else None for v in values]
    return table


def curves(history: History) -> dict[str, np.ndarray]:
    """The training loss and the evaluations of every trial, as written to curves.npz."""
    steps, loss = history.loss_curve()
    arrays = {"loss_step": steps} | {f"loss_{name}": values for name, values in loss.items()}
    arrays["rate"] = rates(history)
    arrays["bin_width"] = np.array(bin_width(history.plan.total_steps))
    arrays["eval_step"] = history.eval_steps
    for name, values in history.arrays.items():
        if name.startswith("eval/"):
            arrays[name.removeprefix("eval/").replace("/", "_")] = values
    return arrays


def rates(history: History) -> np.ndarray:
    """float32[trials, points]: the learning rate at each point's step of the loss curve.

    NaN beyond an arm's last step, and for the plateau's controller wherever its course cannot be
    told from what was recorded (losses are kept step by step only in runs of at most 1,256).
    """
    plan, arrays = history.plan, history.arrays
    steps, loss = history.loss_curve()
    at = steps - 1
    out = np.full((len(plan.trials), len(steps)), np.nan, np.float32)
    for trial in plan.trials:
        train = plan.settings[trial.arm].train
        there = at < trial.steps
        rate = train.learning_rate * plan.shapes[plan.schedule_of_arm[trial.arm]][at[there]]
        if train.schedule == "plateau":
            course = schedules.plateau_course(loss["mean"][trial.index][there])
            ends = float(np.ravel(arrays["control"][trial.index])[0]) if "control" in arrays else 1
            exact = bin_width(plan.total_steps) == 1 and course[-1] == ends
            rate = rate * course[:-1] if exact else np.full_like(rate, np.nan)
        out[trial.index, there] = rate
    return out


def row_digests(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint64[rows]: a digest of each row's inputs and target, to find it again in revised data."""
    lines = (hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=8) for a, b in zip(x, y))
    return np.array([int.from_bytes(line.digest(), "big") for line in lines], np.uint64)


def predictions(history: History, test: bool) -> dict[str, np.ndarray]:
    """Held-out outputs with the rows they are for, their clean targets, and a digest of each row.

    Outputs are [trials, rows, classes] logits, or [trials, rows] in the target's own unit; NaN
    where a trial was scored on fewer rows than another.
    """
    dataset = history.plan.dataset
    rows = [history.scored_rows(t.index, test) for t in history.trials]
    width = max(len(r) for r in rows)
    table = np.full((len(rows), width), -1, np.int32)
    for line, r in zip(table, rows):
        line[: len(r)] = r
    if all(np.array_equal(r, rows[0]) for r in rows):
        table = table[:1]
    used = np.unique(table[table >= 0])
    outputs = history.arrays["predictions"]
    if dataset.task == "regression":
        with np.errstate(over="ignore"):  # of diverged trials
            outputs = history.predicted(np.arange(len(rows)), outputs).astype(np.float32)
    outputs = np.where(
        (table >= 0).reshape(*table.shape, *(1,) * (outputs.ndim - 2)), outputs, np.nan
    )
    return {
        "outputs": outputs,
        "rows": table,
        "split": np.array("test" if test else "validation"),
        "row": used,
        "row_digest": row_digests(dataset.x[used], dataset.y[used]),
        "truth": dataset.y[used],
    }


def write(history: History, workdir: Workdir, *, test: bool) -> None:
    """Writes every result of the workdir contract that needs no verdict."""
    saving.save_preprocessing(history, workdir)
    workdir.write_parquet("trials.parquet", trials_table(history))
    workdir.write_npz("curves.npz", curves(history))
    if "predictions" in history.arrays:
        workdir.write_npz("predictions.npz", predictions(history, test))
    every = history.study.run.fingerprint_every
    marks = history.arrays["marks"]
    workdir.write_npz(
        "fingerprints.npz",
        {
            "step": every * (1 + np.arange(marks.shape[1])),
            "marks": marks,
            "chains": history.arrays["chains"],
            "final": history.arrays["fingerprint"],
            "final_chain": history.arrays["chain"],
        },
    )
    sketches = history.arrays["sketches"]
    at = np.concatenate([[0], 2 ** np.arange(max(sketches.shape[1] - 1, 0))])
    workdir.write_npz("sketches.npz", {"step": at[: sketches.shape[1]], "sketches": sketches})
    if "distance" in history.arrays:
        workdir.write_npz("twins.npz", twins(history))


def twins(history: History) -> dict[str, np.ndarray]:
    """How far each twin is from the trial whose twin it is: ``step``, ``trial`` and ``distance``.

    ``distance`` is float64[twins, steps], NaN from where one of a pair has diverged; ``trial`` the
    indices of the twins, ``of`` those of their trials.
    """
    told = np.array(pairs(history.plan, history.trials), np.int32).reshape(-1, 2)
    return {
        "step": np.array(twin_steps(history.plan.total_steps)),
        "trial": told[:, 0],
        "of": told[:, 1],
        "distance": history.arrays["distance"][told[:, 0]],
    }
