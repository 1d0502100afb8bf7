"""Variance components of crossed tables by simulation: bias of the parts, coverage of intervals.

OPENBLAS_NUM_THREADS=1 PYTHONPATH=tests python -m helpers.components [REPLICATIONS]
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convergence.analysis.crossed import components, shares
from convergence.analysis.two_way import mean_squares_of

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
Sds = tuple[float, float, float]

# Settings of the others × draws of the source, as the experiment on randomness lays them out.
DESIGNS = ((4, 8), (4, 16), (4, 32), (4, 100), (8, 16), (8, 32))
# Standard deviations of others, source and what only both together explain: none to nearly all.
MIXES: tuple[Sds, ...] = (
    (0.0, 0.0, 1.0),
    (1.0, 0.0, 1.0),
    (0.0, 1.0, 1.0),
    (1.0, 1.0, 1.0),
    (0.3, 1.0, 0.3),
    (1.0, 0.3, 1.0),
    (0.2, 0.1, 3.0),
    (3.0, 1.0, 0.1),
    (0.0, 2.0, 1.0),
)
PARTS = ("alone", "others", "together", "total", "effect")
_E = math.e
# Effects with mean 0 and variance 1.
EFFECTS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "gamma, skewness 1": lambda rng, shape: (rng.gamma(4, size=shape) - 4) / 2,
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "lognormal": lambda rng, shape: (
        (rng.lognormal(size=shape) - math.sqrt(_E)) / math.sqrt(_E * (_E - 1))
    ),
    "t, 5 df": lambda rng, shape: rng.standard_t(5, shape) * math.sqrt(3 / 5),
}
BATCH = 1_000  # tables at a time: 10,000 of 8 × 32 with all their effects are 60 MB each


def squares_of(
    sds: Sds, design: tuple[int, int], count: int, effects: str = "normal"
) -> NDArray[np.float64]:
    """float64[count, 3] mean squares (others, source, rest) of tables drawn from a model."""
    rng = np.random.default_rng([*design, *(int(10 * sd) for sd in sds)])
    draw, (others, source, both) = EFFECTS[effects], sds
    found = []
    for first in range(0, count, BATCH):
        some = min(BATCH, count - first)
        table = others * draw(rng, (some, design[0], 1)) + source * draw(rng, (some, 1, design[1]))
        found.append(mean_squares_of(table + both * draw(rng, (some, *design))))
    return np.concatenate(found)


def truth(sds: Sds) -> dict[str, float]:
    """The parts that a table's model has."""
    others, source, both = (sd**2 for sd in sds)
    total = others + source + both
    return dict(zip(PARTS, (source, others, both, total, source + both)))


@dataclasses.dataclass(frozen=True)
class Found:
    """What a simulation told of one part.

    Attributes:
        true: the part, squared units.
        bias: of the unclipped estimator, as a share of the total variance.
        error: the simulation's standard error of the bias.
        coverage: share of the 95 % intervals that hold the part.
    """

    true: float
    bias: float
    error: float
    coverage: float


def simulated(
    sds: Sds, design: tuple[int, int], count: int, effects: str = "normal"
) -> dict[str, Found]:
    """Bias and coverage of each part of `Crossed` at 95 %, by its name."""
    squares, true = squares_of(sds, design, count, effects), truth(sds)
    return {
        name: Found(
            true[name],
            float((estimate.mean() - true[name]) / true["total"]),
            float(estimate.std() / math.sqrt(count) / true["total"]),
            float(((low <= true[name]) & (true[name] <= high)).mean()),
        )
        for name, (estimate, low, high) in components(squares, *design, 0.025).items()
    }


def share_coverage(
    sds: Sds, design: tuple[int, int], count: int, effects: str = "normal"
) -> dict[str, float]:
    """Coverage of the intervals of first- and total-order shares (``alone`` and ``effect``)."""
    squares, true = squares_of(sds, design, count, effects), truth(sds)
    rng, hits = np.random.default_rng(1), {"alone": 0, "effect": 0}
    for first in range(0, count, BATCH):
        found = shares(squares[first : first + BATCH], *design, 0.025, rng, pivots=1_000)
        for name, (_, low, high) in found.items():
            share = true[name] / true["total"]
            hits[name] += int(((low <= share) & (share <= high)).sum())
    return {name: hit / count for name, hit in hits.items()}


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(title: str, columns: Sequence[str]) -> Iterator[str]:
    yield f"\n**{title}**\n"
    yield _row(columns)
    yield "| --- " + "| ---: " * (len(columns) - 1) + "|"


def _ranges(told: Sequence[Mapping[str, Found]], zero: bool) -> list[str]:
    cells = []
    for name in PARTS:
        some = [100 * one[name].coverage for one in told if (one[name].true == 0) == zero]
        cells.append(f"{min(some):.1f}–{max(some):.1f}" if some else "")
    return cells


def tables(replications: int = 10_000) -> Iterator[str]:
    """Every figure as lines of Markdown: lowest and highest over the mixes of components."""
    for effects in EFFECTS:
        rows: list[list[str]] = []
        zeros: list[list[str]] = []
        biases: list[tuple[float, float]] = []
        for design in DESIGNS:
            told = [simulated(sds, design, replications, effects) for sds in MIXES]
            biases += [(abs(f.bias), f.error) for one in told for f in one.values()]
            size = " × ".join(map(str, design))
            rows.append([size, *_ranges(told, False)])
            zeros.append([f"{size}, part is zero", *_ranges(told, True)])
        title = f"Coverage of the 95 % intervals, {effects} effects, %, lowest to highest"
        yield from _head(title, ["settings × draws", *PARTS])
        yield from map(_row, (*rows, *zeros))
        bias, error = max(biases)
        yield f"\nLargest bias of an unclipped part, of {len(biases)}: {100 * bias:.2f} % of the"
        yield f"total variance (the simulation's standard error there: {100 * error:.2f} %)."
    yield from _share_table(replications // 5)


def _share_table(replications: int) -> Iterator[str]:
    title = "Coverage of the 95 % intervals of shares, %, lowest to highest (first / total order)"
    yield from _head(title, ["effects", *(" × ".join(map(str, d)) for d in DESIGNS)])
    for effects in EFFECTS:
        cells = []
        for design in DESIGNS:
            told = [share_coverage(sds, design, replications, effects) for sds in MIXES]
            both = [[100 * one[name] for one in told] for name in ("alone", "effect")]
            cells.append(" / ".join(f"{min(some):.1f}–{max(some):.1f}" for some in both))
        yield _row([effects, *cells])


if __name__ == "__main__":
    for line in tables(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(line, flush=True)
