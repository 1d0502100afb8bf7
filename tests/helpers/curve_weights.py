"""How the trees of `analysis.curves.weighing` were grown: from the setting cases alone.

PYTHONPATH=tests python -m helpers.curve_weights --cache=F --published=F --wheels=F [--check]

Boosted trees on what is measured of every real run of the setting tasks, alone and beside others of
its task (all or a few by lot), of made curves, and of thinner copies of some (loggers write
seldom). Each verdict counts alike, and of it real losses, real scores and made curves (these are
alone, so the trees for curves beside others grow from real ones only). With
``--check``, a fifth of the datasets is left out in turn, and the verdicts on it by trees of the
others are counted; without, the trees are written.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
from helpers import curve_data, curve_runs, curve_shapes, curve_tables
from helpers.curve_shapes import Case, Runs, shape
from helpers.curve_tasks import Task, setting_tasks, tasks_of
from sklearn.ensemble import HistGradientBoostingClassifier

from convergence.analysis.curves import VERDICTS, company, weighing
from convergence.analysis.curves import judgement as says
from convergence.analysis.curves.company import Standing
from convergence.analysis.curves.judging import measured, stands

CLASSES = VERDICTS[:-1]
BUNDLED = ((56, 1), (44, 2))  # tasks and seed, of bundled datasets
FIRST, SECOND = ((40, 11),), ((36, 12), (28, 13))  # of curves that were reported once
TABLES = ((36, 21),)  # of the tables that are not reported on
CUTS = (10, 14, 20, 28)  # the judged parts are the whole over each
REPORTED = tuple(curve_runs.LENGTH / cut for cut in curve_runs.CUTS)  # lengths of reported parts
MADE, SEED, FOLDS = 2400, 901, 5
THIN = (6, 80)  # points of a thinner copy, at least and at most
EVERY = 4  # curve has a thinner copy
FEW = 12  # others, at most, of a thinner copy
HEAVIEST = 10.0  # times the mean weight
TURNS = 2  # of a task's cases of a verdict count in the check, as many as of reported ones
PARAMS = {
    "max_iter": 250,
    "learning_rate": 0.07,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 60,
    "l2_regularization": 20.0,
    "early_stopping": False,
    "random_state": 0,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """What is measured of a case, and where it is from.

    Attributes:
        truth: a verdict.
        task: of which the case is; of a made curve its fold.
        group: the task's dataset, or the fold.
        part: loss, score or made.
        beside: whether beside others.
        x: float32[measures] by `names`.
        thin: whether it is a thinner copy.
        cut: whether it is cut as reported ones are.
    """

    truth: str
    task: str
    group: str
    part: str
    beside: bool
    x: np.ndarray
    thin: bool
    cut: bool


@functools.cache
def names(beside: bool) -> tuple[str, ...]:
    """Of the measures of a curve, alone or beside others."""
    case = shape(says.CONVERGED, np.random.default_rng(0))
    told, _ = measured(case.steps, case.values, kind=case.kind, rng=np.random.default_rng(0))
    return (*told, *(company.NAMES if beside else ()))


def thinner(case: Case, rng: np.random.Generator) -> Case:
    """A curve as a logger leaves it that writes seldom: single points, or means since the last."""
    points = int(np.exp(rng.uniform(*np.log(THIN))))
    every = len(case.steps) // points
    if every < 2:
        return case
    mean = rng.random() < 0.5
    chosen = rng.permutation(len(case.others))[:FEW]

    def thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = slice(len(steps) % every, None)
        parts = values[kept].reshape(-1, every)
        with np.errstate(over="ignore", invalid="ignore"):  # of what has diverged
            means = parts.mean(axis=1) if mean else parts[:, -1]
        return steps[kept].reshape(-1, every)[:, -1], means

    steps, values = thin(case.steps, case.values)
    others = tuple(thin(*case.others[k]) for k in chosen)
    return dataclasses.replace(case, steps=steps, values=values, others=others)


def drawn_company(case: Case, rng: np.random.Generator) -> Runs:
    """All others of a task, or a few by lot, of all or of those that begin as the case does."""
    others, how = case.others, rng.random()
    if not others or how < 0.5:
        return others
    if how < 0.75:
        others = tuple(one for one in others if one[1][0] == case.values[0]) or others
    count = int(np.exp(rng.uniform(0, np.log(len(others) + 1))))
    return tuple(others[k] for k in rng.permutation(len(others))[:count])


def rows(cases: Sequence[Case], task: str, group: str, seed: int) -> list[Row]:
    """The measures of cases and of thinner copies of some, of those that must be weighed."""
    rng = np.random.default_rng(seed)
    known: dict[int, Standing | None] = {}
    found = []

    def standing(curve: tuple[np.ndarray, np.ndarray], case: Case) -> Standing | None:
        if id(curve) not in known:
            known[id(curve)] = stands(*curve, kind=case.kind)
        return known[id(curve)]

    for k, case in enumerate(cases):
        if case.truth not in CLASSES:
            continue
        real = case.source.startswith("real")
        part = "made" if not real else "score" if case.kind == "score" else "loss"
        as_reported = not real or float(case.source.split()[-2]) in REPORTED
        thin = thinner(case, rng) if k % EVERY == 0 else case
        for one in (case, thin) if thin is not case else (case,):
            told, own = measured(one.steps, one.values, kind=case.kind, rng=rng)
            if not told or own is None:
                continue
            there = [
                stands(*curve, kind=case.kind) if one is thin is not case else standing(curve, case)
                for curve in drawn_company(one, rng)
            ]
            among = company.company(own, [other for other in there if other is not None])
            where = (case.truth, task, group, part)
            marks = (one is thin is not case, as_reported)
            found.append(Row(*where, False, np.float32([*told.values()]), *marks))
            if among.whole:
                told = told | company.measures(own, among)
                found.append(Row(*where, True, np.float32([*told.values()]), *marks))
    return found


def of_task(task: Task, cache: Path) -> list[Row]:
    """The rows of a task's runs."""
    group = task.name.split(maxsplit=3)[-1]
    return rows(curve_runs.cases(task, cache, CUTS), task.name, group, task.seed)


