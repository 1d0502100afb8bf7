"""Planted runs lowered too early, held too long and in time, and what the branch test says of them.

PYTHONPATH=tests python -m helpers.branch_cases setting|reported --cache=FOLDER [--runs=20]

A setting is drawn (task, model, optimiser, peak rate, factor of the drop) and three runs are made
of it, each with seeds of its own on the setting's split of the data: dropped within the first
tenth, dropped within the last twentieth or never, and dropped at the best of a fine grid. An oracle
of other seeds, on that split, trains the grid: a setting counts where it confirms that the first
two cost more than the margin, and that nothing ends better than the third by the margin; else
another is drawn, and counted. The oracle's seeds that choose the best point are not those that
confirm it. Settings are kept in the cache folder, one file each, so that a call goes on where the
last one was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from convergence import data
from convergence.analysis import branches as judged
from convergence.branching import counterfactual
from convergence.branching.growth import Grower
from convergence.data import Dataset
from convergence.replay import Trainer
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve

STEPS, SEEDS, BATCH = 240, 32, 16
CHOOSING, CONFIRMING = 16, 48  # the oracle's seeds
LOOKING = 6  # seeds of a first look, which spares most settings without a contrast the oracle
FINE = (
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
)  # the oracle's points beside the two plants
LEVEL = 0.001  # one-sided, of the oracle's bounds
NOISY = "teacher_classification, a tenth of the labels redrawn"
OTHER = "another teacher_regression"
DIGITS = "digits, a tenth of the labels redrawn"  # of clean ones few settings have a contrast
SPECS = {
    DIGITS: DataSpec(dataset="digits", label_noise=0.1),
    NOISY: DataSpec(dataset="teacher_classification", label_noise=0.1, data_seed=1),
    OTHER: DataSpec(dataset="teacher_regression", data_seed=1),
}
TASKS = {
    "setting": ("teacher_classification", OTHER, NOISY),
    "reported": (DIGITS, "mnist1d", "teacher_regression"),
}
RATES = {"sgd": (0.1, 2.0), "momentum": (0.02, 0.3), "adam": (0.004, 0.06)}
GENTLER = 0.2  # of the rates of sgd and momentum on squared errors, which break down sooner
CLASSES = (judged.EARLY, judged.LONG, judged.TIMELY)
ROOTS = {"setting": 10_000, "reported": 30_000}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One setting, and where its first two runs drop."""

    dataset: str
    model: str
    optimizer: str
    rate: float
    factor: float
    early: float  # shares of the run
    long: float

    def point(self, share: float) -> int:
        return round(share * STEPS)

    def schedule(self, point: int) -> str:
        return f"{point}:{self.factor:.4g}" if point < STEPS else f"{STEPS - 1}:1"


def draw(dataset: str, rng: np.random.Generator) -> Drawn:
    """A setting of a task."""
    optimizer = str(rng.choice(list(RATES)))
    model = "cnn" if dataset == "mnist1d" and rng.random() < 0.3 else "mlp"
    low, high = np.log(RATES[optimizer])
    if "regression" in dataset and optimizer != "adam":
        low, high = low + np.log(GENTLER), high + np.log(GENTLER)
    return Drawn(
        dataset,
        model,
        optimizer,
        rate=float(f"{np.exp(rng.uniform(low, high)):.3g}"),
        factor=float(f"{np.exp(rng.uniform(np.log(0.01), np.log(0.1))):.2g}"),
        early=float(rng.uniform(0.03, 0.1)),
        long=float(rng.choice([1.0, rng.uniform(0.95, 0.985)])),
    )


