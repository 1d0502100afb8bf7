"""Verdicts on curves whose truth is known, and extrapolations, as Markdown tables.

PYTHONPATH=tests python -m helpers.curve_cases --cache=FOLDER --wheels=FOLDER

Half of the curves of each verdict are made, half are of real runs, of published tables (those of
`curve_tables`, in the folder of wheels) that none of the setting cases is of, from which the trees
of `analysis.curves` grew. The real runs take half an hour and are kept in the cache folder.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from helpers import curve_data, curve_runs, curve_tables
from helpers.curve_shapes import Case, shape
from helpers.curve_tasks import tasks_of
from scipy.stats import binomtest

from convergence.analysis.curves import VERDICTS, extrapolate, judge, stands
from convergence.analysis.curves import judgement as says

CLASSES = VERDICTS[:-1]
SEED = 22
COUNT = 80  # of a verdict, half of them real
TASKS = 36
DRAWS = 1000
COMPANY = {  # real curves are judged beside so many others of their task; made ones alone
    "each alone": 0,
    "real ones beside three others of their task": 3,
    "real ones beside all others of their task": 10**6,
}


def real_cases(cache: Path, wheels: Path) -> list[Case]:
    """All cases of the reported tasks."""
    files = curve_data.written(cache / "files", curve_tables.halves(wheels)[1])
    tasks = tasks_of(files, TASKS, SEED)
    return [case for task in tasks for case in curve_runs.cases(task, cache)]


def gathered(real: Sequence[Case], count: int) -> list[Case]:
    """As many cases of each verdict: up to half of them real losses, the rest made.

    Real ones are taken from all tasks in turn, so that none with many of them outweighs the others.
    """
    rng = np.random.default_rng(SEED)
    cases = []
    for truth in CLASSES:
        there = [case for case in real if case.truth == truth and case.kind != "score"]
        there = [there[k] for k in rng.permutation(len(there))]
        turn: Counter[str] = Counter()
        order = []
        for case in there:
            order.append(turn[_task(case)])
            turn[_task(case)] += 1
        mine = [there[k] for k in np.argsort(order, kind="stable")[: count // 2]]
        cases += mine + [shape(truth, rng) for _ in range(count - len(mine))]
    return cases


def _task(case: Case) -> str:
    return case.source.split(",")[0]


def neither(real: Sequence[Case]) -> str:
    """How many runs were left out because noise would decide, or their cycle is in doubt."""
    arms = [case.source.split(", ")[1].split()[0] for case in real]
    left = Counter(arm for case, arm in zip(real, arms) if case.truth == "neither")
    told = ", ".join(f"{left[arm]} of {count} ({arm})" for arm, count in Counter(arms).items())
    return f"Neither, so left out: {told}."


def _share(right: int, count: int) -> str:
    if not count:
        return "–"
    low, high = binomtest(right, count).proportion_ci(0.95, "exact")
    return f"{right / count:.3f} [{low:.3f}, {high:.3f}]"


@dataclasses.dataclass(frozen=True)
class Told:
    """A case's truth, what was said of it, and whether that was weighed or certain.

    Attributes:
        unit: a made curve, or the dataset of a real one: what is drawn together.
        task: of the case.
    """

    truth: str
    said: str
    unit: str
    task: str
    real: bool
    weighed: bool


def told(cases: Sequence[Case], most: int) -> list[Told]:
    """What is said of each case; of real runs beside so many others of their task, by lot."""
    found = []
    for k, case in enumerate(cases):
        rng = np.random.default_rng(0)
        chosen = np.random.default_rng([SEED, k]).permutation(len(case.others))[:most]
        there = [stands(*case.others[one], kind=case.kind) for one in chosen]
        others = [one for one in there if one is not None]
        said = judge(case.steps, case.values, kind=case.kind, others=others, rng=rng)
        real = case.source.startswith("real")
        task = _task(case) if real else f"made {k}"
        unit = task.split(maxsplit=3)[-1] if real else task
        found.append(Told(case.truth, said.verdict, unit, task, real, bool(said.chances)))
    return found


def verdict_tables(found: Sequence[Told]) -> Iterator[str]:
    """The table of verdicts by truth, and its shares."""
    yield "| truth | " + " | ".join(VERDICTS) + " | right | of real runs | their tasks |"
    yield "| --- " + "| ---: " * (len(VERDICTS) + 3) + "|"
    for truth in CLASSES:
        mine = [one for one in found if one.truth == truth]
        real = [one for one in mine if one.real]
        counts = Counter(one.said for one in mine)
        cells = [*(str(counts[name]) for name in VERDICTS), _right(mine), _right(real)]
        yield f"| {truth} | " + " | ".join([*cells, str(len({one.task for one in real}))]) + " |"
    made, real = ([one for one in found if one.real == kind] for kind in (False, True))
    weighed = [one for one in found if one.weighed]
    for name, some in (("all", found), ("made", made), ("real", real), ("weighed", weighed)):
        yield f"\n{name}: {_summary(some)}"


def _right(some: Sequence[Told]) -> str:
    return _share(sum(one.said == one.truth for one in some), len(some))


def _summary(found: Sequence[Told]) -> str:
    if not found:
        return "none"
    low, high = _interval(found)
    unknown = sum(one.said == says.UNKNOWN for one in found)
    classes = len({one.truth for one in found})
    return (
        f"balanced accuracy {_balanced(found):.3f} [{low:.3f}, {high:.3f}] over {classes} classes;"
        f" right {_right(found)} of {len(found)}; cannot tell {_share(unknown, len(found))}"
    )


def _balanced(found: Sequence[Told]) -> float:
    counts = Counter(one.truth for one in found)
    right = Counter(one.truth for one in found if one.said == one.truth)
    return float(np.mean([right[truth] / count for truth, count in counts.items()]))


def _interval(found: Sequence[Told]) -> tuple[float, float]:
    """Of the balanced accuracy: datasets and made curves drawn again (Efron & Tibshirani, 1993)."""
    units = list(dict.fromkeys(one.unit for one in found))
    members: dict[str, list[Told]] = {unit: [] for unit in units}
    for one in found:
        members[one.unit].append(one)
    rng = np.random.default_rng(0)
    drawn = [
        _balanced(
            [one for k in rng.integers(len(units), size=len(units)) for one in members[units[k]]]
        )
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _plain_power(steps: np.ndarray, values: np.ndarray, to: float) -> float:
    """A power law without a limit, fitted to the logarithms of step and value."""
    x = steps - steps[0] + float(np.median(np.diff(steps)))
    good = np.isfinite(values) & (values > 0)
    if good.sum() < 3:
        return float("nan")
    line = np.polyfit(np.log(x[good]), np.log(values[good]), 1)
    return float(np.exp(np.polyval(line, np.log(to - steps[0]))))


def extrapolation_table(cases: Sequence[Case]) -> Iterator[str]:
    """Errors of the final level told from the first half of runs that end well."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[list[float]]] = {"made": [], "real": []}
    for case in cases:
        plain = case.truth in (says.CONVERGED, says.IMPROVING) and case.final > 0
        plain &= case.kind != "score"
        half = case.steps <= case.steps[0] + (case.steps[-1] - case.steps[0]) / 2
        if not plain or half.sum() < 8:
            continue
        steps, values = case.steps[half], case.values[half]
        ahead = extrapolate(steps, values, float(case.steps[-1]), kind=case.kind, rng=rng)
        tail = max(1, len(values) // 10)
        last = float(np.nanmean(values[-tail:]))
        power = _plain_power(steps, values, float(case.steps[-1]))
        guesses = (ahead.estimate, last, power)
        errors = [abs(one - case.final) / abs(case.final) for one in guesses]
        inside = float(ahead.low <= case.final <= ahead.high)
        rows["real" if case.source.startswith("real") else "made"].append([*errors, inside])
    yield "| runs | n | this fit | last level | power law without limit | interval covers |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, table in (*rows.items(), ("all", rows["made"] + rows["real"])):
        if table:
            errors = np.array(table)
            middle = np.nanmedian(errors[:, :3], axis=0)
            cells = " | ".join(f"{one:.4f}" for one in middle)
            covered = _share(int(errors[:, 3].sum()), len(errors))
            yield f"| {name} | {len(errors)} | {cells} | {covered} |"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="of `curve_tables`")
    asked = parser.parse_args()
    real = real_cases(asked.cache, asked.wheels)
    cases = gathered(real, COUNT)
    scores = [case for case in real if case.kind == "score" and case.truth in CLASSES]
    print(neither(real))
    for title, some in (("losses", cases), ("scores of real runs", scores)):
        for how, most in COMPANY.items():
            print(f"\n**Verdicts on {title}, {how}**\n")
            for line in verdict_tables(told(some, most)):
                print(line, flush=True)
    print("\n**Median relative error of the final level, told from the first half**\n")
    for line in extrapolation_table(cases):
        print(line, flush=True)


if __name__ == "__main__":
    main()
