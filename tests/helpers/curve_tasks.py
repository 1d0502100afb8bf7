"""The tasks of the real runs: which shape the rules, and which are only reported.

Tasks of the setting cases and of the reported ones share no dataset, but for the generator of one
synthetic family at other sizes. `REPORTED` was looked at twice under earlier rules; `FRESH` has
other models, optimisers, sizes and seeds, and is judged by the final rules alone.
"""

from __future__ import annotations

import dataclasses

from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec

LENGTH = 4000  # steps of the whole run
SEEDS = 4
RATES = (1e-6, 0.03, 0.3, 1.0, 10.0, 100.0)  # times a task's own
FULL = (0.3, 3.0, 10.0, 20.0, 40.0)  # times a task's own, with the whole training set as batch
BREAKS = ("0:1,12:0.001", "0:1,30:0.002", "0:1,60:0.002")  # lowered far too early
PERIODS, HIGH = (12, 24, 40), (5, 10, 20, 40)  # of rates that go up and down: steps, times
# Of the larger task families, `wide`: more rates, and breaks at other steps, some in several goes.
WIDE_RATES = (1e-6, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
WIDE_BREAKS = (
    *(f"0:1,{at}:{low}" for at, low in ((8, 0.003), (20, 0.001), (45, 0.002), (90, 0.001))),
    "0:1,5:0.4,10:0.16,15:0.06,20:0.025,25:0.01,30:0.004,35:0.001",
    "0:1,20:0.5,30:0.25,40:0.12,50:0.06,60:0.03,70:0.01,80:0.003,100:0.001",
)
WIDE_PERIODS, WIDE_HIGH = (16, 30, 50), (3, 8, 16, 32)


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset, a model and a rate that suits them."""

    name: str
    told: DataSpec
    model: ModelSpec
    train: TrainSpec
    full: int  # rows of a full batch
    arms: str = "rates"
    seed: int = 0


def _mlp(*hidden: int, activation: str = "relu") -> ModelSpec:
    return ModelSpec(hidden=hidden, activation=activation)


def _sgd(rate: float, momentum: float = 0.9, batch: int = 32) -> TrainSpec:
    name = "momentum" if momentum else "sgd"
    return TrainSpec(
        optimizer=name, momentum=momentum, learning_rate=rate, steps=LENGTH, batch_size=batch
    )


def _other(optimizer: str, rate: float) -> TrainSpec:
    return TrainSpec(optimizer=optimizer, learning_rate=rate, steps=LENGTH, batch_size=32)


def _of(dataset: str, label_noise: float = 0.0) -> DataSpec:
    return DataSpec(dataset=dataset, label_noise=label_noise)


def _digits(rows: int) -> DataSpec:
    return DataSpec(dataset="digits", train_size=rows)


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


MORE_SETTING = (
    Task("digits tanh", _digits(600), _mlp(32, 32, activation="tanh"), _adam(0.003), 600, "wide"),
    Task("digits linear", _digits(500), ModelSpec(model="linear"), _sgd(0.02), 500, "wide"),
    Task("wine tanh", _of("wine"), _mlp(24, activation="tanh"), _sgd(0.1, 0.0), 110, "wide"),
    Task("iris adam", _of("iris"), _mlp(8, activation="gelu"), _adam(0.01), 90, "wide"),
    Task(
        "regression rmsprop",
        DataSpec(dataset="teacher_regression", generated_rows=800),
        _mlp(24),
        _other("rmsprop", 0.002),
        500,
        "wide",
    ),
    Task("digits cycles", _digits(300), _mlp(16), _adam(0.005), 300, "wide cycles"),
    Task("wine cycles", _of("wine", 0.2), _mlp(8), _other("rmsprop", 0.005), 110, "wide cycles"),
    Task("iris cycles", _of("iris"), _mlp(16), _adam(0.01), 90, "wide cycles"),
    # A linear model comes to rest on a floor well above zero.
    Task(
        "regression linear",
        DataSpec(dataset="teacher_regression", generated_rows=600, outliers=0.1),
        ModelSpec(model="linear"),
        _sgd(0.02),
        350,
        "wide",
    ),
    Task(
        "digits floor",
        DataSpec(dataset="digits", train_size=800, label_noise=0.4),
        ModelSpec(model="linear"),
        _sgd(0.01),
        800,
        "wide",
    ),
    Task("wine floor", _of("wine", 0.3), ModelSpec(model="linear"), _sgd(0.02), 110, "wide"),
    Task("iris noisy", _of("iris", 0.3), _mlp(64, 64), _adam(0.01), 90, "wide noisy"),
    Task("wine noisy", _of("wine", 0.3), _mlp(64), _sgd(0.05), 110, "wide noisy"),
)
FRESH = (
    Task(
        "fresh mnist1d",
        DataSpec(dataset="mnist1d", generated_rows=1000, data_seed=5),
        _mlp(48),
        _adam(0.003),
        500,
        "wide",
        11,
    ),
    Task(
        "fresh cancer",
        _of("breast_cancer"),
        _mlp(16, 16, activation="tanh"),
        _sgd(0.03),
        350,
        "wide",
        12,
    ),
    Task(
        "fresh diabetes",
        _of("diabetes"),
        _mlp(24, activation="gelu"),
        _other("rmsprop", 0.002),
        270,
        "wide",
        13,
    ),
    Task(
        "fresh teacher",
        DataSpec(dataset="teacher_classification", generated_rows=600, data_seed=5),
        _mlp(24, 24),
        _sgd(0.05, 0.0),
        350,
        "wide",
        14,
    ),
    Task(
        "fresh mnist1d linear",
        DataSpec(dataset="mnist1d", generated_rows=800, data_seed=6),
        ModelSpec(model="linear"),
        _sgd(0.02),
        500,
        "wide",
        15,
    ),
    Task(
        "fresh teacher floor",
        DataSpec(
            dataset="teacher_classification", generated_rows=900, label_noise=0.3, data_seed=9
        ),
        ModelSpec(model="linear"),
        _adam(0.01),
        500,
        "wide",
        21,
    ),
    Task(
        "fresh cancer cycles",
        _of("breast_cancer", 0.1),
        _mlp(8),
        _adam(0.01),
        350,
        "wide cycles",
        16,
    ),
    Task(
        "fresh mnist1d cycles",
        DataSpec(dataset="mnist1d", generated_rows=500, data_seed=7),
        _mlp(24),
        _other("rmsprop", 0.003),
        300,
        "wide cycles",
        17,
    ),
    Task(
        "fresh teacher cycles",
        DataSpec(dataset="teacher_classification", generated_rows=400, data_seed=7),
        _mlp(16),
        _adam(0.01),
        250,
        "wide cycles",
        18,
    ),
    Task(
        "fresh cancer noisy",
        _of("breast_cancer", 0.3),
        _mlp(64),
        _adam(0.01),
        200,
        "wide noisy",
        19,
    ),
    Task(
        "fresh teacher noisy",
        DataSpec(
            dataset="teacher_classification", generated_rows=300, label_noise=0.3, data_seed=8
        ),
        _mlp(64, 64),
        _sgd(0.05),
        150,
        "wide noisy",
        20,
    ),
)


def arms(task: Task) -> tuple[Arm, ...]:
    """What is tried in a task: rates, rates with the whole set as batch, breaks, or cycles."""
    wide, kind = task.arms.startswith("wide"), task.arms.split()[-1]
    own = task.train.learning_rate
    scaled = 1.0 if task.train.optimizer in ("sgd", "momentum") else 0.2
    rates = tuple(
        Arm.of(f"rate {x:g}", learning_rate=x * own) for x in (WIDE_RATES if wide else RATES)
    )
    if kind == "noisy":
        return rates
    if kind == "cycles":
        periods, high = (WIDE_PERIODS, WIDE_HIGH) if wide else (PERIODS, HIGH)
        return rates[:2] + tuple(
            Arm.of(f"cycle {one} {times}", schedule=_cycles(one, times))
            for one in periods
            for times in high
        )
    full = {"batch_size": task.full, "momentum": 0.0}
    breaks = WIDE_BREAKS if wide else BREAKS
    return (
        *rates,
        *(Arm.of(f"break {k}", schedule=one) for k, one in enumerate(breaks)),
        *(Arm.of(f"full {x:g}", learning_rate=x * scaled * own, **full) for x in FULL),
    )


def _cycles(period: int, high: float) -> str:
    """A rate that is high in every second half of a period."""
    turns = range(0, LENGTH // 9, period)
    return ",".join(f"{k}:0.3,{k + period // 2}:{high}" for k in turns)
