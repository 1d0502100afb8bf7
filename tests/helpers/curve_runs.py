"""Real runs of this engine, each labelled by what happened when it went on ten times as long.

A run at a constant rate is cut at a tenth or a twentieth of its length: the cut part is judged, the
rest and the other arms of its task tell what is true. Tasks of the setting cases and of the
reported ones share no dataset, but for the generator of one synthetic family at other sizes; all
train an MLP.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from helpers.curve_shapes import MATTERS, Case

from convergence import data, spec
from convergence.analysis.curves import Kind
from convergence.analysis.curves import judgement as says
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

LENGTH = 4000  # steps of the whole run
CUTS = (10, 20)  # the judged part is the whole over this
SEEDS = 4
POINTS = 400  # evaluations of the whole run
RATES = (1e-6, 0.03, 0.3, 1.0, 10.0, 100.0)  # times a task's own
FULL = (0.3, 3.0, 10.0, 20.0, 40.0)  # times a task's own, with the whole training set as batch
BREAKS = ("0:1,12:0.001", "0:1,30:0.002", "0:1,60:0.002")  # lowered far too early
PERIODS, HIGH = (12, 24, 40), (5, 10, 20, 40)  # of rates that go up and down: steps, times
NOTHING = 0.02  # of the best arm's descent: nothing was learned
SWINGS = 0.08  # of the descent


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset, a model and a rate that suits them."""

    name: str
    told: DataSpec
    model: ModelSpec
    train: TrainSpec
    full: int  # rows of a full batch
    arms: str = "rates"


def _mlp(*hidden: int) -> ModelSpec:
    return ModelSpec(hidden=hidden)


def _sgd(rate: float, momentum: float = 0.9, batch: int = 32) -> TrainSpec:
    name = "momentum" if momentum else "sgd"
    return TrainSpec(
        optimizer=name, momentum=momentum, learning_rate=rate, steps=LENGTH, batch_size=batch
    )


def _adam(rate: float) -> TrainSpec:
    return TrainSpec(optimizer="adam", learning_rate=rate, steps=LENGTH, batch_size=32)


SETTING = (
    Task("digits", DataSpec(dataset="digits", train_size=400), _mlp(32), _sgd(0.02), 400),
    Task("wine", DataSpec(dataset="wine"), _mlp(16, 16), _sgd(0.02), 110),
    Task("iris", DataSpec(dataset="iris"), _mlp(8, 8), _sgd(0.02), 90),
    Task(
        "regression cycles",
        DataSpec(dataset="teacher_regression", generated_rows=400),
        _mlp(16),
        _sgd(0.01),
        250,
        "cycles",
    ),
    Task(
        "digits noisy",
        DataSpec(dataset="digits", train_size=150, label_noise=0.4),
        _mlp(64),
        _adam(0.01),
        150,
        "noisy",
    ),
    Task(
        "regression noisy",
        DataSpec(dataset="teacher_regression", generated_rows=200, outliers=0.1),
        _mlp(64),
        _adam(0.01),
        100,
        "noisy",
    ),
)
REPORTED = (
    Task(
        "mnist1d",
        DataSpec(dataset="mnist1d", generated_rows=700),
        ModelSpec(hidden=(32, 32), activation="tanh"),
        _sgd(0.02),
        400,
    ),
    Task("breast_cancer", DataSpec(dataset="breast_cancer"), _mlp(24), _adam(0.003), 350),
    Task("diabetes", DataSpec(dataset="diabetes"), _mlp(32), _sgd(0.01, 0.0), 270),
    Task(
        "teacher_regression",
        DataSpec(dataset="teacher_regression", generated_rows=400),
        _mlp(16),
        _adam(0.003),
        250,
    ),
    Task("diabetes cycles", DataSpec(dataset="diabetes"), _mlp(32), _sgd(0.01), 250, "cycles"),
    Task(
        "mnist1d noisy",
        DataSpec(dataset="mnist1d", generated_rows=500, label_noise=0.2),
        _mlp(64),
        _adam(0.01),
        200,
        "noisy",
    ),
    Task("diabetes noisy", DataSpec(dataset="diabetes"), _mlp(64, 64), _adam(0.01), 200, "noisy"),
)


