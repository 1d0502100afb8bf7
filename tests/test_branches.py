"""Verdicts of the branch test on made scores: right where the truth is known, and honest else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convergence.analysis import branches as judged
from convergence.analysis.branches import BranchVerdict, claim_of, judge_branches

STEPS, OWN = 100, 50
POINTS = (10, 30, 70, 90)
MARGIN = 0.02


def claims(direction: int = -1, points: tuple[int, ...] = POINTS) -> list[judged.Claim]:
    kinds = ["earlier" if point < OWN else "later" for point in points]
    return [
        claim_of(kind, point, STEPS, metric="x", margin=MARGIN, direction=direction)
        for kind, point in zip(kinds, points)
    ]


def scores(
    rng: np.random.Generator, gains: tuple[float, ...], seeds: int, sd: float, direction: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Branches and own run: gains over it (positive is better), common seeds, own noise."""
    seed = rng.normal(0, 0.1, seeds)
    own = 1 + seed + rng.normal(0, sd / np.sqrt(2), seeds)
    noise = rng.normal(0, sd / np.sqrt(2), (len(gains), seeds))
    return 1 + seed + direction * np.array(gains)[:, None] + noise, own


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((-0.2, -0.1, 0.06, 0.03), judged.EARLY),
        ((0.03, 0.08, -0.02, -0.05), judged.LONG),
        ((-0.2, -0.03, -0.01, -0.06), judged.TIMELY),
        ((0.0, 0.0, 0.0, 0.0), judged.TIMELY),
        ((-0.1, 0.03, 0.09, 0.0), judged.EARLY),  # both sides: the better one has it
    ],
)
def test_clear_cases(gains: tuple[float, ...], verdict: str, direction: int) -> None:
    """Protects the verdicts' meaning, whichever way the metric is better."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        told = judge_branches(claims(direction), *scores(rng, gains, 16, 0.01, direction))
        assert told.verdict == verdict
        assert told.reason == ""
        if told.best is not None:
            assert told.best == int(np.argmax(gains))


def test_false_verdicts_are_as_rare_as_they_are_said_to_be() -> None:
    """Protects the family's level: where all branches are equal to the run, or worse by the margin
    to the better, a wrong verdict has at most the level's probability (binomial bounds)."""
    rng = np.random.default_rng(2)
    runs = 600
    equal = [
        judge_branches(claims(), *scores(rng, (0.0,) * 4, 8, 0.03)).verdict for _ in range(runs)
    ]
    false = sum(one in (judged.EARLY, judged.LONG) for one in equal)
    assert false <= 0.025 * runs + 3 * np.sqrt(0.025 * 0.975 * runs)
    better = (-0.1, -0.1, MARGIN, -0.1)
    missed = [judge_branches(claims(), *scores(rng, better, 8, 0.03)).verdict for _ in range(runs)]
    assert sum(one == judged.TIMELY for one in missed) <= 0.025 * runs + 3 * np.sqrt(0.025 * runs)


def test_undecided_tells_how_many_seeds_would_settle_it() -> None:
    """Protects the advice: with so many seeds, most such runs are decided."""
    rng = np.random.default_rng(3)
    gains = (-0.1, 0.0, 0.015, -0.1)
    needed = []
    for _ in range(30):
        told = judge_branches(claims(), *scores(rng, gains, 8, 0.03))
        if told.verdict == judged.UNDECIDED:
            assert "not settled" in told.reason
            needed += [told.seeds_needed] if told.seeds_needed else []
    assert len(needed) > 10
    count = int(np.median(needed))
    assert count > 8
    again = [judge_branches(claims(), *scores(rng, gains, count, 0.03)) for _ in range(40)]
    assert np.mean([one.verdict != judged.UNDECIDED for one in again]) > 0.5


def test_both_sides_better_alike_is_undecided() -> None:
    """Protects against a coin's toss: two better branches that do not differ name no side."""
    rng = np.random.default_rng(4)
    told = judge_branches(claims(), *scores(rng, (0.1, 0.1, 0.1, 0.1), 16, 0.02))
    assert told.verdict == judged.UNDECIDED
    assert "both end better" in told.reason
    assert told.best is None


def test_divergence_counts_against_whom_it_befalls() -> None:
    """Protects runs that break down: a rate held until it diverges was not lowered too early."""
    rng = np.random.default_rng(5)
    branches, own = scores(rng, (-0.1, -0.05, -0.05, 0.0), 16, 0.01)
    branches[3] = np.nan
    assert judge_branches(claims(), branches, own).verdict == judged.TIMELY
    branches, own = scores(rng, (-0.1, 0.05, 0.0, 0.0), 16, 0.01)
    own[:12] = np.inf
    assert judge_branches(claims(), branches, own).verdict in (
        judged.EARLY,
        judged.LONG,
        "undecided",
    )
    told = judge_branches(claims(), branches, np.full(16, np.nan))
    assert told.verdict == judged.IMPOSSIBLE
    assert "every seed" in told.reason


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_decide_nothing_by_force(seeds: int) -> None:
    """Protects against certainty from one or two runs."""
    rng = np.random.default_rng(6)
    told = judge_branches(claims(), *scores(rng, (0.0, 0.0, 0.03, 0.0), seeds, 0.03))
    assert told.verdict == judged.UNDECIDED


def test_no_branches_no_verdict() -> None:
    """Protects runs that cannot be branched."""
    told = judge_branches([], np.zeros((0, 4)), np.zeros(4))
    assert told.verdict == judged.IMPOSSIBLE
    with pytest.raises(ValueError, match="beside"):
        judge_branches(claims(), np.zeros((3, 4)), np.zeros(4))


def test_round_trip() -> None:
    """Protects summary.json: strict JSON, and the same verdict read back."""
    rng = np.random.default_rng(7)
    told = judge_branches(claims(), *scores(rng, (-0.1, 0.0, 0.02, 0.0), 8, 0.03))
    text = json.dumps(told.to_json(), allow_nan=False)
    assert BranchVerdict.from_json(json.loads(text)).to_json() == told.to_json()


def test_names_of_branches() -> None:
    """Protects the words that tables use."""
    told = [judged.name_of(*one, STEPS) for one in (("earlier", 3), ("later", 60), ("later", 100))]
    assert told == ["lowered at 3", "held to 60", "never lowered"]
