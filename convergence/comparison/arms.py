"""One arm of two studies: bits, params, metric, predictions, and the verdict."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from convergence.analysis.agreement import Agreement, agreement
from convergence.analysis.power import CAP
from convergence.analysis.shift import ONE_SPREAD, Shift, Word, decide, shift
from convergence.comparison.alignment import Aligned
from convergence.comparison.held_out import LEAST_ROWS, HeldOut, lay, rescored, shared
from convergence.comparison.side import EXACT, Side
from convergence.reporting import provenance

SMALLER = (1.0, 0.5, 0.25, 0.1)  # margins whose seeds are told, as shares of the margin
_TOLD = ("chain", "chains", "sketches")  # sums over the state, no part of it
_FLOAT32 = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True)
class Bits:
    """How many trials are the same, bit for bit.

    Attributes:
        same: trials all of whose digests agree; None where that is not known.
        of: trials compared.
        layouts: trials whose losses, sketches and final params are the same though the digests of
            their whole state are not (another version may lay the state out otherwise).
        step: the first step after which a fingerprint or chain differs in some trial; 0 for none.
        records: names of the digests that differ in some trial (`EXACT`).
    """

    same: int | None
    of: int
    layouts: int = 0
    step: int = 0
    records: tuple[str, ...] = ()

    @property
    def only_told(self) -> bool:
        """Whether all states are the same, and only what was told of them is not."""
        return bool(self.records) and set(self.records) <= set(_TOLD)


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far final params lie apart, the largest over trials.

    Attributes:
        largest: difference of one param; NaN where they were not kept or have other shapes.
        relative: Euclidean distance over the norm before; from sketches where params are missing.
        by: ``params``, ``sketches`` or ``""``.
    """

    largest: float
    relative: float
    by: str


@dataclasses.dataclass(frozen=True)
class ArmComparison:
    """One arm of the two studies.

    Attributes:
        arm, other: its name in the first and in the second study.
        bits: how many trials are the same.
        distance: of final params.
        means: of the metric, on either side.
        shift: of the metric.
        margin: in the metric's unit; 0: one spread.
        agreement: of predictions; None where no row was predicted by both.
        verdict, reason: what it comes to.
        seeds: margin in the metric's unit → seeds that a true difference of 0 needs to be shown.
        notes: what a reader should know.
    """

    arm: str
    other: str
    bits: Bits
    distance: Distance
    means: tuple[float, float]
    shift: Shift
    margin: float
    agreement: Agreement | None
    verdict: Word
    reason: str
    seeds: dict[float, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arm": self.arm,
            "other_arm": self.other,
            "bits": dataclasses.asdict(self.bits),
            "params": dataclasses.asdict(self.distance),
            "means": list(self.means),
            "shift": self.shift.to_json(),
            "margin": self.margin or self.shift.spread,
            "agreement": self.agreement.to_json() if self.agreement else None,
            "verdict": self.verdict,
            "reason": self.reason,
            "seeds": [
                {"margin": m, "seeds": n if n <= CAP else None} for m, n in self.seeds.items()
            ],
            "notes": list(self.notes),
        }


def compare_arm(
    a: Side, b: Side, aligned: Aligned, pair: tuple[str, str], margin: float = 0.0
) -> ArmComparison:
    """One arm of two studies.

    Args:
        margin: difference that does not matter, in the metric's unit; 0: one spread over the
            first study's seeds.
    """
    trials, notes = aligned.trials(a, b, pair), list[str]()
    bits = _bits(a, b, trials, notes) if aligned.paired else Bits(None, len(trials[0]))
    held = lay(a, b, trials)
    before, after = _scores(a, b, aligned, trials, held, notes)
    size = max(float(np.abs(v[np.isfinite(v)]).max(initial=0)) for v in (before, after))
    moved = shift(before, after, aligned.paired, 4 * _FLOAT32 * size)
    verdict, reason = decide(moved, margin)
    if bits.same is not None and bits.same == bits.of > 0:
        verdict, reason = "same bits", ""
    whole = margin or ONE_SPREAD * moved.spread
    seeds = {}
    if math.isfinite(moved.mean.error) and whole > 0 and verdict != "same bits":
        seeds = {share * whole: moved.seeds_for(share * whole) for share in SMALLER}
    if moved.ratio.low > 1 or moved.ratio.high < 1:
        notes.append("the spread over seeds is another")
    return ArmComparison(
        arm=pair[0],
        other=pair[1],
        bits=bits,
        distance=_distance(a, b, trials, aligned.paired),
        means=(_mean(before), _mean(after)),
        shift=moved,
        margin=margin,
        agreement=_agreement(a, b, trials, held, aligned.paired),
        verdict=verdict,
        reason=reason,
        seeds=seeds,
        notes=tuple(notes),
    )


