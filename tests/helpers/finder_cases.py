"""What the learning-rate finder and other rules lose on tasks it was not made on, as Markdown.

PYTHONPATH=tests python -m helpers.finder_cases [mnist1d|tasks] [--cache=FOLDER] [--tasks=0,1,…]

The rule was made on `finder_runs.TUNING` and on other seeds of the MNIST-1D task. Every search has
seeds of its own, none of them among those it is judged by. Trainings are kept in the cache folder,
so that a measurement can be made in pieces (--tasks).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers import finder_runs as made
from helpers.finder_runs import LENGTH, MNIST1D, REPORTED, Task

from convergence.analysis.lr_finder import Found, Runs, find, literal, published
from convergence.analysis.lr_finder.optimum import least
from convergence.analysis.lr_finder.regret import lost

FINDERS, SEEDS = 30, 8  # of the MNIST-1D task: searches, and seeds of each
TASK_FINDERS, TASK_SEEDS, TASK_RAMPS = 8, 4, 24
HORIZONS = (2000, 10_000)
LITERAL = tuple(
    (notch, back, criterion, steps)
    for criterion in literal.CRITERIA
    for notch in (2.0, 3.0, 10**0.5, 10.0)
    for back in (1, 2)
    for steps in (50, LENGTH)
)
Rows = list[tuple[str, np.ndarray, np.ndarray]]  # rule, suggestions, what they lose


def found(task: Task, finders: int, seeds: int, horizon: int, cache: Path | None) -> list[Found]:
    """What independent searches find."""
    searches = made.searches(task, finders, seeds, 1000, cache)
    return [
        find(coarse, fine, np.random.default_rng(k), horizon)
        for k, (coarse, fine) in enumerate(searches)
    ]


def regrets(runs: Runs, suggested: np.ndarray) -> np.ndarray:
    """[seeds] mean loss at each seed's suggestion less the least of that seed's own grid."""
    losses, out = runs.mean(), []
    for row, start, rate in zip(losses, runs.starts, suggested, strict=True):
        descent = start - row.min()
        out.append(descent * float(lost(runs.rates, row, float(start), np.array([rate]))[0]))
    return np.array(out)


def mnist1d_rows(cache: Path | None) -> tuple[Runs, Rows]:
    """The MNIST-1D task: each rule on thirty seeds, judged by each seed's own grid."""
    grid = made.curves(MNIST1D, made.grid(2**-8, 2**4), LENGTH, FINDERS, 0, cache, "grid")
    rows: Rows = []
    ours = np.array([one.rate for one in found(MNIST1D, FINDERS, SEEDS, 0, cache)])
    rows.append(("ours", ours, regrets(grid, ours)))
    losses = made.ramps(MNIST1D, FINDERS, 0, cache)
    for rule, (package, _) in published.RULES.items():
        rates = np.array([published.suggestion(rule, one) for one in losses[package]])
        rows.append((rule, rates, regrets(grid, rates)))
    for notch, back, criterion, steps in LITERAL:
        rates = literal.suggestions(grid.cut(steps), notch, back, criterion)
        name = f"×{notch:.3g} until ‘{criterion}’, {steps} steps, {back} back"
        rows.append((name, rates, regrets(grid, rates)))
    return grid, rows


def horizon_rows(cache: Path | None) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """The final loss after ten and fifty times the search's length, of the same searches."""
    long = made.curves(MNIST1D, made.grid(2**-6, 2**3, 2), HORIZONS[-1], 16, 0, cache, "long")
    start, rows = float(long.starts.mean()), []
    for horizon in HORIZONS:
        final = np.minimum(long.final(horizon), long.starts[:, None]).mean(axis=0)
        descent = start - final.min()
        for label, meant in (("told of the horizon", horizon), ("not told", 0)):
            rates = np.array([one.rate for one in found(MNIST1D, FINDERS, SEEDS, meant, cache)])
            rows.append((horizon, label, rates, descent * lost(long.rates, final, start, rates)))
    return rows


def mnist1d_tables(cache: Path | None) -> Iterator[str]:
    """Regret in loss."""
    grid, rows = mnist1d_rows(cache)
    mean = grid.mean().mean(axis=0)
    best = least(grid.rates, mean, float(grid.starts.mean()))
    ours = rows[0][1]
    share = lost(grid.rates, mean, float(grid.starts.mean()), ours)
    population = share * (float(grid.starts.mean()) - mean.min())
    inside = [one.low <= best <= one.high for one in found(MNIST1D, FINDERS, SEEDS, 0, cache)]
    yield f"best rate of the population {best:.3g}; inside our interval {np.mean(inside):.2f}"
    yield f"ours against the population: {population.mean():.4f} / {population.max():.4f}"
    yield "\n| rule | suggests | median | lowest, highest | regret mean / worst |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for rule, rates, regret in rows:
        yield f"| {rule} | {_rates(rates)} | {regret.mean():.4f} / {regret.max():.4f} |"
    yield "\n| horizon | searches | median | lowest, highest | regret of the final loss |"
    yield "| ---: | --- | ---: | ---: | ---: |"
    for horizon, label, rates, regret in horizon_rows(cache):
        told = _rates(rates).split(" | ", 1)[1]
        yield f"| {horizon:,} | {label} | {told} | {regret.mean():.4f} / {regret.max():.4f} |"


