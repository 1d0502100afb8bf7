"""What is written down of a trial's states: fingerprints and sketches.

They are taken after steps fixed by the study, never by the segments, and only read the state. The
losses go to the host a segment at a time: see `curve`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from convergence.training.fingerprint import fingerprint, sketch
from convergence.training.state import (
    MARKS,
    SKETCH_SIZE,
    SKETCHES,
    PyTree,
    Record,
    Shared,
)


def empty_record() -> Record:
    """The record of a trial that has not begun."""
    return Record(
        marks=jnp.zeros((MARKS, 2), jnp.uint32),
        sketches=jnp.zeros((SKETCHES, SKETCH_SIZE), jnp.float32),
    )


def fingerprint_due(done: jax.Array, shared: Shared) -> jax.Array:
    """Whether a fingerprint is taken after `done` steps."""
    every = jnp.maximum(shared.fingerprint_every, 1)
    return (shared.fingerprint_every > 0) & (done % every == 0) & (done // every <= MARKS)


def record_fingerprint(record: Record, whole: PyTree, done: jax.Array, shared: Shared) -> Record:
    """The record with a fingerprint of the whole state after `done` steps, where one is due."""
    due = fingerprint_due(done, shared)
    words = jax.lax.cond(due, lambda: fingerprint(whole), lambda: jnp.zeros((2,), jnp.uint32))
    at = jnp.where(due, done // jnp.maximum(shared.fingerprint_every, 1) - 1, MARKS)
    return record._replace(marks=record.marks.at[at].set(words, mode="drop"))


def sketch_index(done: jax.Array) -> jax.Array:
    """Row of the sketch after `done` steps: 0, 1, 2, 4, 8, … give 0, 1, 2, 3, 4, …; else none."""
    power = jax.lax.population_count(done) == 1
    index = jnp.where(done == 0, 0, 32 - jax.lax.clz(done))
    return jnp.where((done == 0) | power, jnp.minimum(index, SKETCHES), SKETCHES)


def record_sketch(record: Record, params: PyTree, done: jax.Array) -> Record:
    """The record with a sketch of the params after `done` steps, where one is due."""
    at = sketch_index(done)
    values = jax.lax.cond(
        at < SKETCHES,
        lambda: sketch(params),
        lambda: jnp.zeros((SKETCH_SIZE,), jnp.float32),
    )
    return record._replace(sketches=record.sketches.at[at].set(values, mode="drop"))