def _mean(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else math.nan


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """bool[trials]: whether all bits of a trial's record agree."""
    if a.shape[1:] != b.shape[1:]:
        return np.zeros(len(a), bool)
    lines = [np.ascontiguousarray(one).view(np.uint8).reshape(len(one), -1) for one in (a, b)]
    return np.asarray((lines[0] == lines[1]).all(axis=1))


def _bits(a: Side, b: Side, trials: tuple[np.ndarray, np.ndarray], notes: list[str]) -> Bits:
    count = len(trials[0])
    first, second = a.digests, b.digests
    if first is None or second is None:
        return Bits(None, count)
    mine = {name: (first[name][trials[0]], second[name][trials[1]]) for name in EXACT}
    every = a.study.run.fingerprint_every, b.study.run.fingerprint_every
    names = [name for name in EXACT if every[0] == every[1] or name not in ("marks", "chains")]
    equal = {name: _equal(*mine[name]) for name in names}
    same = np.logical_and.reduce(list(equal.values()))
    # Another version may lay the state out otherwise: its digests differ, nothing else does.
    moved = {field for field, _, _ in provenance.drift(a.provenance, b.provenance)}
    layout = equal["chain"] & equal["sketches"] & ~same
    layout &= any(field.startswith(("versions.", "source_digest")) for field in moved)
    for place in np.flatnonzero(layout):
        leaves = [side.params(int(t[place])) for side, t in zip((a, b), trials)]
        layout[place] = _same_leaves(*leaves)
    if layout.any():
        notes.append(
            "the state is laid out otherwise: its digests differ, params and losses do not"
        )
    step = 0
    apart = ~same & ~layout
    if apart.any() and every[0] == every[1] > 0:
        marks = np.stack([_marks_apart(*mine[n])[apart] for n in ("marks", "chains")])
        at = marks.any(axis=(0, 1))
        step = every[0] * (1 + int(np.argmax(at))) if at.any() else 0
    wrong = tuple(name for name in names if not equal[name][~layout].all())
    return Bits(int(same.sum() + layout.sum()), count, int(layout.sum()), step, wrong)


def _marks_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """bool[trials, marks]: where two series of digests differ, as far as both go."""
    shared = min(a.shape[1], b.shape[1])
    return np.asarray((a[:, :shared] != b[:, :shared]).any(axis=-1))


def _same_leaves(a: dict[str, np.ndarray] | None, b: dict[str, np.ndarray] | None) -> bool:
    if a is None or b is None or a.keys() != b.keys():
        return False
    return all(a[n].shape == b[n].shape and a[n].tobytes() == b[n].tobytes() for n in a)


def _distance(a: Side, b: Side, trials: tuple[np.ndarray, np.ndarray], paired: bool) -> Distance:
    if not paired:
        return Distance(math.nan, math.nan, "")
    found: list[tuple[float, float]] = []
    for one, other in zip(*trials):
        leaves = a.params(int(one)), b.params(int(other))
        if leaves[0] is None or leaves[1] is None or not _same_form(leaves[0], leaves[1]):
            found = []
            break
        found.append(_apart(leaves[0], leaves[1]))
    if found:
        table = np.array(found)
        finite = np.where(np.isfinite(table), table, np.nan)
        if np.isfinite(finite).any():
            largest, relative = np.nanmax(finite, axis=0)
            return Distance(float(largest), float(relative), "params")
    return _by_sketches(a, b, trials)


def _same_form(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[name].shape == b[name].shape for name in a)


def _apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> tuple[float, float]:
    names = [name for name in a if name.startswith("params/")]
    if not names:
        return 0.0, 0.0
    flat = [np.concatenate([one[n].ravel().astype(np.float64) for n in names]) for one in (a, b)]
    with np.errstate(all="ignore"):
        apart = flat[1] - flat[0]
        norm = float(np.linalg.norm(flat[0]))
        whole = float(np.linalg.norm(apart))
    return float(np.abs(apart).max()), whole / norm if norm > 0 else math.nan


def _by_sketches(a: Side, b: Side, trials: tuple[np.ndarray, np.ndarray]) -> Distance:
    nothing = Distance(math.nan, math.nan, "")
    if a.digests is None or b.digests is None:
        return nothing
    told = a.digests["sketches"][trials[0]], b.digests["sketches"][trials[1]]
    if told[0].shape != told[1].shape or not _same_params(a, b, trials):
        return nothing
    last = [one[:, -1].astype(np.float64) for one in told]
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(last[1] - last[0], axis=1) / np.linalg.norm(last[0], axis=1)
    good = apart[np.isfinite(apart)]
    return Distance(math.nan, float(good.max()), "sketches") if len(good) else nothing


def _same_params(a: Side, b: Side, trials: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether both have params of one form, so that sketches can be held against each other."""
    first, second = (
        side.setting(side.saved.arms[int(t[0]) % len(side.saved.arms)]).model
        for side, t in zip((a, b), trials)
    )
    return first == second


def _scores(
    a: Side,
    b: Side,
    aligned: Aligned,
    trials: tuple[np.ndarray, np.ndarray],
    held: HeldOut | None,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """The metric of either side's trials, on the rows that both were scored on."""
    stored = [s.scores(t, aligned.metric, aligned.split) for s, t in zip((a, b), trials)]
    if held is None or held.alike:
        return stored[0], stored[1]
    counts = shared(held, aligned.paired)[0].sum(axis=1)
    most = f" to {counts.max()}" if counts.max() > counts.min() else ""
    told = f"other rows are held out: {counts.min()}{most} are in both"
    if held.truth is None or counts.min() < LEAST_ROWS:
        few = "too few" if held.truth is not None else "without their targets (an earlier version)"
        notes.append(f"{told}, {few}; each is scored on its own")
        return stored[0], stored[1]
    notes.append(f"{told}; both are scored on these")
    if not all("split" in _varied(s, t) for s, t in zip((a, b), trials)):
        notes.append(
            "all seeds share one draw of the training rows, which is another one in the second"
            " study: its luck is part of the shift and not of the interval (--vary=…,split)"
        )
    again = rescored(held, aligned.metric, aligned.paired)
    return tuple(  # type: ignore[return-value]
        np.where(side.finished(t), values, np.nan) for side, t, values in zip((a, b), trials, again)
    )


def _varied(side: Side, trials: np.ndarray) -> tuple[str, ...]:
    """The sources that vary between an arm's trials."""
    arm = side.study.arms[int(trials[0]) % len(side.study.arms)]
    return side.study.run.vary if arm.vary is None else arm.vary


def _agreement(
    a: Side,
    b: Side,
    trials: tuple[np.ndarray, np.ndarray],
    held: HeldOut | None,
    paired: bool,
) -> Agreement | None:
    if held is None or not held.common:
        return None
    good = [side.finished(t) for side, t in zip((a, b), trials)]
    if paired:
        good = [good[0] & good[1]] * 2
    if not (good[0].any() and good[1].any()):
        return None
    outputs = [one[g] for one, g in zip(held.outputs, good)]
    scored = [one[g] for one, g in zip(held.scored, good)]
    return agreement(outputs[0], outputs[1], scored[0], scored[1], paired)
