"""Whether the difference between two runs is rounding or a bug.

Held against an envelope of repeated rounding from a common state, leaf by leaf and step by step:
rounding's distances lie in the envelope wherever one looks, a bug's leave it somewhere – in the
first steps, before growth has made both as large as they can become, or in the one leaf that it
touches.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from convergence.analysis.trajectory import Envelope, Trajectory, distances

Array = np.ndarray[Any, Any]
Verdict = Literal["same bits", "rounding", "bug", "cannot tell"]

# Decades by which a distance may exceed the envelope's largest. Set on pairs of other studies than
# those that they were tested on: tests/helpers/rounding_cases.py.
ROUNDING_UP_TO, BUG_FROM = 0.7, 1.2
SKETCH_ROUNDING_UP_TO, SKETCH_BUG_FROM = 0.5, 1.25
# Of a leaf's distance, in units in the last place of all its elements: less is a few single bits.
FLOOR = 0.3
SKETCH_FLOOR = 2.0**-23  # of a sketch's length: its own rounding
BAND = (0.05, 0.95)  # of the envelope, as the table of growth shows it


@dataclasses.dataclass(frozen=True)
class Growth:
    """How far apart the runs are some steps after their common state.

    Attributes:
        step: steps since then.
        distance: of all params, the median over trials.
        low, median, high: of repeated rounding, over trials and draws.
    """

    step: int
    distance: float
    low: float
    median: float
    high: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What two runs' difference is.

    Attributes:
        verdict: ``same bits``, ``rounding``, ``bug`` or ``cannot tell``.
        statistic: decades by which the distance exceeds repeated rounding's where it does most;
            NaN where there is nothing to compare.
        step: the first step in which the runs differ; None where none does.
        leaf: path of the leaf where the excess is largest; empty where only sketches are there.
        after: steps since the common state at which it is.
        growth: distances over the steps.
        trials: how many were compared.
        parted: how many of them differ; the verdict is theirs.
        amplitude: of the envelope's rounding, in words.
    """

    verdict: Verdict
    statistic: float
    step: int | None
    leaf: str
    after: int
    growth: tuple[Growth, ...]
    trials: int
    parted: int
    amplitude: str

    @property
    def sentence(self) -> str:
        """The verdict and what it rests on."""
        last = self.growth[-1].step if self.growth else 0
        if self.verdict == "same bits":
            return f"The runs have the same bits, as far as they were followed ({last} steps)."
        if np.isnan(self.statistic):
            return "Rounding or a bug cannot be told: no step of both runs can be compared."
        begin = "" if self.step is None else f"The runs first differ in step {self.step}. "
        steps = "1 step" if self.after == 1 else f"{self.after} steps"
        where = f"{self.leaf}, " if self.leaf else ""
        place = f"{where}{steps} from a common state"
        size = f"{_times(self.statistic)} what repeated rounding makes"
        if self.verdict == "rounding":
            return f"{begin}They are at most {size} apart ({place}): rounding explains it."
        if self.verdict == "bug":
            return f"{begin}They are {size} apart ({place}): rounding does not explain it."
        return (
            f"{begin}They are {size} apart ({place}): too much to call it rounding, too little to "
            "call it a bug."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = dataclasses.asdict(self) | {"sentence": self.sentence}
        told["growth"] = [dataclasses.asdict(row) for row in self.growth]
        told["statistic"] = None if np.isnan(self.statistic) else self.statistic
        return told


def _times(decades: float) -> str:
    if decades > 15:
        return "beyond all measure of"
    factor = 10**decades
    return f"{factor:.1f} times" if factor < 10 else f"{float(f'{factor:.2g}'):,.0f} times"


def parted(apart: Array, first: Array) -> Array:
    """bool[n]: which trials are known to differ anywhere, from distances and first differing steps.

    Trials with equal bits say nothing of what parted the others: they must not outvote them.
    """
    return np.asarray((np.nan_to_num(apart, nan=0.0) > 0).any(axis=(1, 2)) | (first >= 0))


def excess(apart: Array, envelope: Envelope) -> Array:
    """float64[k, L]: decades by which distances exceed the envelope's largest, in most trials.

    Near the onset of chaos a last bit now and then tips something over (a unit, a small gradient's
    sign), and the distance leaps by decades: in some draws and in some trials, as chance has it. So
    the measure is the farthest of a trial's draws, and the lower median over trials: a bug
    exceeds in all. At offset 0, where the envelope has no width, units in the last place are the
    measure.
    """
    floor = FLOOR * envelope.unit
    floor[:, 0] = envelope.unit[:, 0]
    farthest = _farthest(envelope.distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10((apart + floor) / (farthest + floor))
    # A leaf of zeros has no last place: there, any distance is more than rounding makes.
    nothing = (floor == 0) & (farthest == 0)
    decades = np.where(nothing, np.where(apart > 0, np.inf, 0.0), decades)
    # Where a draw of the envelope broke off, that another run does says nothing.
    decades = np.where(np.isnan(apart) | ~np.isfinite(farthest), np.nan, decades)
    return _lower_median(decades)


def _farthest(distance: Array) -> Array:
    """The largest over draws (axis 1); NaN where no draw tells."""
    there = ~np.isnan(distance)
    return np.where(there.any(axis=1), np.where(there, distance, 0.0).max(axis=1), np.nan)


def _lower_median(values: Array) -> Array:
    """The middle one over trials (axis 0) of those that are there, of two the smaller."""
    there = (~np.isnan(values)).sum(axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    middle = np.maximum(there - 1, 0) // 2
    return np.take_along_axis(ordered, middle[None], axis=0)[0]


def verdict_of(statistic: float, up_to: float = ROUNDING_UP_TO, bug: float = BUG_FROM) -> Verdict:
    """What an excess of so many decades is."""
    if np.isnan(statistic):
        return "cannot tell"
    if statistic <= up_to:
        return "rounding"
    return "bug" if statistic >= bug else "cannot tell"


def judge(a: Trajectory, b: Trajectory, envelope: Envelope) -> Judgement:
    """Whether b's difference from a is rounding.

    Args:
        a, b: the same trials at the same steps from common states.
        envelope: of repeated rounding around a.

    Raises:
        ValueError: they do not fit together.
    """
    return judge_distances(distances(a, b), envelope, a.offsets, a.leaves, a.starts, b.first)


def judge_distances(
    apart: Array,
    envelope: Envelope,
    offsets: Array,
    leaves: tuple[str, ...],
    starts: Array,
    first: Array,
) -> Judgement:
    """`judge`, from the distances float64[n, k, L] alone.

    Raises:
        ValueError: the envelope is of other steps or leaves.
    """
    if apart.shape != envelope.unit.shape:
        raise ValueError("the envelope is of other trials, steps or leaves")
    differ = parted(apart, np.asarray(first))
    chosen = differ if differ.any() else np.ones_like(differ)
    table = excess(apart[chosen], envelope.of(chosen))
    growth = _growth(apart, envelope.distance, offsets)
    common: dict[str, Any] = {
        "growth": growth,
        "trials": len(apart),
        "parted": int(differ.sum()),
        "amplitude": envelope.told,
    }
    if np.isnan(table).all():
        return Judgement("cannot tell", float("nan"), None, "", 0, **common)
    step = _first_step(apart, offsets, starts, first)
    k, leaf = np.unravel_index(np.nanargmax(table), table.shape)
    statistic = float(table[k, leaf])
    verdict: Verdict = "same bits" if step is None else verdict_of(statistic)
    return Judgement(verdict, statistic, step, leaves[leaf], int(offsets[k]), **common)


def _first_step(distance: Array, offsets: Array, starts: Array, first: Array) -> int | None:
    """The first step in which some trial is known to differ."""
    seen = [int(step) for step in first if step >= 0]
    apart: Array = np.any(np.nan_to_num(distance, nan=0.0) > 0, axis=2)
    for trial, at in enumerate(apart):
        if at.any():  # the step before the first state that differs, or an earlier one
            seen.append(int(starts[trial] + max(int(offsets[at.argmax()]) - 1, 0)))
    return min(seen) if seen else None


def _growth(distance: Array, envelope: Array, offsets: Array) -> tuple[Growth, ...]:
    """Whole distances over the steps that some trial reached."""
    whole, around = (np.sqrt((one * one).sum(axis=-1)) for one in (distance, envelope))
    rows = []
    for k, offset in enumerate(offsets):
        here, span = whole[:, k], around[:, :, k].ravel()
        here, span = here[np.isfinite(here)], span[np.isfinite(span)]
        if len(here) and len(span):
            low, middle, high = np.quantile(span, (BAND[0], 0.5, BAND[1]))
            told = (float(np.median(here)), float(low), float(middle), float(high))
            rows.append(Growth(int(offset), *told))
    return tuple(rows)


def judge_sketches(a: Array, b: Array, envelope: Envelope) -> Judgement:
    """Whether b's difference is rounding, where only sketches of b's params are there.

    Coarser: a fault in one small leaf drowns in the others' rounding, and there is no common state
    but the first.

    Args:
        a, b: float32[n, marks, 64], sketches of the same trials at steps 0, 1, 2, 4, …
        envelope: of a's trials from step 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    marks = min(a.shape[1], b.shape[1], envelope.sketch.shape[2])
    a, b, span = a[:, :marks], b[:, :marks], envelope.sketch[:, :, :marks]
    there = (a != 0).any(axis=2) & (b != 0).any(axis=2) & ~np.isnan(span).any(axis=1)
    apart = np.where(there, np.linalg.norm(b - a, axis=2), np.nan)
    return judge_sketch_distances(apart, np.linalg.norm(a, axis=2), span, envelope.told)


def judge_sketch_distances(apart: Array, length: Array, span: Array, told: str) -> Judgement:
    """`judge_sketches`, from distances, lengths [n, marks] and the envelope's [n, draws, marks]."""
    steps = np.array([0, *(2**k for k in range(apart.shape[1] - 1))])
    floor = SKETCH_FLOOR * length
    farthest = _farthest(span)
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10((apart + floor) / (farthest + floor))
    differ = parted(apart[..., None], np.full(len(apart), -1))
    decades = _lower_median(decades[differ] if differ.any() else decades)
    growth = _growth(apart[..., None], span[..., None], steps)
    rest: tuple[Any, ...] = (growth, len(apart), int(differ.sum()), told)
    if np.isnan(decades).all():
        return Judgement("cannot tell", float("nan"), None, "", 0, *rest)
    k = int(np.nanargmax(decades))
    seen = (np.nan_to_num(apart, nan=0.0) > 0).any(axis=0)
    step = max(int(steps[seen.argmax()]) - 1, 0) if seen.any() else None
    verdict: Verdict = "same bits"
    if step is not None:
        verdict = verdict_of(float(decades[k]), SKETCH_ROUNDING_UP_TO, SKETCH_BUG_FROM)
    return Judgement(verdict, float(decades[k]), step, "", int(steps[k]), *rest)
