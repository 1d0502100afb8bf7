"""Finished studies whose scores are made up: what is said of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from convergence import challenges, data, spec
from convergence.analysis.verdict import Verdict
from convergence.challenges import Design
from convergence.data import Dataset, View
from convergence.history import History
from convergence.plan import Plan
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import resolve

SEEDS = 8
TRAIN = TrainSpec(steps=30, batch_size=16)
NAN = float("nan")
WOBBLE = np.random.default_rng(0).normal(size=(200, 50))
Errors = Callable[[str, int], float]  # arm, replica -> error of each prediction; NaN: diverged


@cache
def dataset(task: str) -> Dataset:
    return data.load(DataSpec(dataset=f"teacher_{task}", generated_rows=600))


def setting(task: str, **changes: Any) -> Setting:
    told = DataSpec(dataset=f"teacher_{task}", generated_rows=600)
    return Setting(told, ModelSpec(hidden=(8,)), TRAIN).changed(changes)


def study(
    task: str, seeds: int = SEEDS, arms: tuple[Arm, ...] | None = None, **changes: Any
) -> tuple[StudySpec, Design]:
    """The five challenges' study (or one of these arms) around a setting, and its design."""
    base, run = setting(task, **changes), RunSpec(num_seeds=seeds)
    made = challenges.design(base, dataset(task), run.vary)
    laid = StudySpec(setting=base, run=run, arms=arms or made.arms)
    return resolve(spec.validate(laid), dataset(task)), made


def history(
    task: str,
    errors: Errors,
    *,
    train: Errors | None = None,
    told: Errors | None = None,
    test: bool = False,
    fooled: tuple[str, ...] = (),
    **about: Any,
) -> History:
    """A regression whose predictions are all off by so much, or a classification of such a share.

    Args:
        errors: in the target's unit, by turns too high and too low, so that rmse and mae are the
            same; for a classification the share of rows whose class is wrong.
        train: the same on training rows (default: as `errors`).
        told: the same against targets as told, in the evaluations alone (default: as `errors`).
        test: predictions are for the test split.
        fooled: arms whose predictions are of the targets as told, not of the clean ones.
        about: see `study`.
    """
    plan = Plan(study(task, **about)[0], dataset(task))
    trials, names = plan.trials, [arm.name for arm in plan.study.arms]

    def drawn(source: Errors | None) -> np.ndarray:
        one = source or errors
        return np.array([one(names[t.arm], t.replica) for t in trials])

    off = drawn(None)
    rows = [plan.test if test else plan.view(t.arm, t.replica).validation for t in trials]
    outputs = []
    for t, r, e in zip(trials, rows, off):
        view = plan.view(t.arm, t.replica)
        truth = view.targets[r] if names[t.arm] in fooled else plan.dataset.y[r]
        outputs.append(_outputs(plan.dataset, view, truth, e))
    arrays: dict[str, np.ndarray] = {
        "predictions": np.stack(outputs),
        "first_bad": np.where(np.isnan(off), 3, -1),
        "steps_done": np.full(len(trials), 30),
    }
    for name, source in (("eval/clean", None), ("eval/validation", told), ("final/train", train)):
        for metric, values in _metrics(task, np.nan_to_num(drawn(source), nan=9.0)).items():
            here = values[:, None] if name.startswith("eval") else values
            arrays[f"{name}/{metric}"] = here.astype(np.float64)
    return History(plan, np.array([30]), arrays)


def _metrics(task: str, off: np.ndarray) -> dict[str, np.ndarray]:
    if task == "regression":
        return {"rmse": off, "mae": off, "r2": 1 - off**2}
    return {"accuracy": 1 - off, "cross_entropy": off, "brier": 2 * off}


def _outputs(rows: Dataset, view: View, truth: np.ndarray, error: float) -> np.ndarray:
    """Outputs for as many rows as there are targets to be off from."""
    count = np.arange(len(truth))
    if np.isnan(error):
        return np.full((len(truth), rows.outputs), np.nan)
    if rows.task == "regression":
        turns = error * (1.0 - 2.0 * (count % 2))
        return ((truth + turns - view.y_mean) * view.y_scale)[:, None]
    wrong = count < round(error * len(truth))
    label = np.where(wrong, (truth + 1) % rows.num_classes, truth)
    return 50.0 * np.eye(rows.num_classes)[label]


def jitter(arm: str, replica: int) -> float:
    """A little noise of each arm's and seed's own."""
    return 0.002 * WOBBLE[sum(map(ord, arm)) % 200, replica]


def errors(off: dict[str, float], base: float = 1.0) -> Errors:
    """Errors by arm: the base's, plus what is told, plus a little noise."""
    return lambda arm, replica: base + off.get(arm, 0.0) + jitter(arm, replica)


def decision(verdict: Verdict | None) -> tuple[str, str]:
    """The decision of a verdict that must be there, and its reason."""
    assert verdict
    return verdict.decision, verdict.reason
