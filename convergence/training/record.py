"""What is written down of each step: losses, a chain over all steps, fingerprints and sketches.

All of it is written at steps fixed by the study, never by the segments, and reads the training
state without touching it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from convergence.training.fingerprint import chain, fingerprint, sketch
from convergence.training.state import (
    BINS,
    MARKS,
    RAW_STEPS,
    SKETCH_SIZE,
    SKETCHES,
    Metrics,
    Record,
    Shared,
    TrainState,
)


def empty_record() -> Record:
    """The record of a trial that has not begun."""
    bins = jnp.zeros((BINS,), jnp.float32)
    return Record(
        raw=jnp.full((RAW_STEPS,), jnp.nan, jnp.float32),
        bin_sum=bins,
        bin_min=jnp.full((BINS,), jnp.inf, jnp.float32),
        bin_max=jnp.full((BINS,), -jnp.inf, jnp.float32),
        bin_improving=bins,
        last_loss=jnp.array(jnp.inf, jnp.float32),
        chain=jnp.zeros((2,), jnp.uint32),
        marks=jnp.zeros((MARKS + 1, 2), jnp.uint32),
        chains=jnp.zeros((MARKS + 1, 2), jnp.uint32),
        sketches=jnp.zeros((SKETCHES + 1, SKETCH_SIZE), jnp.float32),
    )


def record_step(record: Record, metrics: Metrics, step: jax.Array, width: jax.Array) -> Record:
    """The record after the step of this index (from 0); `width` is the steps in one bin."""
    loss = metrics.loss
    early = step < RAW_STEPS
    raw_at = jnp.minimum(step, RAW_STEPS - 1)
    raw = record.raw.at[raw_at].set(jnp.where(early, loss, record.raw[raw_at]))
    at = jnp.clip((step - RAW_STEPS) // width, 0, BINS - 1)
    add = jnp.where(early, jnp.float32(0), jnp.float32(1))
    low = jnp.where(early, jnp.float32(jnp.inf), loss)
    high = jnp.where(early, jnp.float32(-jnp.inf), loss)
    improving = (loss < record.last_loss).astype(jnp.float32)
    return record._replace(
        raw=raw,
        bin_sum=record.bin_sum.at[at].add(jnp.where(early, jnp.float32(0), loss)),
        bin_min=record.bin_min.at[at].min(low),
        bin_max=record.bin_max.at[at].max(high),
        bin_improving=record.bin_improving.at[at].add(add * improving),
        last_loss=loss,
        chain=chain(record.chain, loss, metrics.grad_norm),
    )


def fingerprint_due(done: jax.Array, shared: Shared) -> jax.Array:
    """Whether a fingerprint is taken after `done` steps."""
    every = jnp.maximum(shared.fingerprint_every, 1)
    return (shared.fingerprint_every > 0) & (done % every == 0) & (done // every <= MARKS)


def record_fingerprint(
    record: Record, train: TrainState, order: jax.Array, done: jax.Array, shared: Shared
) -> Record:
    """The record with a fingerprint of the state after `done` steps, where one is due."""
    due = fingerprint_due(done, shared)
    words = jax.lax.cond(
        due, lambda: fingerprint((train, order)), lambda: jnp.zeros((2,), jnp.uint32)
    )
    at = jnp.where(due, done // jnp.maximum(shared.fingerprint_every, 1) - 1, MARKS)
    return record._replace(
        marks=record.marks.at[at].set(words), chains=record.chains.at[at].set(record.chain)
    )


def sketch_index(done: jax.Array) -> jax.Array:
    """Row of the sketch after `done` steps: 0, 1, 2, 4, 8, … give 0, 1, 2, 3, 4, …; else scrap."""
    power = jax.lax.population_count(done) == 1
    index = jnp.where(done == 0, 0, 32 - jax.lax.clz(done))
    return jnp.where((done == 0) | power, jnp.minimum(index, SKETCHES), SKETCHES)


def record_sketch(record: Record, train: TrainState, done: jax.Array) -> Record:
    """The record with a sketch of the params after `done` steps, where one is due."""
    at = sketch_index(done)
    values = jax.lax.cond(
        at < SKETCHES,
        lambda: sketch(train.params),
        lambda: jnp.zeros((SKETCH_SIZE,), jnp.float32),
    )
    return record._replace(sketches=record.sketches.at[at].set(values))
