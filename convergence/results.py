"""What a finished study leaves in its workdir: tables, curves, digests and TensorBoard runs."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import numpy as np

from convergence import names, saving, spec
from convergence.history import History
from convergence.reporting import tensorboard
from convergence.reporting.workdir import Workdir
from convergence.training.curve import bin_width

SPLITS = ("train", "validation", "clean", "test")


def metric_names(history: History) -> tuple[str, ...]:
    """The task's metrics, the study's own first."""
    task = history.plan.dataset.task
    all_names = (
        names.CLASSIFICATION_METRICS if task == "classification" else names.REGRESSION_METRICS
    )
    first = history.study.run.metric
    return (first, *(name for name in all_names if name != first))


def scored_splits(history: History) -> tuple[str, ...]:
    """The splits on which this study's trials were scored at their end."""
    first = metric_names(history)[0]
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
        for metric in metric_names(history):
            values = history.final(metric, split)
            table[f"{split}_{metric}"] = [float(v) if np.isfinite(v) else None for v in values]
    return table


def curves(history: History) -> dict[str, np.ndarray]:
    """The training loss and the evaluations of every trial, as written to curves.npz."""
    steps, loss = history.loss_curve()
    arrays = {"loss_step": steps} | {f"loss_{name}": values for name, values in loss.items()}
    arrays["bin_width"] = np.array(bin_width(history.plan.total_steps))
    arrays["eval_step"] = history.eval_steps
    for name, values in history.arrays.items():
        if name.startswith("eval/"):
            arrays[name.removeprefix("eval/").replace("/", "_")] = values
    return arrays


def row_digests(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint64[rows]: a digest of each row's inputs and target, to find it again in revised data."""
    lines = (hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=8) for a, b in zip(x, y))
    return np.array([int.from_bytes(line.digest(), "big") for line in lines], np.uint64)


def predictions(history: History, test: bool) -> dict[str, np.ndarray]:
    """Held-out outputs with the rows they are for and a digest of each row's inputs and target.

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
    }


def arm_bands(history: History, arm: str) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Steps and percentile bands over an arm's seeds of each evaluated metric and the loss."""
    index = history.rows_of(arm)
    steps, loss = history.loss_curve()
    at = history.eval_steps
    place = np.clip(np.searchsorted(steps, at), 0, max(len(steps) - 1, 0))
    series = {}
    if len(steps):
        series["loss/train"] = loss["mean"][index][:, place]
        series["loss/train"][:, at == 0] = np.nan
    for name, values in history.arrays.items():
        if name.startswith("eval/"):
            _, split, metric = name.split("/")
            series[f"{metric}/{split}"] = values[index].astype(np.float64)
    return at, {tag: bands(values) for tag, values in series.items()}


def bands(values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, median and 10th and 90th percentile over axis 0, of the values that are finite."""
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all seeds diverged: NaN, and left out
        low, middle, high = np.nanpercentile(finite, [10, 50, 90], axis=0)
        mean = np.nanmean(finite, axis=0)
    return {"mean": mean, "median": middle, "p10": low, "p90": high}


def describe(history: History, arm: str) -> str:
    """Markdown about an arm: its changes to the base setting."""
    one = history.study.arms[history.arm_names.index(arm)]
    changes = [f"- {name}: {value}" for name, value in one.changes] or ["- the base setting"]
    varied = ", ".join(history.plan.varied(history.arm_names.index(arm)))
    return "\n".join([*changes, f"- varied: {varied or 'nothing'}", f"- twin: {one.twin}"])


def write(history: History, workdir: Workdir, *, test: bool, events: bool) -> None:
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
    if events:
        write_events(history, workdir)


def write_events(history: History, workdir: Workdir) -> None:
    """One TensorBoard run per arm, now that all its seeds are there, and the bands' layout."""
    folder = workdir.path("tb")
    tags: dict[str, None] = {}
    for arm in history.arm_names:
        steps, series = arm_bands(history, arm)
        tensorboard.write_arm(folder, arm, steps, series, describe(history, arm))
        tags |= dict.fromkeys(series)
    tensorboard.write_layout(folder, tags)
