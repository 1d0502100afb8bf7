"""Branches grown from a run's own states: the bits of runs trained whole under their schedules."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from helpers import trials as kit

from convergence.branching import counterfactual as cf
from convergence.branching.counterfactual import Branch
from convergence.branching.growth import Grower, Grown, Kept
from convergence.history import History
from convergence.plan import Plan
from convergence.replay import Trainer
from convergence.spec import Arm, StudySpec
from convergence.study import Machine, Study

SEEDS = 6
COSINE = 2  # among the arms of the kit
PROGRAMS: dict[Any, Any] = {}  # shared by the tests of this file


def runner(study: StudySpec) -> Study:
    return Study(study, kit.dataset(), Machine.here(2), populations=PROGRAMS)


def spec_of(model: str, last: Arm = kit.ARMS[COSINE]) -> StudySpec:
    """The kit's arms on a few seeds, more than a block takes."""
    study = kit.study(model, SEEDS)
    run = dataclasses.replace(study.run, lanes=2)
    return dataclasses.replace(study, run=run, arms=(*kit.ARMS[:COSINE], last))


def grower(model: str = "mlp", arm: int = COSINE) -> Grower:
    study = runner(spec_of(model))
    return Grower(Trainer(study), arm, study.cadence.eval_steps())


def whole(model: str, branch: Branch) -> History:
    """A study of its own whose arm's row of the table is the branch's, trained from step 0."""
    study = runner(spec_of(model))
    plan: Plan = study.plan
    plan.shapes = np.array(plan.shapes)
    plan.shapes[plan.schedule_of_arm[COSINE], : kit.STEPS] = branch.factors
    return study.run()


@pytest.mark.parametrize("model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_a_branch_has_the_bits_of_the_whole_run(model: str) -> None:
    """Protects the test's meaning: going on from a run's states is training under the branch's
    schedule, to the last bit of the final states and of every score on the way."""
    taken = grower(model)
    ways = cf.branches(taken.factors)
    grown = taken.grow(ways)
    kinds = {way.kind: place for place, way in enumerate(ways)}  # one of each
    assert set(kinds) == {"own", "earlier", "later"}
    for place in kinds.values():
        way, one = ways[place], grown[place]
        history = whole(model, way)
        index = history.rows_of("cosine")
        assert np.array_equal(one.fingerprints, history.arrays["fingerprint"][index])
        assert np.array_equal(one.first_bad, history.arrays["first_bad"][index])
        known = [k for k, step in enumerate(taken.eval_steps) if step >= way.start or not place]
        assert known
        for metric, values in one.scores.items():
            scores = history.arrays[f"eval/validation/{metric}"][index]
            assert np.array_equal(values[:, known], scores[:, known])
    prints = {one.fingerprints.tobytes() for one in grown}
    assert len(prints) == len(ways)  # no two ways end alike


def test_a_user_can_train_a_branch_whole() -> None:
    """Protects the claim that a branch is a schedule: its pairs on the command line end alike."""
    study = runner(spec_of("mlp", Arm.of("pairs", schedule="12:.1")))
    taken = Grower(Trainer(study), COSINE, (kit.STEPS,))
    way = next(way for way in cf.branches(taken.factors) if way.kind == "earlier")
    (one,) = taken.grow([way])
    moved = runner(spec_of("mlp", Arm.of("pairs", schedule=f"{way.point}:.1"))).run()
    assert np.array_equal(one.fingerprints, moved.arrays["fingerprint"][moved.rows_of("pairs")])


def test_scores_are_there_from_where_a_branch_leaves() -> None:
    """Protects curves: nothing is drawn of a branch before it exists, all of it after."""
    taken = grower()
    for one in taken.grow(cf.branches(taken.factors)):
        start = 0 if one.branch.kind == "own" else one.branch.start
        for values in one.scores.values():
            assert np.isnan(values[:, np.array(taken.eval_steps) < start]).all()
            assert np.isfinite(values[:, np.array(taken.eval_steps) >= start]).all()


def test_divergence_is_told() -> None:
    """Protects against averages of what broke down: a seed that diverged has no score."""
    taken = grower(arm=1)  # `hot`: constant, so that only earlier branches are there
    own, *others = taken.grow(cf.branches(taken.factors))
    assert (own.first_bad >= 0).all()
    assert np.isnan(own.scores["accuracy"][:, -1]).all()
    assert all(one.branch.kind == "earlier" for one in others)


def test_what_was_kept_is_not_trained_again() -> None:
    """Protects resumption: killed between branches, the rest ends in the same bits."""
    taken = grower()
    ways = cf.branches(taken.factors)
    arrays: dict[str, np.ndarray] = {}
    states: list[dict[str, np.ndarray]] = []
    first = taken.grow(ways, Kept(arrays, lambda now: states.append(dict(now))))
    assert len(states) == 2 * len(ways)  # two blocks
    progress: list[int] = []
    half = dict(states[len(ways) + 2])  # the first block and some of the second
    written: list[int] = []
    kept = Kept(half, lambda now: written.append(len(now)))
    again = taken.grow(ways, kept, progress.append)
    assert len(written) == len(ways) - 3
    assert sum(progress) <= taken.cost(ways)
    for one, other in zip(first, again):
        same(one, other)


def same(one: Grown, other: Grown) -> None:
    assert np.array_equal(one.fingerprints, other.fingerprints)
    for metric, values in one.scores.items():
        assert np.array_equal(values, other.scores[metric], equal_nan=True)


def test_what_is_of_another_branch_is_not_believed() -> None:
    """Protects against a file of other settings: only a branch of the same factors is taken."""
    taken = grower()
    ways = cf.branches(taken.factors)[:2]
    arrays: dict[str, np.ndarray] = {}
    taken.grow(ways, Kept(arrays))
    kept = Kept(arrays)
    assert kept.get(0, 1, ways[1])
    assert kept.get(0, 1, ways[1]._replace(factors=ways[1].factors * 2)) is None
    assert kept.get(0, 7, ways[1]) is None
    del arrays["0/1/fingerprint"]
    assert kept.get(0, 1, ways[1]) is None


def test_the_cost_is_what_is_trained() -> None:
    """Protects the progress bar: steps told add up to the cost."""
    taken = grower()
    ways = cf.branches(taken.factors)
    told: list[int] = []
    taken.grow(ways, progress=told.append)
    assert sum(told) == taken.cost(ways)