def of_made(fold: int) -> list[Row]:
    """The rows of a fifth of the made curves."""
    rng = np.random.default_rng([SEED, fold])
    cases = [shape(truth, rng) for truth in CLASSES for _ in range(MADE // FOLDS)]
    return rows(cases, f"made {fold}", f"made {fold}", fold)


def tasks(cache: Path, published: Path, wheels: Path) -> list[Task]:
    """All setting tasks."""
    files = cache / "files"
    return [
        *(task for few in BUNDLED for task in setting_tasks(*few)),
        *_tasks(curve_data.first(files, published), FIRST),
        *_tasks(curve_data.second(files, published), SECOND),
        *_tasks(curve_data.written(files, curve_tables.halves(wheels)[0]), TABLES),
    ]


def _tasks(files: Sequence[curve_data.File], few: Sequence[tuple[int, int]]) -> Iterator[Task]:
    for count, seed in few:
        yield from tasks_of(files, count, seed)


def setting(cache: Path, published: Path, wheels: Path, jobs: int) -> list[Row]:
    """All rows."""
    every = tasks(cache, published, wheels)
    with ProcessPoolExecutor(jobs) as pool:
        made = pool.map(of_made, range(FOLDS))
        real = pool.map(of_task, every, [cache] * len(every))
        return [row for few in (*real, *made) for row in few]


def recipe() -> str:
    """Of what decides from which runs and labels the trees grow; not of what is measured."""
    told = (
        [curve_runs.digest(task) for few in BUNDLED for task in setting_tasks(*few)],
        (FIRST, SECOND, TABLES, CUTS, MADE, SEED, FOLDS, THIN, EVERY, FEW, HEAVIEST),
        [_plain(module) for module in (curve_data, curve_runs, curve_tables, curve_shapes)],
    )
    return hashlib.sha256(repr((told, PARAMS)).encode()).hexdigest()[:12]


def _plain(module: ModuleType) -> list[tuple[str, str]]:
    """The constants of a module that are numbers, names, or made of these."""
    told = ((name, repr(value)) for name, value in vars(module).items() if name.isupper())
    return sorted((name, value) for name, value in told if " at 0x" not in value)


def balanced(table: Sequence[Row]) -> np.ndarray:
    """[rows] weights, up to `HEAVIEST`, under which each verdict counts alike, and each part of it.

    Within a part a task counts as the root of the number of its cases: they are much alike.
    """
    parts = [(row.truth, row.part) for row in table]
    counts = Counter((row.task, part) for row, part in zip(table, parts))
    weight = np.array([counts[row.task, part] ** -0.5 for row, part in zip(table, parts)])
    sums: Counter[tuple[str, str]] = Counter()
    for part, one in zip(parts, weight.tolist()):
        sums[part] += one  # type: ignore[assignment]
    of_truth = Counter(truth for truth, _ in sums)
    weight /= [sums[part] * of_truth[part[0]] for part in parts]
    return np.minimum(weight / weight.mean(), HEAVIEST)


def matrix(table: Sequence[Row]) -> np.ndarray:
    """float32[rows, measures]."""
    return np.stack([row.x for row in table])


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
    np.savez_compressed(
        path,
        measures=np.array(names(table[0].beside)),
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
    few = table[:: max(len(table) // 200, 1)]
    x = matrix(few)
    mine = np.array(
        [[chances[name] for name in model.classes_] for chances in map(told.chances, named(few))]
    )
    np.testing.assert_allclose(mine, model.predict_proba(x), atol=1e-3)
    size = path.stat().st_size
    print(f"{len(table)} rows, {len(told.measures)} measures, {start} nodes, {size} bytes")


def named(table: Sequence[Row]) -> Iterator[dict[str, float]]:
    """The measures of rows by name."""
    return (dict(zip(names(row.beside), row.x.tolist())) for row in table)


def checked(table: Sequence[Row]) -> Iterator[str]:
    """Shares of right verdicts on datasets that were left out, by part.

    Of each task at most `TURNS` cases of a verdict count, as its share: so are reported ones drawn.
    """
    groups = sorted({row.group for row in table if row.part != "made"})
    lot = np.random.default_rng(SEED).permutation(len(groups)) % FOLDS
    fold_of = dict(zip(groups, lot.tolist())) | {f"made {k}": k for k in range(FOLDS)}
    fold = np.array([fold_of[row.group] for row in table])
    told = np.empty(len(table), dtype=object)
    for k in range(FOLDS):
        model = grown([row for row, its in zip(table, fold) if its != k])
        told[fold == k] = model.predict(matrix([row for row, its in zip(table, fold) if its == k]))
    for thin in (False, True):
        for part in sorted({row.part for row in table}):
            mine = [k for k, row in enumerate(table) if (row.part, row.thin) == (part, thin)]
            mine = [k for k in mine if table[k].cut]
            yield f"{part}{', thinner copies' if thin else ''}: {_shares(table, told, mine)}"


def _shares(table: Sequence[Row], told: np.ndarray, mine: Sequence[int]) -> str:
    counts = Counter((table[k].task, table[k].truth) for k in mine)
    shares = {}
    for name in CLASSES:
        here = [k for k in mine if table[k].truth == name]
        turns = [
            1.0 if table[k].part == "made" else TURNS / counts[table[k].task, name] for k in here
        ]
        if here:
            shares[name] = np.average(told[here] == name, weights=np.minimum(turns, 1))
    cells = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
    return f"{np.mean(list(shares.values())):.3f} ({cells})"


def main() -> None:
    """Grows and writes the trees, or checks them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True, help="kept runs")
    parser.add_argument("--published", type=Path, required=True, help="of `curve_data`")
    parser.add_argument("--wheels", type=Path, required=True, help="of `curve_tables`")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    told = parser.parse_args()
    table = setting(told.cache, told.published, told.wheels, told.jobs)
    for beside, path in ((False, weighing.ALONE), (True, weighing.BESIDE)):
        mine = [row for row in table if row.beside == beside]
        if told.check:
            for line in checked(mine):
                print(f"{path.stem}, {line}", flush=True)
        else:
            written(mine, path)


if __name__ == "__main__":
    main()
