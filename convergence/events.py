"""What TensorBoard shows of a study: bands, histograms and hyperparameters of its arms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from convergence import losses, names
from convergence.analysis.bands import bands
from convergence.history import History
from convergence.plan import Plan
from convergence.reporting import tensorboard
from convergence.reporting.tensorboard import Metric, Session, Value

LOSS = "loss/train"
# Shown under HParams though no arm changes them.
USUAL = ("model", "hidden", "init", "loss", "optimizer", "learning_rate", "schedule", "batch_size")
LONGEST_CURVE = 300  # points of one trial's loss


def metric_names(plan: Plan) -> tuple[str, ...]:
    """The task's metrics, the study's own first."""
    task, first = plan.dataset.task, plan.study.run.metric
    known = names.CLASSIFICATION_METRICS if task == "classification" else names.REGRESSION_METRICS
    return (first, *(name for name in known if name != first))


def curve_tags(plan: Plan) -> list[str]:
    """Tags of the bands that an arm's run has, the study's metric first."""
    splits = ("validation", "clean") if plan.contaminated else ("validation",)
    own, *others = metric_names(plan)
    tags = [f"{own}/{split}" for split in splits]
    return [*tags, LOSS, *(f"{metric}/{split}" for metric in others for split in splits)]


def arm_series(history: History, index: np.ndarray) -> dict[str, np.ndarray]:
    """float64[seeds, evaluations] of each evaluated metric and of the loss, of some trials."""
    steps, loss = history.loss_curve()
    at = history.eval_steps
    place = np.clip(np.searchsorted(steps, at), 0, max(len(steps) - 1, 0))
    series = {}
    if len(steps):
        series[LOSS] = loss["mean"][index][:, place]
        series[LOSS][:, at == 0] = np.nan
    for name, values in history.arrays.items():
        if name.startswith("eval/"):
            _, split, metric = name.split("/")
            series[f"{metric}/{split}"] = values[index].astype(np.float64)
    return series


def best(values: np.ndarray, metric: str) -> np.ndarray:
    """[evaluations]: each seed's best value so far of [seeds, evaluations], its mean over seeds."""
    finite = np.where(np.isfinite(values), values, np.nan)
    better = np.fmax if metric in names.HIGHER_IS_BETTER else np.fmin
    return bands(better.accumulate(finite, axis=1))["mean"]


def describe(plan: Plan, arm: int) -> str:
    """Markdown about an arm: its changes to the base setting."""
    one = plan.study.arms[arm]
    changes = [f"- {name}: {value}" for name, value in one.changes] or ["- the base setting"]
    varied = ", ".join(plan.varied(arm))
    return "\n".join([*changes, f"- varied: {varied or 'nothing'}", f"- twin: {one.twin}"])


def hyperparameters(plan: Plan) -> dict[str, list[Value]]:
    """Name → its value in each arm: whatever differs between arms, and the usual ones."""
    told: dict[str, list[Value]] = {}
    for part in ("data", "model", "train"):
        for field in dataclasses.fields(getattr(plan.settings[0], part)):
            values = [_shown(setting.get(field.name)) for setting in plan.settings]
            if field.name in USUAL or len(set(values)) > 1:
                told[field.name] = values
    usual = losses.DEFAULTS[plan.dataset.task]
    told["loss"] = [usual if loss == "auto" else loss for loss in told["loss"]]
    told.pop("epochs", None)
    told["steps"] = list(plan.arm_steps)
    varied: list[Value] = [",".join(plan.varied(arm)) for arm in range(len(plan.settings))]
    twins: list[Value] = [arm.twin for arm in plan.study.arms]
    return told | {
        name: values for name, values in (("vary", varied), ("twin", twins)) if len(set(values)) > 1
    }


def _shown(value: object) -> Value:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "the model's own"
    return value if isinstance(value, bool | int | float) else str(value)


def metrics(plan: Plan) -> list[Metric]:
    """The columns by which HParams compares arms; each a scalar of the arms' runs."""
    own = plan.study.run.metric
    return [
        Metric(f"{own}/validation/mean", f"{own}, validation", "validation"),
        Metric(f"{own}/validation/best", f"best {own}, validation", "validation"),
        Metric(f"{LOSS}/mean", "training loss", "training"),
        Metric("seeds/diverged", "seeds diverged"),
    ]


def write_overview(folder: Path, plan: Plan) -> None:
    """Writes the bands' layout, HParams' columns, and a line for each arm, not run yet."""
    own = f"in_flight/{plan.study.run.metric}/validation"
    table = hyperparameters(plan)
    tensorboard.write_overview(folder, [*curve_tags(plan), own], table, metrics(plan))
    for index, arm in enumerate(plan.study.arms):
        session = Session({name: values[index] for name, values in table.items()})
        tensorboard.write_arm(folder, arm.name, [], {}, describe(plan, index), session=session)


def write_arm(folder: Path, history: History, arm: int) -> None:
    """Writes an arm's run; every trial of this history must be one of its seeds."""
    plan, own = history.plan, history.study.run.metric
    everyone = np.arange(len(history.arrays["first_bad"]))
    series, diverged = arm_series(history, everyone), int(history.diverged.sum())
    shown = {tag: bands(values) for tag, values in series.items()}
    shown[f"{own}/validation"]["best"] = best(series[f"{own}/validation"], own)
    counts = {"finished": len(everyone) - diverged, "diverged": diverged}
    end = np.where(history.eval_steps == history.eval_steps[-1], 1.0, np.nan)
    shown["seeds"] = {name: count * end for name, count in counts.items()}
    table = hyperparameters(plan)
    tensorboard.write_arm(
        folder,
        plan.study.arms[arm].name,
        history.eval_steps,
        shown,
        describe(plan, arm),
        samples={
            tag: values
            for tag, values in series.items()
            if tag == LOSS or tag.startswith(f"{own}/")
        },
        session=Session(
            {name: values[arm] for name, values in table.items()},
            "failure" if diverged else "success",
        ),
    )


def write_trial(folder: Path, history: History, row: int, arm: int, replica: int) -> None:
    """Writes the run of one trial, a row of this history."""
    steps, loss = history.loss_curve()
    kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), LONGEST_CURVE)).astype(int))
    curves = {LOSS: (steps[kept], loss["mean"][row][kept])} if len(steps) else {}
    for tag, values in arm_series(history, np.array([row])).items():
        if tag != LOSS:
            curves[tag] = (history.eval_steps, values[0])
    tensorboard.write_trial(folder, history.study.arms[arm].name, replica, curves)
