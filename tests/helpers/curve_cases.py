"""Verdicts on curves whose truth is known, and extrapolations, as Markdown tables.

PYTHONPATH=tests python -m helpers.curve_cases [--cache=FOLDER] [--uci=FOLDER]

Half of the curves of each verdict are made, half are of real runs, of datasets that none of the
setting cases is of (`curve_tasks`; those from which the trees of `analysis.curves` grew). The real
runs take some minutes and are kept in the cache folder; without the UCI folder those of generated
datasets alone are judged.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from helpers import curve_runs
from helpers.curve_shapes import Case, shape
from helpers.curve_tasks import reported_tasks
from scipy.stats import binomtest

from convergence.analysis.curves import VERDICTS, extrapolate, judge, judge_together
from convergence.analysis.curves import judgement as says

CLASSES = VERDICTS[:-1]
SEED = 11
COUNT = 80  # of a verdict, half of them real
TASKS = 40


def real_cases(cache: Path, uci: Path | None) -> list[Case]:
    """All cases of the reported tasks."""
    tasks = reported_tasks(TASKS, SEED, cache / "files", uci)
    return [case for task in tasks for case in curve_runs.cases(task, cache)]


def gathered(real: Sequence[Case], count: int) -> list[Case]:
    """As many cases of each verdict: up to half of them real losses, the rest made."""
    rng = np.random.default_rng(SEED)
    cases = []
    for truth in CLASSES:
        there = [case for case in real if case.truth == truth and case.kind != "score"]
        picked = rng.permutation(len(there))[: count // 2]
        mine = [there[k] for k in picked]
        cases += mine + [shape(truth, rng) for _ in range(count - len(mine))]
    return cases


def _share(right: int, count: int) -> str:
    if not count:
        return "–"
    low, high = binomtest(right, count).proportion_ci(0.95, "exact")
    return f"{right / count:.3f} [{low:.3f}, {high:.3f}]"


def confusion(cases: Sequence[Case], together: bool = False) -> Counter[tuple[str, str, bool]]:
    """How often each verdict was given, by (truth, verdict, whether the run is real)."""
    rng = np.random.default_rng(0)
    found: Counter[tuple[str, str, bool]] = Counter()
    for case in cases:
        if together and case.siblings:
            curves = [(case.steps, case.values), *case.siblings]
            said = judge_together(curves, kind=case.kind, rng=rng)[0]
        else:
            said = judge(case.steps, case.values, kind=case.kind, rng=rng)
        found[case.truth, said.verdict, case.source.startswith("real")] += 1
    return found


def verdict_tables(cases: Sequence[Case], together: bool) -> Iterator[str]:
    """The table of verdicts by truth, and its shares; real runs alone or beside others."""
    found = confusion(cases, together)
    yield "| truth | " + " | ".join(VERDICTS) + " | right | of real runs |"
    yield "| --- " + "| ---: " * (len(VERDICTS) + 2) + "|"
    for truth in CLASSES:
        counts = [sum(found[truth, one, real] for real in (False, True)) for one in VERDICTS]
        real = sum(found[truth, one, True] for one in VERDICTS)
        cells = [*map(str, counts), _share(counts[VERDICTS.index(truth)], sum(counts))]
        yield f"| {truth} | " + " | ".join([*cells, _share(found[truth, truth, True], real)]) + " |"
    for name, kinds in (("all", (False, True)), ("made", (False,)), ("real", (True,))):
        yield f"\n{name}: {_summary(found, kinds)}"


def _summary(found: Counter[tuple[str, str, bool]], kinds: Sequence[bool]) -> str:
    def number(truth: str, verdict: str) -> int:
        return sum(found[truth, verdict, real] for real in kinds)

    totals = {truth: sum(number(truth, one) for one in VERDICTS) for truth in CLASSES}
    shares = [number(truth, truth) / total for truth, total in totals.items() if total]
    if not shares:
        return "none"
    count = sum(totals.values())
    unknown = sum(number(truth, says.UNKNOWN) for truth in CLASSES)
    right = sum(number(truth, truth) for truth in CLASSES)
    return (
        f"balanced accuracy {np.mean(shares):.3f} over {len(shares)} classes; right"
        f" {_share(right, count)} of {count}; cannot tell {_share(unknown, count)}"
    )


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
        half = case.steps <= case.steps[0] + (case.steps[-1] - case.steps[0]) / 2
        if not plain or half.sum() < 8:
            continue
        steps, values = case.steps[half], case.values[half]
        told = extrapolate(steps, values, float(case.steps[-1]), kind=case.kind, rng=rng)
        tail = max(1, len(values) // 10)
        last = float(np.nanmean(values[-tail:]))
        power = _plain_power(steps, values, float(case.steps[-1]))
        guesses = (told.estimate, last, power)
        errors = [abs(one - case.final) / abs(case.final) for one in guesses]
        inside = float(told.low <= case.final <= told.high)
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
    parser.add_argument("--uci", type=Path, help="the folder of the published UCI splits")
    told = parser.parse_args()
    real = real_cases(told.cache, told.uci)
    cases = gathered(real, COUNT)
    scores = [case for case in real if case.kind == "score" and case.truth in CLASSES]
    for title, some in (("losses", cases), ("scores of real runs", scores)):
        for how, together in (("each alone", False), ("real ones beside their task's", True)):
            print(f"\n**Verdicts on {title}, {how}**\n")
            for line in verdict_tables(some, together):
                print(line, flush=True)
    print("\n**Median relative error of the final level, told from the first half**\n")
    for line in extrapolation_table(cases):
        print(line, flush=True)


if __name__ == "__main__":
    main()
