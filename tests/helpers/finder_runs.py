"""Runs of many rates × seeds of a task, kept in files: what the finder's figures are worked out of.

A table of curves is trained once on a fine grid of rates; the finder's searches, the literal and
the published rules and their regrets are then read off it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from convergence import data, names, spec
from convergence.analysis.lr_finder import Runs, fine_rates, published
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset, a model and an optimiser; its grid of rates is 2^(k / 4)."""

    name: str
    told: DataSpec
    model: ModelSpec
    train: TrainSpec
    low: float
    high: float


def grid(low: float, high: float, per_octave: int = 4) -> np.ndarray:
    """Powers of 2^(1 / per_octave) from `low` to `high`, both about included."""
    first, last = (round(per_octave * np.log2(x)) for x in (low, high))
    return 2.0 ** (np.arange(first, last + 1) / per_octave)


def trained(
    task: Task, arms: tuple[Arm, ...], steps: int, seeds: int, first: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[points] steps, [seeds, arms, points] losses and [seeds, arms] first bad steps."""
    train = dataclasses.replace(task.train, steps=steps)
    run = RunSpec(
        num_seeds=seeds,
        first_replica=first,
        eval_every=steps,
        save_params="none",
        fingerprint_every=0,
    )
    study = spec.validate(
        StudySpec(setting=Setting(task.told, task.model, train), run=run, arms=arms)
    )
    loaded = data.load(task.told)
    history = Study(resolve(study, loaded), loaded, Machine.here(2)).run()
    points, loss = history.loss_curve()
    rows = np.stack([history.rows_of(arm.name) for arm in arms], axis=1)
    return points, loss["mean"][rows].astype(np.float32), history.first_bad[rows]


def curves(
    task: Task,
    rates: np.ndarray,
    steps: int,
    seeds: int,
    first: int,
    cache: Path | None,
    label: str = "",
) -> Runs:
    """The table of a task at these rates, from the cache folder if it is there."""
    path = cache / f"{task.name} {label or steps} {first}+{seeds}.npz" if cache else None
    if path is None or not path.exists():
        arms = tuple(Arm.of(f"rate={rate:.9g}", learning_rate=float(rate)) for rate in rates)
        points, loss, bad = trained(task, arms, steps, seeds, first)
        made = Runs(np.asarray(rates), points, loss, bad)
        if path is None:
            return made
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(made))
    with np.load(path) as held:
        return Runs(**{name: held[name] for name in held.files})


MNIST1D = Task(
    "mnist1d tanh sgd",
    DataSpec(dataset="mnist1d", validation_fraction=0.01),
    # Kernels as PyTorch draws them by default: uniform, with a third of LeCun's variance.
    ModelSpec(hidden=(10,), activation="tanh", init="lecun_uniform", init_scale=3**-0.5),
    TrainSpec(optimizer="sgd", batch_size=50),
    2.0**-10,
    2.0**7,
)


def _task(
    dataset: str,
    model: str,
    hidden: tuple[int, ...],
    optimizer: str,
    low: int,
    high: int,
    loss: str = "auto",
    batch: int = 32,
    **told: int,
) -> Task:
    name = f"{dataset} {model} {optimizer}" + ("" if loss == "auto" else f" {loss}")
    train = TrainSpec(optimizer=optimizer, batch_size=batch, loss=loss)
    about = DataSpec(dataset=dataset, **told)  # type: ignore[arg-type]
    return Task(name, about, ModelSpec(model=model, hidden=hidden), train, 2.0**low, 2.0**high)


# The rule was made on these; the reported tasks share no dataset with them, but for the generator
# of one family.
TUNING = (
    _task("digits", "mlp", (32,), "sgd", -10, 5),
    _task("wine", "mlp", (16, 16), "adam", -14, 3),
    _task("iris", "mlp", (8, 8), "momentum", -12, 3, batch=16),
    _task("teacher_classification", "mlp", (16,), "adam", -14, 3),
    _task("teacher_regression", "mlp", (16,), "sgd", -10, 5, "mse", data_seed=5),
    _task("teacher_classification", "mlp", (24, 24), "momentum", -12, 3, data_seed=5),
    _task("digits", "cnn", (8,), "adam", -14, 1),
    _task("digits", "gru", (12,), "momentum", -12, 3),
)


def ramp_arm(package: str) -> Arm:
    """A run of a hundred steps along a package's own ramp of rates."""
    low, high = published.RAMPS[package]
    path = published.rates(low, high)
    pairs = ",".join(f"{step}:{rate / high:.9g}" for step, rate in enumerate(path))
    return Arm.of(f"ramp {package}", schedule=pairs, learning_rate=high, steps=len(path))


def ramps(task: Task, seeds: int, first: int, cache: Path | None) -> dict[str, np.ndarray]:
    """[seeds, steps] losses along the ramp of each package."""
    path = cache / f"{task.name} ramps {first}+{seeds}.npz" if cache else None
    if path is None or not path.exists():
        arms = tuple(ramp_arm(package) for package in ("fastai", "lightning"))
        _, loss, _ = trained(task, arms, published.RAMP_STEPS, seeds, first)
        made = {"fastai": loss[:, 0], "lightning": loss[:, 1], "pytorch-lr-finder": loss[:, 0]}
        if path is None:
            return made
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **made)  # type: ignore[arg-type]
    with np.load(path) as held:
        return {name: held[name] for name in held.files}


