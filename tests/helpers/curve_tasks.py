"""The tasks of the real runs, drawn at random: which set the rules, and which are only reported.

Both parts are drawn alike – model, optimiser, rate, batch, noise, rows, and what is tried – but
from other seeds and of other data: the setting tasks of the bundled datasets, of those that were
reported earlier (`curve_data`) and of half of `curve_tables`, the reported ones of its other half.
No task was chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from helpers import curve_data

from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec

LENGTH = 4000  # steps of the whole run
SEEDS = 4
RATES = (1e-6, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # times a task's own
FULL = (0.3, 3.0, 10.0, 20.0, 40.0)  # times a task's own, with the whole training set as batch
BREAKS = (  # a rate lowered far too early, at once or in several goes
    *(f"0:1,{at}:{low}" for at, low in ((8, 0.003), (20, 0.001), (45, 0.002), (90, 0.001))),
    "0:1,5:0.4,10:0.16,15:0.06,20:0.025,25:0.01,30:0.004,35:0.001",
    "0:1,20:0.5,30:0.25,40:0.12,50:0.06,60:0.03,70:0.01,80:0.003,100:0.001",
)
HIGH = (20.0, 60.0, 150.0, 400.0)  # the same in tasks of cycles
CYCLES = 24  # of the rate, tried in a task of cycles
LOW = 0.3  # the lower rate of a cycle, times a task's own
KINDS = ("rates", "rates", "noisy", "cycles")  # of every four tasks
# Models that fit every row end at rest whatever the rate does: cycles show where a floor is left.
SPOILED = {"rates": (0.0, 0.0, 0.1), "noisy": (0.2, 0.3, 0.4), "cycles": (0.1, 0.2, 0.3)}
DEPTHS = {"rates": (0, 1, 1, 2, 2, 3), "noisy": (1, 2), "cycles": (0, 1)}
WIDTHS = {"rates": (8, 16, 24, 32, 64), "noisy": (16, 32, 64), "cycles": (4, 8, 16)}
USUAL = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adam": 0.005, "rmsprop": 0.002}
CORNERS = 8  # of a rate that goes up and down in straight lines
EVALUATIONS = (400, 1000)  # of the whole run


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset, a model, a rate that suits them, and what is tried.

    Attributes:
        full: rows of a full batch.
        kind: rates, noisy (rates on spoiled targets), or cycles of the rate.
        cycles: (steps of a period, highest rate) of each; the rate is times the task's own.
        square: whether the rate jumps between its lowest and highest, or climbs and falls.
        evaluations: of the whole run.
        seed: the root of the run's keys.
    """

    name: str
    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    full: int
    kind: str
    cycles: tuple[tuple[int, float], ...]
    square: bool
    evaluations: int
    seed: int


BUNDLED = {  # training rows to draw from, and whether of classes
    "digits": (1100, True),
    "wine": (110, True),
    "iris": (90, True),
    "breast_cancer": (350, True),
    "diabetes": (270, False),
    "mnist1d": (900, True),
    "teacher_classification": (700, True),
    "teacher_regression": (700, False),
}
GENERATED = ("mnist1d", "teacher_classification", "teacher_regression")


