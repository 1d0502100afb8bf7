"""The bits contract: what may not change a single bit of a trial.

Each test compares every array of the trials' final states and of their records by equality.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.trials import MODELS, STEPS, assert_same, dataset, reference, study, trained

from convergence.study import Study
from convergence.training.fingerprint import join

pytestmark = pytest.mark.parametrize("model", MODELS)


def test_the_reference_is_worth_comparing(model: str) -> None:
    """Protects the tests below: trials differ, learn, and exactly the hot arm diverges."""
    arrays = reference(model)
    bad = arrays["first_bad"].reshape(21, 3)
    assert (bad[:, 1] >= 0).all()
    assert (bad[:, [0, 2]] == -1).all()
    assert len(set(join(arrays["fingerprint"]).tolist())) == 63
    curve = arrays["eval/validation/cross_entropy"].reshape(21, 3, -1)[:, 0]
    assert curve[:, -1].mean() < curve[:, 0].mean()
    assert (arrays["steps_done"].reshape(21, 3)[:, 1] < STEPS).all()


def test_the_same_study_again(model: str) -> None:
    """Protects line 1: the same study gives the same bits again."""
    assert_same(trained(model, 21), reference(model), slice(None))


@pytest.mark.parametrize("trial", [0, 1, 31, 62])
def test_a_trial_alone(model: str, trial: int) -> None:
    """Protects line 2: a trial alone has the bits it has among 63, its neighbours diverging."""
    assert_same(trained(model, 21, picked=(trial,)), reference(model), [trial])


def test_among_three(model: str) -> None:
    """Protects line 2: a trial's bits do not depend on which neighbours and how many it has."""
    picked = (5, 62, 20)
    assert_same(trained(model, 21, picked=picked), reference(model), list(picked))


def test_fewer_seeds(model: str) -> None:
    """Protects line 2: the first seeds of a larger study are the seeds of a smaller one."""
    assert_same(trained(model, 1), reference(model), slice(0, 3))


def test_one_worker_on_another_device(model: str) -> None:
    """Protects line 2: one worker or two, on the first or second host device: the same bits."""
    found = trained(model, 21, place=1, workers=1)
    assert_same(found, reference(model), slice(None))


@pytest.mark.parametrize("segment", [1, 7, 50])
def test_segments(model: str, segment: int) -> None:
    """Protects line 4: how often the host takes over changes no bit."""
    picked = (0, 1, 2)
    found = trained(model, 21, picked=picked, segment=segment)
    assert_same(found, reference(model), list(picked))


def test_cadences(model: str) -> None:
    """Protects line 4: fingerprints, evaluations and checkpoints, on or off, change no bit."""
    found = trained(model, 1, fingerprint_every=0, eval_every=1, checkpoint_every=4)
    expected = {name: values[:3] for name, values in reference(model).items()}
    recorded = ("eval/", "marks", "chains", "sketches")
    kept = {n: v for n, v in found.items() if not any(word in n for word in recorded)}
    assert_same(kept, {name: expected[name] for name in kept}, slice(None))
    assert found["marks"].shape[1] == 0
    assert found["eval/validation/accuracy"].shape[1] == STEPS + 1


def test_freezing_a_source(model: str) -> None:
    """Protects line 5: a source that no longer varies moves no other source's draws."""
    all_vary = Study(study(model, 4), dataset()).plan
    spec = study(model, 4)
    fewer = dataclasses.replace(spec, run=dataclasses.replace(spec.run, vary=("init", "order")))
    frozen = Study(fewer, dataset()).plan
    for left, right in zip(
        all_vary.lanes(all_vary.groups[0], all_vary.groups[0].trials),
        frozen.lanes(frozen.groups[0], frozen.groups[0].trials),
    ):
        for source in ("init", "order"):
            assert np.array_equal(left.keys[source], right.keys[source])
        assert not np.array_equal(left.keys["dropout"], right.keys["dropout"])