REPORTED = (
    _task("mnist1d", "mlp", (32,), "momentum", -12, 4),
    _task("mnist1d", "mlp", (32, 32), "adam", -14, 2),
    _task("mnist1d", "cnn", (8, 8), "adam", -14, 2),
    _task("mnist1d", "cnn", (8, 8), "sgd", -10, 5),
    _task("mnist1d", "gru", (12,), "adam", -14, 2),
    _task("mnist1d", "gru", (12,), "momentum", -12, 4),
    _task("breast_cancer", "mlp", (24,), "sgd", -10, 5),
    _task("breast_cancer", "mlp", (24,), "adam", -14, 2),
    _task("diabetes", "mlp", (32,), "sgd", -10, 5, "huber"),
    _task("diabetes", "mlp", (32,), "momentum", -12, 4, "huber"),
    _task("teacher_regression", "mlp", (16,), "momentum", -12, 4, "huber"),
    _task("teacher_regression", "mlp", (16, 16), "adam", -14, 2, "huber"),
)
LENGTH = 200  # steps of a search's second runs; the first take half as many


def is_slow(task: Task) -> bool:
    """Whether a step of the task takes several times what one of a small MLP does."""
    return task.model.model in ("cnn", "gru")


def searches(
    task: Task, finders: int, seeds: int, first: int, cache: Path | None
) -> list[tuple[Runs, Runs | None]]:
    """The runs of independent searches, each with seeds of its own.

    All are trained together: the second runs at every rate that any search asks for, of which
    each then sees its own alone.
    """
    rates = grid(task.low, task.high, 1)
    count = finders * seeds
    coarse = curves(task, rates, LENGTH // 2, count, first, cache, "coarse")
    members = [slice(seeds * k, seeds * (k + 1)) for k in range(finders)]
    own = [coarse.taken(np.arange(len(rates)), one) for one in members]
    wanted = [fine_rates(one) for one in own]
    places = [None if one is None else np.round(4 * np.log2(one)).astype(int) for one in wanted]
    union = np.unique(np.concatenate([one for one in places if one is not None]))
    fine = curves(task, 2.0 ** (union / 4), LENGTH, count, first, cache, "fine")
    found: list[tuple[Runs, Runs | None]] = []
    for one, member, place in zip(own, members, places, strict=True):
        at = None if place is None else np.searchsorted(union, place)
        found.append((one, None if at is None else fine.taken(at, member)))
    return found


def evaluated(task: Task, seeds: int, steps: int, cache: Path | None) -> Runs:
    """The grid that suggestions are held against, of seeds that no search has seen."""
    per_octave = 2
    return curves(task, grid(task.low, task.high, per_octave), steps, seeds, 0, cache, "grid")


def free_one(task: Task, name: str, rate: float, seeds: int, cache: Path | None) -> np.ndarray:
    """[seeds] mean loss under an optimiser without a tuned rate."""
    path = cache / f"{task.name} free {name}.npz" if cache else None
    if path is not None and path.exists():
        with np.load(path) as held:
            return np.asarray(held["loss"])
    arm = Arm.of(name, optimizer=name, learning_rate=rate)
    steps, loss, bad = trained(task, (arm,), LENGTH, seeds)
    runs = Runs(np.array([rate]), steps, loss, bad)
    found = np.minimum(runs.mean()[:, 0], runs.starts)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, loss=found)
    return found


def rate_free(task: Task, seeds: int, cache: Path | None) -> dict[str, np.ndarray]:
    """[seeds] mean loss of each optimiser without a tuned rate, of the seeds of `evaluated`."""
    return {
        name: free_one(task, name, rate, seeds, cache) for name, rate in names.RATE_FREE.items()
    }
