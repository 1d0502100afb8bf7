"""How the trees of `analysis.curves.weighing` were grown: from the setting cases alone.

PYTHONPATH=tests python -m helpers.curve_weights --cache=FOLDER --published=FOLDER [--check]

Boosted trees on what is measured of every real run of the setting tasks, of made curves, and of a
thinner copy of each (loggers write seldom). Each verdict counts alike, and of it real losses, real
scores and made curves. With ``--check``, every dataset is left out once, and the verdicts on it by
trees of the others are counted; without, `trees.npz` is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from helpers import curve_data, curve_runs
from helpers.curve_shapes import Case, shape
from helpers.curve_tasks import Task, setting_tasks, tasks_of
from sklearn.ensemble import HistGradientBoostingClassifier

from convergence.analysis.curves import VERDICTS, weighing
from convergence.analysis.curves.judging import measured

CLASSES = VERDICTS[:-1]
TASKS = (*setting_tasks(56, 1), *setting_tasks(44, 2))
EARLIER = (40, 11)  # tasks and seed of those that were reported once
MADE, SEED, FOLDS = 1200, 901, 5
THIN = (6, 80)  # points of a thinner copy, at least and at most
LIGHTER = 0.3  # the weight of a thinner copy, times its curve's
HEAVIEST = 10.0  # times the mean weight
PARAMS = {
    "max_iter": 250,
    "learning_rate": 0.07,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 15,
    "l2_regularization": 3.0,
    "early_stopping": False,
    "random_state": 0,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """What is measured of a case, and where it is from."""

    truth: str
    group: str  # left out together: a dataset, or a fifth of the made curves
    part: str  # loss, score or made
    measures: dict[str, float]
    thin: bool


def thinner(case: Case, rng: np.random.Generator) -> Case:
    """A curve as a logger leaves it that writes seldom: single points, or means since the last."""
    points = int(np.exp(rng.uniform(*np.log(THIN))))
    every = len(case.steps) // points
    if every < 2:
        return case
    kept = slice(len(case.steps) % every, None)
    steps = case.steps[kept].reshape(-1, every)
    values = case.values[kept].reshape(-1, every)
    mean = rng.random() < 0.5
    return dataclasses.replace(
        case, steps=steps[:, -1], values=values.mean(axis=1) if mean else values[:, -1]
    )


def rows(cases: Sequence[Case], group: str, seed: int) -> list[Row]:
    """The measures of cases and of their thinner copies, of those that must be weighed."""
    rng = np.random.default_rng(seed)
    found = []
    for case in cases:
        if case.truth not in CLASSES:
            continue
        real = case.source.startswith("real")
        part = "made" if not real else "score" if case.kind == "score" else "loss"
        thin = thinner(case, rng)
        for one in (case, thin) if thin is not case else (case,):
            told = measured(one.steps, one.values, kind=case.kind, rng=rng)
            if told is not None:
                found.append(Row(case.truth, group, part, told, one is thin))
    return found


def of_task(task: Task, cache: Path) -> list[Row]:
    """The rows of a task's runs."""
    return rows(curve_runs.cases(task, cache), task.name.split(maxsplit=3)[-1], task.seed)


