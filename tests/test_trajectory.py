"""Trajectories, how far they lie apart, and the envelope of repeated rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convergence.analysis.trajectory import (
    Trajectory,
    distances,
    envelope_of,
    first_differing,
    fits,
)

OFFSETS = np.array([0, 1, 4])


def made(seed: int = 0, trials: int = 2, **changed: object) -> Trajectory:
    draws = np.random.default_rng(seed)
    values = tuple(
        draws.normal(size=(trials, len(OFFSETS), size)).astype(np.float32) for size in (3, 5)
    )
    told = Trajectory(
        trials=np.arange(trials),
        starts=np.zeros(trials, np.int64),
        offsets=OFFSETS,
        done=np.tile(OFFSETS, (trials, 1)),
        leaves=("bias", "kernel"),
        values=values,
        sketches=draws.normal(size=(trials, 4, 8)).astype(np.float32),
        first=np.full(trials, -1),
    )
    return dataclasses.replace(told, **changed)  # type: ignore[arg-type]


def test_it_comes_back_from_its_arrays() -> None:
    """Protects what another process hands over."""
    told = made()
    back = Trajectory.of(told.arrays())
    assert back.leaves == told.leaves
    for name, values in told.arrays().items():
        assert np.array_equal(values, back.arrays()[name])


@pytest.mark.parametrize("missing", ["leaves", "leaf 0001", "done", "sketches"])
def test_a_part_missing_is_told(missing: str) -> None:
    """Protects against half a file."""
    arrays = made().arrays()
    del arrays[missing]
    with pytest.raises(ValueError, match="trajectory"):
        Trajectory.of(arrays)


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Protects against a file that is no trajectory."""
    arrays = made().arrays()
    with pytest.raises(ValueError, match="do not fit"):
        Trajectory.of(arrays | {"leaf 0000": arrays["leaf 0000"][:, :1]})
    with pytest.raises(ValueError, match="do not fit"):
        Trajectory.of(arrays | {"leaf 0000": arrays["leaf 0000"].astype(np.float64)})


def test_distances_are_taken_leaf_by_leaf() -> None:
    """Protects the measure: Euclidean, of one leaf; beyond measure once one alone has ended."""
    a = made()
    done = a.done.copy()
    done[1, 2] = 3  # the second trial ended before
    b = dataclasses.replace(a, values=(a.values[0] * np.float32(1.25), a.values[1]), done=done)
    found = distances(a, b)
    assert np.isinf(found[1, 2]).all()
    assert np.isnan(distances(b, a)[1, 2]).all()
    assert np.isfinite(found[0]).all()
    assert found[0, 1, 0] == pytest.approx(np.linalg.norm(a.values[0][0, 1].astype(float)) / 4)
    assert (found[0, :, 1] == 0).all()


def test_who_diverged_decides() -> None:
    """Protects from silence: a run that is lost where the other is not is infinitely far off."""
    a = made()
    values = a.values[0].copy()
    values[0, 2, 1] = np.inf
    lost = dataclasses.replace(a, values=(values, a.values[1]))
    assert np.isinf(distances(a, lost)[0, 2, 0])
    assert np.isnan(distances(lost, a)[0, 2, 0])
    assert distances(a, lost)[1, 2, 0] == 0


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (made(leaves=("bias", "other")), "other leaves"),
        (made(starts=np.array([0, 1])), "other steps"),
        (made(trials=3), "other steps"),
        (made(values=(made().values[0], made().values[0])), "other shapes"),
    ],
)
def test_what_cannot_be_compared_says_why(other: Trajectory, why: str) -> None:
    """Protects the user from a comparison of things that are not the same."""
    assert why in fits(made(), other)
    with pytest.raises(ValueError, match=why):
        distances(made(), other)


def test_the_first_differing_step_is_found_by_bits() -> None:
    """Protects the common state: 0 and -0 differ, NaN and itself do not, lengths may differ."""
    a = np.zeros((4, 6, 2), np.float32)
    a[3, 2:] = np.nan
    b = a.copy()
    b[1, 3, 1], b[2, 5, 0], b[2, 4, 0] = -0.0, 1, 2
    assert first_differing(a, b).tolist() == [-1, 3, 4, -1]
    assert first_differing(a, b[:, :3]).tolist() == [-1] * 4
    assert first_differing(a, b[:, :0]).tolist() == [-1] * 4


def test_an_envelope_keeps_draws_apart() -> None:
    """Protects the axes that the judge takes medians over."""
    a, draws = made(), [made(seed) for seed in (1, 2, 3)]
    found = envelope_of(a, draws, 0.5, "told")
    assert found.distance.shape == (2, 3, len(OFFSETS), 2)
    assert np.array_equal(found.distance[:, 1], distances(a, draws[1]))
    assert found.sketch.shape == (2, 3, 4)
    spacing = np.spacing(np.abs(a.values[1][1, 2])).astype(float)
    assert found.unit[1, 2, 1] == pytest.approx(np.linalg.norm(spacing))
