"""Runs with one planted difference, replayable or not, and the truth by exhaustion.

The truth is found here without the search that is tested: every step of both runs is taken alone,
and all that enters and leaves it is compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np

from convergence import data
from convergence.difference.runs import Part, Records, Run, Stored
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.study import Machine, Study, resolve
from convergence.training.curve import CurveRecorder
from convergence.training.population import Population
from convergence.training.state import TrialState
from convergence.training.stepper import Stepper
from convergence.training.trial import final_fingerprint

STEPS, EVERY, SAVED = 60, 7, 12  # steps of a run, between its marks, between its checkpoints
CLASSES = DataSpec(dataset="teacher_classification", generated_rows=173, preprocessing="none")
NUMBERS = DataSpec(dataset="teacher_regression", generated_rows=173, preprocessing="none")
STUDIES = {
    "mlp": (CLASSES, ModelSpec(hidden=(9, 7), dropout=0.25), TrainSpec(learning_rate=0.01)),
    "gru": (
        CLASSES,
        ModelSpec(model="gru", hidden=(5,), dropout=0.1),
        TrainSpec(learning_rate=0.02, schedule="cosine"),
    ),
    "cnn": (
        CLASSES,
        ModelSpec(model="cnn", hidden=(3,), batch_norm=True),
        TrainSpec(optimizer="momentum", learning_rate=0.02),
    ),
    "regression": (
        NUMBERS,
        ModelSpec(hidden=(8,)),
        TrainSpec(optimizer="adamw", learning_rate=0.01, weight_decay=0.01, loss="mse"),
    ),
    "forgiving": (  # a rate at which a last bit is often rounded away
        NUMBERS,
        ModelSpec(hidden=(4,)),
        TrainSpec(optimizer="sgd", learning_rate=0.1, loss="mse"),
    ),
}
DROPPING = ("mlp", "gru")
KINDS = (
    "data row",
    "label",
    "order key",
    "dropout key",
    "bit",
    "bit that heals",
    "rate",
    "optimiser state",
    "decay on one layer",
    "swapped batches",
)
CAUSES = {
    "data row": {"data rows"},
    "label": {"labels"},
    "order key": {"order key"},
    "dropout key": {"dropout key"},
    "bit": {"params"},
    "bit that heals": {"params"},
    "rate": {"learning_rate"},
    "rate by schedule": {"schedule"},
    "optimiser state": {"optimiser state"},
    "decay on one layer": {"program"},
    "swapped batches": {"order of the epoch"},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Walk:
    """A run taken step by step.

    Attributes:
        before, after: bytes of the whole state at each step.
        told: bytes of each step's loss and gradient norm.
        entered: bytes of all that enters each step beside the state.
        run: with its records and checkpoints.
    """

    before: list[bytes]
    after: list[bytes]
    told: list[bytes]
    entered: list[bytes]
    run: Run


@cache
def base(name: str) -> Part:
    """The one part of a study's only trial."""
    told, model, train = STUDIES[name]
    train = dataclasses.replace(train, steps=STEPS, batch_size=13)
    spec = StudySpec(
        setting=Setting(told, model, train),
        run=RunSpec(num_seeds=1, lanes=4, fingerprint_every=EVERY),
        arms=(Arm("base"),),
    )
    dataset = data.load(told)
    study = Study(resolve(spec, dataset), dataset, Machine.here(1))
    (group,) = study.plan.groups
    population = study.population(group)
    lane = study.plan.lanes(group, group.trials)[0]
    return Part(0, population, lane, study.common(group.program.capacity))


@cache
def decayed(name: str) -> Population:
    """A study's program with decay on one layer beside."""
    part = base(name)
    program = part.population.program
    packing, optimizer = program.algorithm.packing, program.algorithm.optimizer

    def update(
        grads: Any, opt_state: Any, params: Any, rate: Any, value: Any, hyper: Any
    ) -> tuple[Any, Any]:
        new, opt_state = optimizer.update(grads, opt_state, params, rate, value, hyper)
        leaves, structure = jax.tree.flatten(packing.unpack(new))
        place = next(k for k, leaf in enumerate(leaves) if leaf.ndim > 1)
        leaves[place] = leaves[place] * (1 - rate * 0.05)
        return packing.pack(jax.tree.unflatten(structure, leaves)), opt_state

    algorithm = program.algorithm._replace(optimizer=optimizer._replace(update=update))
    other = program._replace(algorithm=algorithm)
    return Population(other, part.population.lanes, part.population.workers, "map")


def _bytes(tree: Any) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))


def _whole(state: TrialState) -> bytes:
    return _bytes((state.train, state.order, state.plateau))