def of_made(fold: int) -> list[Row]:
    """The rows of a fifth of the made curves."""
    rng = np.random.default_rng([SEED, fold])
    cases = [shape(truth, rng) for truth in CLASSES for _ in range(MADE // FOLDS)]
    return rows(cases, f"made {fold}", fold)


def setting(cache: Path, published: Path, jobs: int) -> list[Row]:
    """All rows."""
    tasks = [*TASKS, *tasks_of(curve_data.earlier(cache / "files", published), *EARLIER)]
    with ProcessPoolExecutor(jobs) as pool:
        made = pool.map(of_made, range(FOLDS))
        real = pool.map(of_task, tasks, [cache] * len(tasks))
        return [row for some in (*real, *made) for row in some]


def recipe() -> str:
    """Of all that the trees grow from, but for what is measured."""
    told = (
        [curve_runs.digest(task) for task in TASKS],
        EARLIER,
        MADE,
        SEED,
        FOLDS,
        THIN,
        LIGHTER,
        HEAVIEST,
    )
    return hashlib.sha256(repr((told, PARAMS)).encode()).hexdigest()[:12]


def balanced(table: Sequence[Row]) -> np.ndarray:
    """[rows] weights under which each verdict counts alike, and each part of it."""
    keys = [(row.truth, row.part) for row in table]
    counts = Counter(keys)
    parts = Counter(truth for truth, _ in counts)
    weight = np.array([1 / (counts[key] * parts[key[0]]) for key in keys])
    thin = np.array([LIGHTER if row.thin else 1.0 for row in table])
    return thin * np.minimum(weight / weight.mean(), HEAVIEST)


def matrix(table: Sequence[Row]) -> np.ndarray:
    """float32[rows, measures]."""
    return np.array([list(row.measures.values()) for row in table], np.float32)


def grown(table: Sequence[Row]) -> HistGradientBoostingClassifier:
    """The trees of some rows."""
    x = matrix(table)
    model = HistGradientBoostingClassifier(**PARAMS)
    return model.fit(x, [row.truth for row in table], sample_weight=balanced(table))


def written(table: Sequence[Row], path: Path) -> None:
    """Grows the trees and writes them; they say what scikit-learn's do."""
    model = grown(table)
    fields: dict[str, list[np.ndarray]] = {name: [] for name in ("feature_idx", "num_threshold")}
    left, right, value, roots, start, depth = [], [], [], [], 0, 0
    for trees in model._predictors:
        roots.append([])
        for tree in trees:
            nodes = tree.nodes
            leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
            for name, held in fields.items():
                held.append(nodes[name])
            left.append(np.where(leaf, 0, nodes["left"] - own))
            right.append(np.where(leaf, 0, nodes["right"] - own))
            value.append(nodes["value"])
            roots[-1].append(start)
            start, depth = start + len(nodes), max(depth, int(nodes["depth"].max()))
    names = list(table[0].measures)
    np.savez_compressed(
        path,
        measures=np.array(names),
        verdicts=np.array(model.classes_.tolist()),
        base=model._baseline_prediction.ravel(),
        roots=np.array(roots, np.int32),
        feature=np.concatenate(fields["feature_idx"]).astype(np.uint8),
        threshold=np.concatenate(fields["num_threshold"]).astype(np.float32),
        left=np.concatenate(left).astype(np.uint8),
        right=np.concatenate(right).astype(np.uint8),
        value=np.concatenate(value).astype(np.float32),
        depth=np.array(depth),
        recipe=np.array(recipe()),
    )
    told = weighing.trees(path)
    some = table[:: max(len(table) // 200, 1)]
    x = matrix(some)
    mine = np.array([[told.chances(row.measures)[name] for name in model.classes_] for row in some])
    np.testing.assert_allclose(mine, model.predict_proba(x), atol=1e-3)
    print(f"{len(table)} rows, {len(names)} measures, {start} nodes, {path.stat().st_size} bytes")


def checked(table: Sequence[Row]) -> Iterator[str]:
    """Shares of right verdicts on datasets that were left out, by part."""
    truth = np.array([row.truth for row in table])
    told = np.empty(len(table), object)
    for group in dict.fromkeys(row.group for row in table):
        out = np.array([row.group == group for row in table])
        model = grown([row for row in table if row.group != group])
        told[out] = model.predict(matrix([row for row in table if row.group == group]))
    for thin in (False, True):
        for part in ("loss", "score", "made"):
            mine = np.array([row.part == part and row.thin == thin for row in table])
            shares = {
                name: np.mean(told[mine & (truth == name)] == name)
                for name in CLASSES
                if (mine & (truth == name)).any()
            }
            cells = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
            size = "thinner copies" if thin else "as they are"
            yield f"{part}, {size}: {np.mean(list(shares.values())):.3f} ({cells})"


def main() -> None:
    """Grows and writes the trees, or checks them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True, help="kept runs")
    parser.add_argument("--published", type=Path, required=True, help="of `curve_data`")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    told = parser.parse_args()
    table = setting(told.cache, told.published, told.jobs)
    if told.check:
        for line in checked(table):
            print(line, flush=True)
    else:
        written(table, weighing.FILE)


if __name__ == "__main__":
    main()