class Bench:
    """Trains drawn settings; programs are shared."""

    def __init__(self) -> None:
        self._datasets: dict[str, Dataset] = {}
        self._programs: dict[Any, Any] = {}

    def grower(self, drawn: Drawn, point: int, root: int, first: int, seeds: int) -> Grower:
        """The run that drops at a point, with seeds from `first` on."""
        told = SPECS.get(drawn.dataset) or DataSpec(dataset=drawn.dataset)
        if drawn.dataset not in self._datasets:
            self._datasets[drawn.dataset] = data.load(told)
        dataset = self._datasets[drawn.dataset]
        hidden = (8, 8) if drawn.model == "cnn" else (64,)
        train = TrainSpec(
            optimizer=drawn.optimizer,
            learning_rate=drawn.rate,
            steps=STEPS,
            batch_size=BATCH,
            schedule=drawn.schedule(point),
        )
        metric = "cross_entropy" if dataset.task == "classification" else "rmse"
        run = RunSpec(
            seed=root, num_seeds=seeds, first_replica=first, metric=metric, fingerprint_every=0
        )
        setting = Setting(told, ModelSpec(model=drawn.model, hidden=hidden), train)
        study = resolve(StudySpec(setting=setting, run=run, arms=(Arm("run"),)), dataset)
        self.margin, self.metric = study.run.margin, metric
        runner = Study(study, dataset, Machine.here(), populations=self._programs)
        return Grower(Trainer(runner), 0, (STEPS,))

    def scores(self, grower: Grower, branches: Sequence[counterfactual.Branch]) -> np.ndarray:
        """float64[branches, seeds] the metric where each ended."""
        grown = grower.grow(branches)
        return np.array([one.scores[self.metric][:, -1] for one in grown], np.float64)

    def dropped(
        self, drawn: Drawn, points: Sequence[int], root: int, first: int, seeds: int
    ) -> np.ndarray:
        """float64[points, seeds] of the setting dropped at each of the points."""
        grower = self.grower(drawn, max(points), root, first, seeds)
        made = []
        for point in points:
            factors = np.ones(STEPS, np.float32)
            factors[point:] = drawn.factor
            start = min(point, max(points))
            made.append(counterfactual.Branch("later", point, start, factors))
        return self.scores(grower, made)


def bound(differences: np.ndarray, sign: int) -> float:
    """The one-sided bound of a mean of paired differences, at the oracle's level."""
    if not np.isfinite(differences).all():
        return float("nan")
    error = stats.sem(differences)
    return float(np.mean(differences) + sign * stats.t.isf(LEVEL, len(differences) - 1) * error)


def examine(bench: Bench, drawn: Drawn, root: int) -> tuple[str, int]:
    """Why a setting does not count ("" if it does), and the step of its best drop."""
    early, long = drawn.point(drawn.early), drawn.point(drawn.long)
    points = [early, *map(drawn.point, FINE), long]
    look = bench.dropped(drawn, [points[0], points[4], points[7], points[-1]], root, 500, LOOKING)
    means, margin = look.mean(axis=1), bench.margin
    if not np.isfinite(means).all():
        return "diverges", 0
    gaps = means[[0, -1]] - means[1:3].min()
    if gaps[0] < margin:
        return "first look: an early drop costs nothing", 0
    if gaps[1] < margin:
        return "first look: a late drop costs nothing", 0
    choosing = bench.dropped(drawn, points, root, 1000, CHOOSING).mean(axis=1)
    if not np.isfinite(choosing).all():
        return "diverges", 0
    best = int(np.argmin(choosing))
    if best in (0, len(points) - 1):
        return "no best point between the plants", 0
    confirming = bench.dropped(drawn, points, root, 2000, CONFIRMING)
    if not bound(confirming[0] - confirming[best], -1) > margin:
        return "oracle: the early drop is not shown to cost more than the margin", 0
    if not bound(confirming[-1] - confirming[best], -1) > margin:
        return "oracle: the late drop is not shown to cost more than the margin", 0
    gains = [bound(confirming[best] - other, 1) for other in confirming]
    if not all(gain < margin for k, gain in enumerate(gains) if k != best):
        return "oracle: the best point is not shown to be within the margin of all", 0
    return "", points[best]


def tested(bench: Bench, drawn: Drawn, point: int, root: int, first: int) -> dict[str, Any]:
    """What the branch test says of one run."""
    grower = bench.grower(drawn, point, root, first, SEEDS)
    made = counterfactual.branches(grower.factors)
    scores = bench.scores(grower, made)
    claims = [
        judged.claim_of(
            one.kind, one.point, STEPS, metric=bench.metric, margin=bench.margin, direction=-1
        )
        for one in made[1:]
    ]
    verdict = judged.judge_branches(claims, scores[1:], scores[0])
    return {"point": point, "verdict": verdict.to_json(), "scores": scores.tolist()}