def _entered(part: Part, step: int, order: np.ndarray, control: float) -> bytes:
    """All that enters a step beside its state, computed apart from the tool's."""
    lane, program = part.lane, part.population.program
    size = program.algorithm.batch_size
    place = step % (int(lane.train_count) // size)
    rows = lane.rows[order[place * size : (place + 1) * size]]
    rate = lane.hyper["learning_rate"] * part.shared.shapes[lane.schedule][step] * control
    told = [rows, part.shared.x[rows], lane.targets[rows], np.float32(rate)]
    told += [lane.x_mean, lane.x_scale, lane.y_mean, lane.y_scale, lane.loss]
    told += [value for name, value in sorted(lane.hyper.items()) if name != "init_scale"]
    if program.algorithm.model.has_dropout:
        told.append(lane.keys["dropout"])
    return _bytes(told)


def walk(run: Run, checkpoints: bool) -> Walk:
    """Every step of a run by itself, its records, and its checkpoints if they are to be kept."""
    steppers = {
        part.first: Stepper(part.population, [part.lane], part.population.replicate(part.shared))
        for part in run.parts
    }
    state = steppers[0].initial()
    found = Walk([], [], [], [], run)
    curve = CurveRecorder(1, run.steps, EVERY, run.steps // EVERY)
    stored: dict[int, Callable[[], Stored]] = {}
    for step in range(run.steps):
        if step and step % SAVED == 0 and checkpoints:
            kept = Stored(state, curve.arrays()["chain"][0].copy())
            stored[step] = lambda kept=kept: kept  # type: ignore[misc]
        part = [one for one in run.parts if one.first <= step][-1]
        if step in run.edits:
            state = run.edits[step](state)
        found.before.append(_whole(state))
        control = float(state.plateau.control[0])
        state, trace = steppers[part.first].advance(state, step, step + 1)
        curve.add(trace, np.asarray(state.step))
        found.entered.append(_entered(part, step, state.order[0], control))
        found.told.append(trace.tobytes())
        found.after.append(_whole(state))
    told = curve.arrays()
    one = jax.tree.map(lambda leaf: leaf[0], state)
    records = Records(
        EVERY,
        one.record.marks[: run.steps // EVERY],
        told["chains"][0],
        np.asarray(final_fingerprint(one)),
        told["chain"][0],
        one.record.sketches[: 1 + run.steps.bit_length()],
    )
    return dataclasses.replace(found, run=dataclasses.replace(run, records=records, stored=stored))


@cache
def plain(name: str, checkpoints: bool) -> Walk:
    """A study's run with nothing planted."""
    return walk(Run(STEPS, (base(name),)), checkpoints)


def first_step(a: Walk, b: Walk) -> int | None:
    """The first step at which anything differs, of all of them."""
    lists = ((getattr(a, n), getattr(b, n)) for n in ("before", "entered", "told", "after"))
    apart = [k for x, y in lists for k in range(len(x)) if x[k] != y[k]]
    return min(apart, default=None)


def observable(a: Walk, b: Walk) -> bool:
    """Whether the records of two walks differ at all."""
    x, y = a.run.records, b.run.records
    assert x is not None
    assert y is not None
    return any(
        getattr(x, n).tobytes() != getattr(y, n).tobytes()
        for n in ("marks", "chains", "fingerprint", "chain")
    )


def healed(a: Walk, b: Walk) -> bool:
    """Whether the states are the same at the end."""
    return a.after[-1] == b.after[-1]


# The plants: each makes a run from the plain one's part.


def _edited(run: Run, step: int, change: Callable[[TrialState], TrialState]) -> Run:
    return dataclasses.replace(run, edits={step: change})


def _from(run: Run, step: int, **changes: Any) -> Run:
    (part,) = run.parts
    other = part._replace(first=step, **changes)
    return dataclasses.replace(run, parts=(other,) if step == 0 else (part, other))


def _flip(rng: np.random.Generator, which: str, smallest: bool) -> Callable[..., TrialState]:
    leaf_draw, place_draw, bit = rng.random(), rng.random(), int(rng.integers(0, 23))

    def change(state: TrialState) -> TrialState:
        leaves, structure = jax.tree.flatten(getattr(state.train, which))
        floats = [k for k, leaf in enumerate(leaves) if leaf.dtype == np.float32]
        k = floats[int(leaf_draw * len(floats))]
        flat = np.array(leaves[k])
        words = flat.reshape(-1).view(np.uint32)
        order = np.argsort(np.abs(flat.reshape(-1))) if smallest else np.arange(len(words))
        among = max(1, len(words) // 3) if smallest else len(words)
        words[order[int(place_draw * among)]] ^= np.uint32(1 << (0 if smallest else bit))
        leaves[k] = flat
        train = state.train._replace(**{which: jax.tree.unflatten(structure, leaves)})
        return state._replace(train=train)

    return change


def _swap_batches(step: int, later: int, size: int) -> Callable[[TrialState], TrialState]:
    def change(state: TrialState) -> TrialState:
        order = np.array(state.order)
        one, other = (slice(k * size, (k + 1) * size) for k in (step, later))
        order[0, one], order[0, other] = state.order[0, other], state.order[0, one]
        return state._replace(order=order)

    return change


def draw(kind: str, rng: np.random.Generator, only: str = "") -> tuple[str, Run, str]:
    """A study, a run of it with a difference of this kind, and the kind of its cause."""
    names = DROPPING if kind == "dropout key" else ("mlp", "gru", "cnn", "regression")
    if kind == "optimiser state" or kind == "decay on one layer":
        names = ("mlp", "cnn", "regression")
    name = "forgiving" if kind == "bit that heals" else str(rng.choice(names))
    name = only or name
    part = base(name)
    run, lane, shared = Run(STEPS, (part,)), part.lane, part.shared
    step = int(rng.integers(0, STEPS))
    size = part.population.program.algorithm.batch_size
    length = int(lane.train_count) // size
    row = int(rng.choice(lane.rows[: int(lane.train_count)]))
    if kind == "data row":
        x = np.array(shared.x)
        x[row, rng.integers(x.shape[1])] += np.float32(rng.normal())
        return name, _from(run, 0, shared=shared._replace(x=x)), kind
    if kind == "label":
        targets = np.array(lane.targets)
        whole = targets.dtype.kind == "i"
        targets[row] = (targets[row] + 1) % (targets.max() + 1) if whole else targets[row] + 1
        return name, _from(run, 0, lane=lane._replace(targets=targets)), kind
    if kind in ("order key", "dropout key"):
        key = rng.integers(0, 2**32, 2, np.uint32)
        source = kind.removesuffix(" key")
        changes: dict[str, Any] = {"keys": lane.keys | {source: key}}
        if source == "order":
            changes["later_order"] = key
        return name, _from(run, step, lane=lane._replace(**changes)), kind
    if kind in ("bit", "bit that heals"):
        return name, _edited(run, step, _flip(rng, "params", kind != "bit")), kind
    if kind == "optimiser state":
        return name, _edited(run, step, _flip(rng, "opt_state", False)), kind
    if kind == "rate" and rng.random() < 0.5:
        shapes = np.array(shared.shapes)
        shapes[:, step:] *= np.float32(1.001)
        return name, _from(run, 0, shared=shared._replace(shapes=shapes)), "rate by schedule"
    if kind == "rate":
        hyper = lane.hyper | {"learning_rate": lane.hyper["learning_rate"] * np.float32(1.001)}
        return name, _from(run, step, lane=lane._replace(hyper=hyper)), kind
    if kind == "decay on one layer":
        return name, _from(run, step, population=decayed(name)), kind
    place = int(rng.integers(1, length - 1))
    later = int(rng.integers(place + 1, length))
    step = int(rng.integers(0, STEPS // length)) * length + place
    return name, _edited(run, step, _swap_batches(place, later, size)), "swapped batches"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A planted difference.

    Attributes:
        study, kind: what it was planted in, and which.
        causes: what may be named as its cause.
        a, b: the runs.
        step: the truth: the first step at which anything differs.
        replayable: whether the run with the difference can be replayed.
        kept: whether checkpoints were.
        redrawn: draws before it that left nothing to be seen.
    """

    study: str
    kind: str
    causes: set[str]
    a: Run
    b: Run
    step: int
    replayable: bool
    kept: bool
    redrawn: int


def case(kind: str, rng: np.random.Generator, replayable: bool, kept: bool, only: str = "") -> Case:
    """A case that leaves a difference to be seen, redrawn until it does.

    Args:
        only: the study to plant it in (default: one of those that fit).
    """
    for redrawn in range(500):
        name, run, cause = draw(kind, rng, only)
        a, b = plain(name, kept), walk(run, kept)
        step = first_step(a, b)
        heals = kind != "bit that heals" or healed(a, b)
        if step is not None and observable(a, b) and heals:
            told = (
                b.run
                if replayable
                else dataclasses.replace(a.run, records=b.run.records, stored=b.run.stored)
            )
            return Case(name, kind, CAUSES[cause], a.run, told, step, replayable, kept, redrawn)
    raise AssertionError(f"no {kind!r} leaves anything to be seen")


def cases(replayable: int, others: int) -> list[tuple[str, bool, bool]]:
    """(kind, replayable, checkpoints kept) of so many cases, the kinds in turn."""
    edits = ("bit", "optimiser state", "bit that heals", "swapped batches")
    first = [(KINDS[k % len(KINDS)], True, (k // len(KINDS)) % 2 == 0) for k in range(replayable)]
    return first + [(edits[k % len(edits)], False, (k // 4) % 2 == 0) for k in range(others)]
