"""Fingerprints and sketches of a trial: taken when they are due, and put where they belong."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convergence.training.fingerprint import fingerprint, sketch
from convergence.training.record import (
    empty_record,
    fingerprint_due,
    record_fingerprint,
    record_sketch,
    sketch_index,
)
from convergence.training.state import MARKS, SKETCHES, Record, Shared, TrainState


def shared(every: int) -> Shared:
    nothing = np.zeros(0, np.float32)
    return Shared(nothing, nothing, nothing, nothing, nothing, np.int32(every))


def train(value: float) -> TrainState:
    return TrainState({"kernel": jnp.full((3, 2), value)}, {"mu": jnp.zeros(2)}, {})


def test_sketches_are_taken_at_powers_of_two() -> None:
    """Protects comparison across machines: steps 0, 1, 2, 4, 8, … and no other, each in its row."""
    steps = np.arange(5000, dtype=np.int32)
    found = np.asarray(jax.jit(jax.vmap(sketch_index))(steps))
    expected = np.full(5000, SKETCHES)
    for row, step in enumerate([0, *(2**k for k in range(13))]):
        expected[step] = row
    assert np.array_equal(found, expected)
    far = jnp.asarray([2**24 - 1, 2**24, 2**24 + 1, 2**25, 2**30, 2**30 + 1], jnp.int32)
    # Beyond the last row nothing is kept, and nothing is written elsewhere.
    expected = np.array([SKETCHES, SKETCHES - 1, SKETCHES, SKETCHES, SKETCHES, SKETCHES])
    assert np.array_equal(jax.vmap(sketch_index)(far), expected)


@pytest.mark.parametrize("every", [0, 1, 3, 100])
def test_fingerprints_are_due_every_so_many_steps(every: int) -> None:
    """Protects the cadence: every so many steps, never with 0, and no more than are kept."""
    steps = np.arange(1, 4000, dtype=np.int32)
    found = np.asarray(jax.jit(jax.vmap(lambda done: fingerprint_due(done, shared(every))))(steps))
    due = [bool(every) and step % every == 0 and step // every <= MARKS for step in steps]
    assert np.array_equal(found, due)


@jax.jit
def record_both(record: Record, state: TrainState, done: Any, every: Any) -> Record:
    told = shared(0)._replace(fingerprint_every=every)
    return record_sketch(record_fingerprint(record, state, done, told), state.params, done)


def test_marks_and_sketches_are_of_their_steps() -> None:
    """Protects the files: row k holds what was taken after its step; nothing else is touched."""
    record = empty_record()
    record = record_sketch(record, train(0.5).params, jnp.int32(0))
    for done in range(1, 20):
        record = record_both(record, train(float(done)), np.int32(done), np.int32(3))
    for row in range(6):
        assert np.array_equal(record.marks[row], fingerprint(train(3.0 * (row + 1))))
    assert not np.any(record.marks[6:])
    for row, value in enumerate([0.5, 1.0, 2.0, 4.0, 8.0, 16.0]):
        np.testing.assert_allclose(record.sketches[row], sketch(train(value).params))
    assert not np.any(record.sketches[6:])


def test_beyond_the_last_mark() -> None:
    """Protects long runs: a fingerprint for which there is no room overwrites none."""
    record = empty_record()
    last = record_both(record, train(1.0), np.int32(MARKS), np.int32(1))
    assert np.any(last.marks[-1])
    assert not np.any(last.marks[:-1])
    after = record_both(last, train(2.0), np.int32(MARKS + 1), np.int32(1))
    assert np.array_equal(after.marks, last.marks)


def test_never() -> None:
    """Protects runs without fingerprints from a division by nothing."""
    record = record_both(empty_record(), train(1.0), np.int32(3), np.int32(0))
    assert not np.any(record.marks)
    assert not np.any(record.sketches)