def _rates(rates: np.ndarray) -> str:
    there = rates[np.isfinite(rates)]
    if not there.size:
        return f"0/{len(rates)} | – | –"
    middle, low, high = np.median(there), there.min(), there.max()
    return f"{there.size}/{len(rates)} | {middle:.3g} | {low:.3g}, {high:.3g}"


def task_result(task: Task, cache: Path | None) -> dict[str, Any]:
    """Shares of the descent that every rule loses on one task: mean and worst over searches."""
    grid = made.evaluated(task, 8, LENGTH if made.is_slow(task) else 10 * LENGTH, cache)
    short = grid.cut(LENGTH)
    start = float(grid.starts.mean())
    losses = np.minimum(short.mean(), grid.starts[:, None]).mean(axis=0)
    searched = found(task, TASK_FINDERS, TASK_SEEDS, 0, cache)
    ours = np.array([one.rate for one in searched])
    suggested = {"ours": ours}
    ramps = made.ramps(task, TASK_RAMPS, 0, cache)
    for rule, (package, _) in published.RULES.items():
        suggested[rule] = np.array([published.suggestion(rule, one) for one in ramps[package]])
    for notch in (2.0, 10.0):
        for back in (1, 2):
            rates = literal.suggestions(short, notch, back, literal.ENDS_HIGHER)
            suggested[f"literal ×{notch:g}, {back} back"] = rates
    told: dict[str, Any] = {
        "task": task.name,
        "best": least(grid.rates, losses, start),
        "ratio": float(ours.max() / ours.min()),
        "median": float(np.median(ours)),
        "lost": {rule: _two(lost(grid.rates, losses, start, r)) for rule, r in suggested.items()},
    }
    if grid.length > LENGTH:
        final = np.minimum(grid.final(), grid.starts[:, None]).mean(axis=0)
        far = np.array(
            [one.rate for one in found(task, TASK_FINDERS, TASK_SEEDS, grid.length, cache)]
        )
        suggested = {"ours, told": far, **suggested}
        told["final"] = {r: _two(lost(grid.rates, final, start, x)) for r, x in suggested.items()}
    descent = start - losses.min()
    free = made.rate_free(task, 8, cache)
    told["free"] = {
        name: float(loss.mean() - losses.min()) / descent for name, loss in free.items()
    }
    return told


def _two(shares: np.ndarray) -> tuple[float, float]:
    return float(shares.mean()), float(shares.max())


def task_tables(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All tasks together."""
    yield "| task | best rate | ours, median | highest/lowest | ours lost | best published |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for one in told:
        rules = {rule: one["lost"][rule] for rule in published.RULES}
        best = min(rules, key=lambda rule: rules[rule][0])
        yield (
            f"| {one['task']} | {one['best']:.3g} | {one['median']:.3g} | {one['ratio']:.2f} |"
            f" {_percent(one['lost']['ours'])} | {best} {_percent(rules[best])} |"
        )
    for key, title in (("lost", "mean loss, 200 steps"), ("final", "final loss, 2,000 steps")):
        some = [one[key] for one in told if key in one]
        yield f"\n| {title}: rule | lost over {len(some)} tasks, mean | worst |"
        yield "| --- | ---: | ---: |"
        for rule in some[0] if some else ():
            mean = float(np.mean([one[rule][0] for one in some]))
            yield f"| {rule} | {100 * mean:.2f} % | {100 * max(o[rule][1] for o in some):.2f} % |"
    yield "\n| rate-free | lost of our best rate's descent, mean | worst | beats ours on |"
    yield "| --- | ---: | ---: | ---: |"
    for name in told[0]["free"]:
        shares = np.array([one["free"][name] for one in told])
        wins = sum(one["free"][name] < one["lost"]["ours"][0] for one in told)
        yield f"| {name} | {100 * shares.mean():.1f} % | {100 * shares.max():.1f} % | {wins} |"


def _percent(pair: Sequence[float]) -> str:
    return f"{100 * pair[0]:.2f} / {100 * pair[1]:.2f} %"


def results(places: Sequence[int], cache: Path | None) -> list[dict[str, Any]]:
    """Of some reported tasks, kept in the cache folder, one file each."""
    found = []
    for place in places:
        path = cache / f"result {REPORTED[place].name}.json" if cache else None
        if path is None or not path.exists():
            one = task_result(REPORTED[place], cache)
            if path is not None:
                path.write_text(json.dumps(one, indent=1))
        else:
            one = json.loads(path.read_text())
        found.append(one)
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("mnist1d", "tasks"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--tasks", default=",".join(map(str, range(len(REPORTED)))))
    told = parser.parse_args()
    if told.part == "mnist1d":
        lines = mnist1d_tables(told.cache)
    else:
        lines = task_tables(results([int(k) for k in told.tasks.split(",")], told.cache))
    for line in lines:
        print(line)


if __name__ == "__main__":
    main()