def case(bench: Bench, part: str, dataset: str, number: int, cache: Path) -> dict[str, Any]:
    """One setting that counts, with its three runs; read from the cache if it is there."""
    path = cache / f"{part}-{TASKS[part].index(dataset)}-{number}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found
    root = ROOTS[part] + 1000 * TASKS[part].index(dataset) + 10 * number
    rng = np.random.default_rng([root, 5])
    redrawn: list[str] = []
    began = time.process_time()
    while True:
        drawn = draw(dataset, rng)
        why, best = examine(bench, drawn, root)
        if not why:
            break
        redrawn.append(why)
        print(f"  {drawn}: {why}", flush=True)
    points = (drawn.point(drawn.early), drawn.point(drawn.long), best)
    runs = {
        truth: tested(bench, drawn, point, root, 100 * k)
        for k, (truth, point) in enumerate(zip(CLASSES, points))
    }
    seconds = time.process_time() - began
    found = {
        "drawn": dataclasses.asdict(drawn),
        "metric": bench.metric,
        "margin": bench.margin,
        "redrawn": redrawn,
        "runs": runs,
        "seconds": seconds,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), "utf-8")
    return found


def gathered(part: str, runs: int, cache: Path) -> Iterator[dict[str, Any]]:
    """As many settings as runs of each class, task by task in turn."""
    bench = Bench()
    tasks = TASKS[part]
    for index in range(runs):
        found = case(bench, part, tasks[index % len(tasks)], index // len(tasks), cache)
        said = ", ".join(run["verdict"]["verdict"] for run in found["runs"].values())
        print(f"{index} {found['drawn']} {said}; {found['seconds']:.0f} s of CPU", flush=True)
        yield found


def share(right: int, count: int) -> str:
    """A share with its exact 95 % interval."""
    low, high = stats.binomtest(right, count).proportion_ci(0.95, "exact")
    return f"{right / count:.3f} [{low:.3f}, {high:.3f}]"


def table(cases: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Verdicts by truth, then by task, what was undecided, and what was drawn again."""
    said: Counter[tuple[str, str]] = Counter()
    by_task: dict[str, list[bool]] = {}
    undecided = []
    for one in cases:
        for truth, run in one["runs"].items():
            verdict = run["verdict"]["verdict"]
            said[truth, verdict] += 1
            by_task.setdefault(one["drawn"]["dataset"], []).append(verdict == truth)
            if verdict not in CLASSES:
                told = run["verdict"]
                undecided.append(f"- {truth}, {one['drawn']}: {told['reason']}; seeds that would"
                                 f" settle it: {told['seeds_needed']}")  # fmt: skip
    yield "| truth | " + " | ".join(judged.VERDICTS) + " | right |"
    yield "| --- " + "| ---: " * (len(judged.VERDICTS) + 1) + "|"
    for truth in CLASSES:
        counts = [said[truth, one] for one in judged.VERDICTS]
        right = share(said[truth, truth], sum(counts))
        yield f"| {truth} | {' | '.join(map(str, counts))} | {right} |"
    every = sum(said[truth, truth] for truth in CLASSES)
    wrong = sum(n for (t, v), n in said.items() if v in CLASSES and v != t)
    yield f"\nright {share(every, said.total())} of {said.total()}; wrong {wrong}"
    for task, rights in by_task.items():
        yield f"{task}: {sum(rights)} of {len(rights)}"
    yield from undecided
    redrawn = Counter(why for one in cases for why in one["redrawn"])
    yield f"\n{len(cases)} settings; drawn again {redrawn.total()}:"
    yield from (f"- {count} {why}" for why, count in redrawn.most_common())
    yield f"{sum(one['seconds'] for one in cases):.0f} s of CPU"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=tuple(TASKS))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20, help="of each class")
    told = parser.parse_args()
    for line in table(list(gathered(told.part, told.runs, told.cache))):
        print(line, flush=True)


if __name__ == "__main__":
    main()
