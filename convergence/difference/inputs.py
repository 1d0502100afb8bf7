"""What enters each step of a run beside its state, and the first step at which two runs' differ.

Everything here is known before a run: nothing is trained to find it.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import jax
import numpy as np

from convergence import randomness, threefry
from convergence.data.order import epoch_order
from convergence.difference.arrays import ArrayDifference, compared, shown
from convergence.difference.runs import Part, Run

NOT_OF_STEPS = ("learning_rate", "init_scale", "input_noise")  # told as rate, start and noise


@lru_cache(4096)
def _order(key: bytes, epoch: int, count: int, size: int) -> np.ndarray:
    words = np.frombuffer(key, np.uint32)
    return np.asarray(_drawn(words, np.uint32(epoch), np.int32(count), size))


_drawn = jax.jit(
    lambda words, epoch, count, size: epoch_order(randomness.wrap(words), epoch, count, size),
    static_argnums=3,
)


def per_epoch(part: Part) -> int:
    """Steps of an epoch, as the trial's loop counts them."""
    return max(int(part.lane.train_count) // part.population.program.algorithm.batch_size, 1)


def order_at(run: Run, step: int) -> np.ndarray:
    """int32[capacity]: the order of the epoch that a step is in, as its first step draws it."""
    length = per_epoch(run.part(step))
    epoch = step // length
    part = run.part(epoch * length)
    early = epoch < int(part.lane.order_epochs)
    key = part.lane.keys["order"] if early else part.lane.later_order
    capacity = part.population.program.capacity
    return _order(np.asarray(key).tobytes(), epoch, int(part.lane.train_count), capacity)


def _rate(part: Part, steps: np.ndarray) -> np.ndarray:
    """float32[steps]: the learning rate before the plateau's controller."""
    peak = np.float32(part.lane.hyper["learning_rate"])
    return peak * np.asarray(part.shared.shapes, np.float32)[int(part.lane.schedule), steps]


def constants(part: Part) -> dict[str, np.ndarray]:
    """What enters every step of a part alike, by name."""
    lane, program = part.lane, part.population.program
    told = {
        f"hyperparameters/{name}": np.asarray(value)
        for name, value in lane.hyper.items()
        if name not in NOT_OF_STEPS
    }
    told |= {"preparation/x_mean": lane.x_mean, "preparation/x_scale": lane.x_scale}
    if program.task == "regression":
        told |= {"preparation/y_mean": lane.y_mean, "preparation/y_scale": lane.y_scale}
    if len(program.algorithm.losses) > 1:
        told["loss"] = lane.loss
    if program.noisy:
        told["hyperparameters/input_noise"] = lane.hyper["input_noise"]
        told["input noise key"] = lane.keys["corrupt"]
    if program.algorithm.model.has_dropout:
        told["dropout key"] = lane.keys["dropout"]
    return {name: np.asarray(value) for name, value in told.items()}


def at_step(run: Run, step: int, order: np.ndarray, control: float) -> dict[str, np.ndarray]:
    """All that enters a step, by name.

    Args:
        order: the state's, int32[capacity], where the step reads its rows.
        control: the factor of the plateau's controller.
    """
    part = run.part(step)
    size = part.population.program.algorithm.batch_size
    place = step % per_epoch(part) * size
    rows = np.asarray(part.lane.rows)[np.asarray(order)[place : place + size]]
    told = {
        "batch rows": rows,
        "inputs": np.asarray(part.shared.x)[rows],
        "targets": np.asarray(part.lane.targets)[rows],
    }
    told |= constants(part)
    if "dropout key" in told:
        told["dropout key"] = threefry.fold_in(told["dropout key"], np.uint32(step))
    rate = _rate(part, np.array([step]))[0] * np.float32(control)
    return told | {"learning rate": np.asarray(rate, np.float32)}


def differing(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[ArrayDifference]:
    """What differs of all that enters a step, the batch's rows named where they are the same."""
    rows = a["batch rows"]
    found = []
    for name in [*a, *(name for name in b if name not in a)]:
        if name not in a or name not in b:
            there = ("is there", "is not") if name in a else ("is not", "is there")
            found.append(ArrayDifference(name, *there, 1, 1))
            continue
        one = compared(a[name], b[name], name)
        if one is None:
            continue
        alike = np.array_equal(rows, b["batch rows"]) and a[name].shape == b[name].shape
        if name in ("inputs", "targets") and alike:
            found.append(_of_row(name, rows, a[name], b[name], one))
        elif name not in ("inputs", "targets") or alike:
            found.append(one)  # other rows have other inputs: the rows are told
    return found


def _of_row(
    name: str, rows: np.ndarray, a: np.ndarray, b: np.ndarray, one: ArrayDifference
) -> ArrayDifference:
    apart = np.argwhere(a.reshape(-1).view("u4") != b.reshape(-1).view("u4"))[0]
    at = np.unravel_index(int(apart[0]), a.shape)
    path = f"{name} of row {rows[at[0]]}" + (f", feature {at[1]}" if len(at) > 1 else "")
    return ArrayDifference(path, shown(a[at]), shown(b[at]), one.count, one.size)


def first_difference(a: Run, b: Run) -> int | None:
    """Index of the first step that both runs take and that other inputs enter; None for none."""
    common = min(a.steps, b.steps)
    cuts = sorted({p.first for run in (a, b) for p in run.parts if p.first < common} | {common})
    for first, last in itertools.pairwise(cuts):
        if (found := _within(a, b, first, last)) is not None:
            return found
    return None


def _within(a: Run, b: Run, first: int, last: int) -> int | None:
    """As `first_difference`, for steps that one part of each run trains."""
    one, other = a.part(first), b.part(first)
    fixed, told = constants(one), constants(other)
    if fixed.keys() != told.keys() or any(compared(fixed[k], told[k], k) for k in fixed):
        return first
    if one.population.program.algorithm.batch_size != other.population.program.algorithm.batch_size:
        return first
    steps = np.arange(first, last)
    apart = np.flatnonzero(_rate(one, steps).view("u4") != _rate(other, steps).view("u4"))
    end = first + int(apart[0]) if len(apart) else last
    if _batches_agree(a, b, first):
        return end if end < last else None
    for step in range(first, end):
        x, y = (at_step(run, step, order_at(run, step), 1.0) for run in (a, b))
        if any(compared(x[k], y[k], k) for k in ("batch rows", "inputs", "targets")):
            return step
    return end if end < last else None


def _batches_agree(a: Run, b: Run, first: int) -> bool:
    """Whether all that batches are made of is the same, so that no order need be drawn."""
    length = per_epoch(a.part(first))
    begin = first // length * length  # the epoch's order may be an earlier part's
    told = []
    for part in (a.part(first), b.part(first)):
        rows = np.asarray(part.lane.rows)[: int(part.lane.train_count)]
        told.append([rows, np.asarray(part.shared.x)[rows], np.asarray(part.lane.targets)[rows]])
    pairs = list(zip(*told))
    for step in (first, begin):
        one, other = a.part(step).lane, b.part(step).lane
        names = ("train_count", "later_order", "order_epochs")
        pairs += [(getattr(one, name), getattr(other, name)) for name in names]
        pairs += [(one.keys["order"], other.keys["order"])]
    return not any(compared(x, y, "") for x, y in pairs)
