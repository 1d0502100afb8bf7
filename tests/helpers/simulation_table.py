"""Print every figure that tests/test_statistics_simulation.py bounds, as Markdown tables.

OPENBLAS_NUM_THREADS=1 PYTHONPATH=tests python -m helpers.simulation_table [REPLICATIONS]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from helpers.simulation import (
    FAMILIES,
    LEFT_TAILS,
    MIXES,
    SEEDS,
    Array,
    Population,
    between_coverage,
    bootstrap_t_coverage,
    false_decisions,
    iqm_coverage,
    populations,
    row_errors,
    student_coverage,
    two_way_coverage,
)

from convergence.analysis.bootstrap import RARE_FAILURES_FROM


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"\n**{title}**\n"
    yield "| " + " | ".join(columns) + " |"
    yield "| --- " + "| ---: " * (len(columns) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def simulation_table(replications: int = 10_000) -> Iterator[str]:
    """Every figure that the tests bound, as lines of Markdown."""
    known = populations()
    methods: tuple[tuple[str, Callable[[Population, int, int], float], tuple[int, ...]], ...] = (
        ("Student t (paired differences)", student_coverage, (2, 4, 8, 16, 32, 64)),
        ("bootstrap-t (single-arm means)", bootstrap_t_coverage, (5, 6, 8, 16, 32, 64)),
        ("IQM by BCa (display only)", iqm_coverage, (6, 8, 9, 10, 16, 32)),
    )
    for title, coverage, sizes in methods:
        rows = [
            [name, *(_percent(coverage(one, n, replications)) for n in sizes)]
            for name, one in known.items()
        ]
        columns = ["population", *(f"n = {n}" for n in sizes)]
        yield from _table(f"Coverage of the 95 % interval, {title}, %", columns, rows)
    yield from _rare_table(known["rare failures"], replications)
    yield from _two_way_table(replications)
    yield from _between_table(replications)
    yield from _error_tables(known, replications)


def _rare_table(rare: Population, replications: int) -> Iterator[str]:
    sizes = (8, 16, 32, 48, 56, 60, 64, 96, 128)
    rows = [
        ["Student t", *(_percent(student_coverage(rare, n, replications)) for n in sizes)],
        ["bootstrap-t", *(_percent(bootstrap_t_coverage(rare, n, replications)) for n in sizes)],
    ]
    title = f"Rare failures (1 in 20, 40 sd away), %; reports warn below {RARE_FAILURES_FROM}"
    yield from _table(title, ["mean by", *(f"n = {n}" for n in sizes)], rows)


def _two_way_table(replications: int) -> Iterator[str]:
    sizes = [(s, r) for r in (30, 360) for s in (2, 3, 4, 8, 16)]
    rows = [
        [
            " : ".join(map(str, mix)),
            *(_percent(two_way_coverage(mix, s, r, replications // 5)) for s, r in sizes),
        ]
        for mix in MIXES
    ]
    columns = ["sd of seeds : rows : rest", *(f"{s} × {r}" for s, r in sizes)]
    yield from _table("Coverage of the two-way interval, seeds × rows, %", columns, rows)
    alone, both = row_errors(replications)
    yield f"\nEqual arms called different, 32 seeds × 360 rows: seeds {_percent(alone)} %, seeds"
    yield f"and rows {_percent(both)} %."


def _between_table(replications: int) -> Iterator[str]:
    draws: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
        "normal": lambda rng, shape: rng.standard_normal(shape),
        "t, 5 df": lambda rng, shape: rng.standard_t(5, shape) * math.sqrt(3 / 5),
        "gamma, skewness 1": lambda rng, shape: (rng.gamma(4, size=shape) - 4) / 2,
    }
    sizes = [(sd, groups) for sd in (0.0, 0.5, 2.0) for groups in SEEDS]
    rows = [
        [name, *(_percent(between_coverage(draw, sd, g, replications)) for sd, g in sizes)]
        for name, draw in draws.items()
    ]
    columns = ["group effects", *(f"sd {sd:g}, {g}" for sd, g in sizes)]
    title = "Coverage of the between-groups variance (5 a group, noise of sd 1), %"
    yield from _table(title, columns, rows)


def _error_tables(known: dict[str, Population], replications: int) -> Iterator[str]:
    def errors(effects: Sequence[float], margin: float, **options: Any) -> list[str]:
        found = [false_decisions(effects, margin, n, replications // 2, **options) for n in SEEDS]
        return [f"{_percent(holds)} / {_percent(fails)}" for holds, fails in found]

    rows = [[name, *errors(effects, margin)] for name, (effects, margin) in FAMILIES.items()]
    for name in ("t, 3 df", "gamma, skewness 1", "lognormal", "rare failures"):
        rows.append(
            [f"none true, margin .5, {name}", *errors([0.0] * 10, 0.5, population=known[name])]
        )
    for name, tail in LEFT_TAILS.items():
        rows.append([f"none true, treatments {name}", *errors([0.0] * 10, 0.5, treated=tail)])
    rows.append(["all at the margin", *errors([1.0] * 10, 1.0)])
    rows.append(["non-inferiority, all at it", *errors([-1.0] * 10, 1.0, kind="non-inferiority")])
    rows.append(["equivalence, all at it", *errors([1.0] * 10, 1.0, kind="equivalence")])
    rows.append(["none true, 30 % diverge", *errors([0.0] * 10, 1e-9, divergence=0.3)])
    title = "Families of 10 with a false 'holds' / a false 'fails', %"
    yield from _table(title, ["family", *(f"n = {n}" for n in SEEDS)], rows)


if __name__ == "__main__":
    for line in simulation_table(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(line, flush=True)