def _turn(k: int, count: int) -> int:
    """Which dataset a task is of: every kind of task goes through them, each from another on."""
    return (k // len(KINDS) + 2 * (k % len(KINDS))) % count


def setting_tasks(count: int, seed: int) -> tuple[Task, ...]:
    """Tasks of bundled datasets."""

    def data(k: int, rng: np.random.Generator) -> tuple[str, DataSpec, int, bool]:
        name = list(BUNDLED)[_turn(k, len(BUNDLED))]
        most, classes = BUNDLED[name]
        told = DataSpec(dataset=name)
        if name in GENERATED:
            told = DataSpec(dataset=name, generated_rows=1500, data_seed=int(rng.integers(1000)))
        return name, told, most, classes

    streams = [np.random.default_rng([seed, k]) for k in range(count)]
    return tuple(
        _drawn(f"setting {seed} {k}", k, rng, *data(k, rng)) for k, rng in enumerate(streams)
    )


def tasks_of(files: Sequence[curve_data.File], count: int, seed: int) -> tuple[Task, ...]:
    """Tasks of datasets in files."""

    def data(k: int) -> tuple[str, DataSpec, int, bool]:
        one = files[_turn(k, len(files))]
        task = "classification" if one.classes else "regression"
        return one.name, DataSpec("file", str(one.path), task=task), one.rows, one.classes

    streams = [np.random.default_rng([seed, k]) for k in range(count)]
    return tuple(_drawn(f"reported {seed} {k}", k, rng, *data(k)) for k, rng in enumerate(streams))


def _drawn(
    name: str,
    k: int,
    rng: np.random.Generator,
    dataset: str,
    data: DataSpec,
    most: int,
    classes: bool,
) -> Task:
    kind = KINDS[k % len(KINDS)]
    rows = int(most * rng.uniform(0.3, 1.0)) // 2 * 2
    spoiled = float(rng.choice(SPOILED[kind]))
    noise = {"label_noise": spoiled} if classes else {"outliers": spoiled / 3}
    depth = int(rng.choice(DEPTHS[kind]))
    hidden = tuple(int(rng.choice(WIDTHS[kind])) for _ in range(depth))
    model = ModelSpec(
        model="mlp" if depth else "linear",
        hidden=hidden,
        activation=str(rng.choice(["relu", "tanh", "gelu", "elu"])),
    )
    optimizer = str(rng.choice(list(USUAL)))
    train = TrainSpec(
        optimizer=optimizer,
        learning_rate=float(f"{USUAL[optimizer] * 10 ** rng.uniform(-0.5, 0.5):.2g}"),
        steps=LENGTH,
        batch_size=min(int(rng.choice([16, 32, 64])), rows // 2),
    )
    if kind == "cycles" and rng.random() < 0.5:
        train = dataclasses.replace(train, batch_size=rows)
    cycles = tuple(
        (int(rng.integers(8, 40)), float(f"{10 ** rng.uniform(0.8, 2.2):.2g}"))
        for _ in range(CYCLES)
    )
    return Task(
        f"{name} {dataset}",
        dataclasses.replace(data, train_size=rows, **noise),
        model,
        train,
        rows,
        kind,
        cycles,
        bool(rng.random() < 0.5),
        int(rng.choice(EVALUATIONS)),
        int(rng.integers(1000)),
    )


def arms(task: Task) -> tuple[Arm, ...]:
    """What is tried in a task: rates, rates with the whole set as batch, breaks, or cycles."""
    own = task.train.learning_rate
    plain = task.train.optimizer in ("sgd", "momentum", "nesterov")
    rates = tuple(Arm.of(f"rate {x:g}", learning_rate=x * own) for x in RATES)
    if task.kind == "noisy":
        return rates
    whole = {"batch_size": task.full, "momentum": 0.0} if plain else {"batch_size": task.full}
    scaled = own if plain else 0.2 * own
    times = FULL if task.kind == "rates" else HIGH
    full = tuple(Arm.of(f"full {x:g}", learning_rate=x * scaled, **whole) for x in times)
    if task.kind == "rates":
        breaks = tuple(Arm.of(f"break {k}", schedule=one) for k, one in enumerate(BREAKS))
        return (*rates, *breaks, *full)
    cycles = tuple(
        Arm.of(f"cycle {period} {high:g} {k}", schedule=_cycles(period, high, task.square))
        for k, (period, high) in enumerate(task.cycles)
    )
    return (*rates[:2], *cycles, *full)


def _cycles(period: int, high: float, square: bool) -> str:
    """A rate that goes up and down, in every period alike, until a little after the longest cut."""
    turns = range(0, LENGTH // 9, period)
    if square:
        return ",".join(f"{k}:{LOW},{k + period // 2}:{high:g}" for k in turns)
    up = [LOW * (high / LOW) ** (2 * min(c, CORNERS - c) / CORNERS) for c in range(CORNERS)]
    told: dict[int, float] = {}
    for k in turns:
        told |= {k + round(c * period / CORNERS): rate for c, rate in enumerate(up)}
    return ",".join(f"{step}:{rate:.3g}" for step, rate in told.items())