def _arms(task: Task) -> tuple[Arm, ...]:
    own = task.train.learning_rate
    scaled = 0.2 if task.train.optimizer == "adam" else 1.0
    rates = tuple(Arm.of(f"rate {x:g}", learning_rate=x * own) for x in RATES)
    if task.arms == "noisy":
        return rates
    if task.arms == "cycles":
        return rates[:2] + tuple(
            Arm.of(f"cycle {period} {high}", schedule=_cycles(period, high))
            for period in PERIODS
            for high in HIGH
        )
    full = {"batch_size": task.full, "momentum": 0.0}
    return (
        *rates,
        *(Arm.of(f"break {k}", schedule=one) for k, one in enumerate(BREAKS)),
        *(Arm.of(f"full {x:g}", learning_rate=x * scaled * own, **full) for x in FULL),
    )


def _cycles(period: int, high: float) -> str:
    """A rate that is high in every second half of a period."""
    turns = range(0, LENGTH // 9, period)
    return ",".join(f"{k}:0.3,{k + period // 2}:{high}" for k in turns)


def trained(task: Task, seed: int = 0) -> dict[str, np.ndarray]:
    """The curves of every arm and seed of a task, as arrays by name."""
    # Cycles are of the rate alone: batches would swing the loss by themselves.
    size = task.full if task.arms == "cycles" else task.train.batch_size
    train = dataclasses.replace(task.train, batch_size=size)
    setting = Setting(task.told, task.model, train)
    run = RunSpec(num_seeds=SEEDS, eval_every=LENGTH // POINTS, seed=seed, save_params="none")
    study = spec.validate(StudySpec(setting=setting, run=run, arms=_arms(task)))
    loaded = data.load(task.told)
    history = Study(resolve(study, loaded), loaded, Machine.here(2)).run()
    steps, loss = history.loss_curve()
    metric = "cross_entropy" if loaded.task == "classification" else "rmse"
    return {
        "loss_step": steps,
        "loss": loss["mean"],
        "eval_step": history.eval_steps,
        "held_out": history.curve(metric),
        "arm": np.array([one.arm for one in history.trials]),
        "arms": np.array(history.arm_names),
    }


def curves(task: Task, cache: Path | None) -> dict[str, np.ndarray]:
    """As `trained`, kept in a file in the folder ``cache`` if there is one."""
    if cache is None:
        return trained(task)
    path = cache / f"{task.name}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **trained(task))
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


def _level(steps: np.ndarray, values: np.ndarray, until: float) -> np.ndarray:
    """[trials] means over the last tenth before a step; infinite where it is not finite."""
    inside = (steps > 0.9 * until) & (steps <= until)
    mean = values[:, inside].mean(axis=1)
    return np.where(np.isfinite(mean), mean, np.inf)


def cases(task: Task, cache: Path | None) -> list[Case]:
    """Every cut run of a task with its label."""
    held = curves(task, cache)
    found = []
    for kind in ("loss", "held-out"):
        name = "loss" if kind == "loss" else "held_out"
        steps = held["loss_step" if kind == "loss" else "eval_step"].astype(np.float64)
        for cut in CUTS:
            found += _cut(task, held, kind, steps, held[name], LENGTH / cut, cut)
    return found


def _cut(
    task: Task,
    held: dict[str, np.ndarray],
    kind: Kind,
    steps: np.ndarray,
    values: np.ndarray,
    until: float,
    cut: int,
) -> list[Case]:
    inside = steps <= until
    arm, names = held["arm"], [str(name) for name in held["arms"]]
    replica = np.array([int((arm[:k] == one).sum()) for k, one in enumerate(arm)])
    now = _level(steps, values, until)
    # All arms of a seed start from the same weights, and one of them hardly moves.
    still = arm == names.index(f"rate {RATES[0]:g}")
    starts = np.array([_start(kind, values[still & (replica == k)][0]) for k in range(SEEDS)])
    ends = np.array([now[arm == k].mean() for k in range(len(names))])
    found = []
    for row in range(len(arm)):
        if replica[row] % len(CUTS) != CUTS.index(cut):  # every run is judged at one cut only
            continue
        name = names[arm[row]]
        about = About(kind, until, float(starts[replica[row]]), float(ends.min()), name)
        truth = _truth(steps, values[row], about)
        same = (replica == replica[row]) & (arm != arm[row])
        siblings = tuple((steps[inside], values[k][inside]) for k in np.flatnonzero(same))
        source = f"real: {task.name}, {name}, {kind}, {until:g} steps"
        end = float(now[row])
        found.append(Case(truth, source, kind, steps[inside], values[row][inside], end, siblings))
    return found


def _start(kind: Kind, still: np.ndarray) -> float:
    return float(still[0] if kind == "held-out" else still[:50].mean())


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a run: its kind, where it is cut, its start, and the best arm's level."""

    kind: Kind
    until: float
    start: float
    best: float
    arm: str


def _truth(steps: np.ndarray, values: np.ndarray, about: About) -> str:
    """What happened to a run that is cut at a step; neither where two verdicts are as true."""
    until, start = about.until, about.start
    now = float(_level(steps, values[None], until)[0])
    then = float(_level(steps, values[None], 10 * until)[0])
    descent, most = start - now, start - about.best
    if not np.isfinite(now) or (about.kind == "loss" and now > 1.05 * start):
        return says.DIVERGED
    if about.arm.startswith("cycle") and about.kind == "held-out":
        return "neither"
    if about.kind == "held-out":
        smooth = np.convolve(values, np.ones(5) / 5, "valid")
        middle = steps[4:]
        before = float(np.min(smooth[middle <= until], initial=np.inf))
        after = float(np.nanmin(smooth[middle > until], initial=np.inf))
        fallen = start - before
        if fallen > 2 * MATTERS * most and now - before > MATTERS * fallen:
            return says.OVERTRAINED if after >= before else "neither"
        if fallen < NOTHING * most:
            return says.NOT_LEARNING if now < 1.05 * start else "neither"
        then = after
    if descent < NOTHING * most:
        return says.NOT_LEARNING
    whole = about.arm.startswith(("full", "cycle"))  # no batches whose noise could pass for swings
    if whole and _swing(steps, values, until / 2, until) > SWINGS * descent:
        lasting = about.arm.startswith("cycle")
        lasting |= _swing(steps, values, 5 * until, 10 * until) > SWINGS / 2 * descent
        return says.OSCILLATING if lasting else "neither"
    if not np.isfinite(then) or about.arm.startswith("cycle"):
        return "neither"
    improves = now - then > MATTERS * descent
    beaten = now - about.best > MATTERS * descent
    if about.arm.startswith("break"):  # of these, ten times the length is not the same schedule
        return says.STUCK if beaten and not improves else "neither"
    return says.IMPROVING if improves else says.STUCK if beaten else says.CONVERGED


def _swing(steps: np.ndarray, values: np.ndarray, first: float, last: float) -> float:
    """Half the range of the middle nine tenths about the trend of a part of a run."""
    inside = (steps > first) & (steps <= last)
    at, part = steps[inside], values[inside]
    if len(part) < 4 or not np.isfinite(part).all():
        return np.inf
    rest = part - np.polyval(np.polyfit(at - at.mean(), part, 1), at - at.mean())
    low, high = np.percentile(rest, [5, 95])
    return float(high - low) / 2
