"""What a trial carries, what it is given, and what all trials share.

`Lane` is a trial's constant input, `TrainState` what its steps change, `Record` what is written
down of them; `Shared` is the same for all lanes. In a block every leaf has a leading lane axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

PyTree = Any
Array = Any  # of inputs: NumPy on the host, jax.Array in a program
TRACE = 1024  # steps whose losses a segment holds before the host takes them
MARKS = 1024  # fingerprints kept of a run
SKETCHES = 26  # steps 0, 1, 2, 4, … 2**24
SKETCH_SIZE = 64


class Lane(NamedTuple):
    """A trial's inputs: keys and numbers, and a view of the shared rows."""

    keys: dict[str, Array]  # source -> uint32[2]
    later_order: Array  # uint32[2]: the order's key after its first `order_epochs` epochs
    order_epochs: Array  # int32
    hyper: dict[str, Array]  # traced hyperparameters, float32 scalars
    loss: Array  # int32: index into Algorithm.losses
    schedule: Array  # int32: row of Shared.shapes
    plateau: Array  # float32: 1 where the loss controls the rate, else 0
    steps: Array  # int32: the trial's length; 0 in padding lanes
    initialiser: Array  # int32: index into Program.initialisers
    twin: Array  # bool: flip one bit of one initial weight
    rows: Array  # int32[capacity]: training rows of Shared.x, then padding
    train_count: Array  # int32: how many training rows there are
    validation: Array  # int32[capacity]: validation rows, then padding
    validation_count: Array  # int32
    targets: Array  # [all rows] int32 classes or float32, as this trial is told them
    x_mean: Array  # float32[features]
    x_scale: Array  # float32[features]
    y_mean: Array  # float32
    y_scale: Array  # float32
    prior: Array  # float32[outputs]: output bias that predicts the training targets' base rate
    active: Array  # bool[features]: inputs that are not constant over the training rows


class Shared(NamedTuple):
    """What all lanes read."""

    x: Array  # float32[all rows, features], raw units, NaN where missing
    y: Array  # [all rows] clean targets
    test: Array  # int32[capacity]: test rows, then padding
    test_count: Array  # int32
    shapes: Array  # float32[schedules, steps]: multiplier of the peak rate at each step
    fingerprint_every: Array  # int32: 0 = never


class TrainState(NamedTuple):
    """What a train step changes; the fingerprint covers all of it."""

    params: PyTree
    opt_state: PyTree
    model_state: PyTree


class Trained(NamedTuple):
    """What predicts: all that is kept of a model once it is trained."""

    params: PyTree  # as the optimiser wants them evaluated
    model_state: PyTree


class Record(NamedTuple):
    """Digests and sketches taken while a trial runs; taking them changes no bit of the training."""

    marks: jax.Array  # uint32[MARKS, 2]: fingerprints
    sketches: jax.Array  # float32[SKETCHES, SKETCH_SIZE]


class TrialState(NamedTuple):
    """All that a trial carries from step to step, and all that a checkpoint holds."""

    train: TrainState
    order: jax.Array  # int32[capacity]: this epoch's order of the training rows
    plateau: PyTree  # the rate's controller
    step: jax.Array  # int32: steps done
    first_bad: jax.Array  # int32: the first step whose loss or gradient was not finite, or -1
    record: Record


class Metrics(NamedTuple):
    """What a train step tells."""

    loss: jax.Array  # float32
    grad_norm: jax.Array  # float32: global norm before clipping
