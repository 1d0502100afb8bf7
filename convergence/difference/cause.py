"""Why two runs part: at the step where they do, one is given the other's ingredients, one by one.

All ingredients are inputs of the program, so that a swap runs in the same executable and is exact:
the ingredient whose swap alone takes the difference away has made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from convergence.difference import inputs
from convergence.difference.arrays import core, same_bits
from convergence.difference.runs import Part, Run, stepper
from convergence.difference.search import Meeting
from convergence.training.state import Lane, TrialState

PREPARATION = ("x_mean", "x_scale", "y_mean", "y_scale")
STATE = {  # what of a state an ingredient is
    "params": "params",
    "optimiser state": "opt_state",
    "model state": "model_state",
}


@dataclasses.dataclass(frozen=True)
class Cause:
    """What made two runs part.

    Attributes:
        names: the ingredients; empty where no swap takes the difference away.
        step: the step at which they were swapped.
        tried: all ingredients that differ there.
        further: other ingredients whose swap alone does it, too.
    """

    names: tuple[str, ...]
    step: int
    tried: tuple[str, ...]
    further: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether a swap showed it."""
        return bool(self.names)


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """All that one step of a run is made of."""

    part: Part
    state: TrialState


Swap = Callable[[Setup, Setup], Setup]  # (its own, the other run's) -> with the other's ingredient


def _lane_swap(*names: str, keys: tuple[str, ...] = (), hyper: tuple[str, ...] = ()) -> Swap:
    def swap(own: Setup, other: Setup) -> Setup:
        lane, theirs = own.part.lane, other.part.lane
        changed: dict[str, Any] = {name: getattr(theirs, name) for name in names}
        if keys:
            changed["keys"] = lane.keys | {name: theirs.keys[name] for name in keys}
        if hyper:
            changed["hyper"] = lane.hyper | {name: theirs.hyper[name] for name in hyper}
        return dataclasses.replace(own, part=own.part._replace(lane=lane._replace(**changed)))

    return swap


def _then(*swaps: Swap) -> Swap:
    def swap(own: Setup, other: Setup) -> Setup:
        for one in swaps:
            own = one(own, other)
        return own

    return swap


def _rows(own: Setup, other: Setup) -> Setup:
    shared = own.part.shared._replace(x=other.part.shared.x)
    return dataclasses.replace(own, part=own.part._replace(shared=shared))


def _schedule(own: Setup, other: Setup) -> Setup:
    """The other's row of the table of shapes in the place of its own: the table keeps its form."""
    shapes = np.array(own.part.shared.shapes)
    line = np.asarray(other.part.shared.shapes)[int(other.part.lane.schedule)]
    length = min(shapes.shape[1], len(line))
    shapes[int(own.part.lane.schedule), :length] = line[:length]
    shared = own.part.shared._replace(shapes=shapes)
    part = own.part._replace(shared=shared)
    return dataclasses.replace(
        own, part=part._replace(lane=part.lane._replace(plateau=other.part.lane.plateau))
    )


def _program(own: Setup, other: Setup) -> Setup:
    return dataclasses.replace(own, part=own.part._replace(population=other.part.population))


def _of_state(field: str) -> Swap:
    def swap(own: Setup, other: Setup) -> Setup:
        state, theirs = own.state, other.state
        if field in ("plateau", "order"):
            return dataclasses.replace(own, state=state._replace(**{field: getattr(theirs, field)}))
        train = state.train._replace(**{field: getattr(theirs.train, field)})
        return dataclasses.replace(own, state=state._replace(train=train))

    return swap


def _begun_again(change: Swap) -> Swap:
    """The initial state, drawn with an ingredient of the other's."""

    def swap(own: Setup, other: Setup) -> Setup:
        drawn = change(own, other)
        return dataclasses.replace(drawn, state=stepper(drawn.part).initial())

    return swap


def _lane_differs(a: Lane, b: Lane, *names: str) -> bool:
    return any(not same_bits(getattr(a, name), getattr(b, name)) for name in names)


def _of_data(a: Part, b: Part) -> Iterator[tuple[str, Swap]]:
    one, other = a.lane, b.lane
    rows = not same_bits(a.shared.x, b.shared.x)
    split = _lane_differs(one, other, "rows", "train_count")
    labels = _lane_differs(one, other, "targets")
    # What is fitted on the rows goes with what it was fitted on.
    if rows:
        yield "data rows", _then(_rows, _lane_swap("x_mean", "x_scale", "active"))
    if labels:
        yield "labels", _lane_swap("targets", "y_mean", "y_scale", "prior")
    if split:
        names = ("rows", "train_count", "validation", "validation_count", "prior", "active")
        yield "rows trained on", _lane_swap(*names, *PREPARATION)
    if not (rows or labels or split) and _lane_differs(one, other, *PREPARATION):
        yield "preparation", _lane_swap(*PREPARATION)


def ingredients(a: Setup, b: Setup, step: int) -> dict[str, Swap]:
    """All ingredients of a step that differ between two runs, each with its swap."""
    one, other = a.part.lane, b.part.lane
    found = dict(_of_data(a.part, b.part))
    if _lane_differs(one, other, "later_order", "order_epochs") or not same_bits(
        one.keys["order"], other.keys["order"]
    ):
        found["order key"] = _lane_swap("later_order", "order_epochs", keys=("order",))
    for source, name in (("dropout", "dropout key"), ("corrupt", "input noise key")):
        if not same_bits(one.keys[source], other.keys[source]):
            found[name] = _lane_swap(keys=(source,))
    for name in one.hyper:
        if name != "init_scale" and not same_bits(one.hyper[name], other.hyper[name]):
            found[name] = _lane_swap(hyper=(name,))
    lines = [np.asarray(s.part.shared.shapes)[int(s.part.lane.schedule)] for s in (a, b)]
    length = min(map(len, lines))
    if lines[0][:length].tobytes() != lines[1][:length].tobytes() or _lane_differs(
        one, other, "plateau"
    ):
        found["schedule"] = _schedule
    if _lane_differs(one, other, "loss"):
        found["loss"] = _lane_swap("loss")
    if a.part.population is not b.part.population:
        found["program"] = _program
    if step == 0:
        found |= _of_start(one, other)
        if "schedule" in found:  # its controller is part of the first state
            found["schedule"] = _begun_again(_schedule)
    return found | _of_states(a.state, b.state)


def _of_start(a: Lane, b: Lane) -> dict[str, Swap]:
    """What initial weights are drawn from."""
    found = {}
    if not same_bits(a.keys["init"], b.keys["init"]):
        found["init key"] = _begun_again(_lane_swap(keys=("init",)))
    if not same_bits(a.hyper["init_scale"], b.hyper["init_scale"]):
        found["init_scale"] = _begun_again(_lane_swap(hyper=("init_scale",)))
    if _lane_differs(a, b, "initialiser"):
        found["initialiser"] = _begun_again(_lane_swap("initialiser"))
    if _lane_differs(a, b, "twin") or (
        bool(a.twin) and not same_bits(a.keys["rounding"], b.keys["rounding"])
    ):
        found["twin"] = _begun_again(_lane_swap("twin", "active", keys=("rounding",)))
    return found


def _of_states(a: TrialState, b: TrialState) -> dict[str, Swap]:
    found = {
        name: _of_state(field)
        for name, field in STATE.items()
        if not same_bits(getattr(a.train, field), getattr(b.train, field))
    }
    for field, name in (("order", "order of the epoch"), ("plateau", "plateau's controller")):
        if not same_bits(getattr(a, field), getattr(b, field)):
            found[name] = _of_state(field)
    return found


def _stepped(own: Setup, step: int) -> tuple[Any, ...]:
    """What a step begins with, loss and norm, and what it leaves."""
    told = stepper(own.part).advance(own.state, step, step + 1)
    before = own.state
    if step % inputs.per_epoch(own.part) == 0:  # it draws its own order
        before = before._replace(order=told.state.order)
    return core(before), told.trace, core(told.state)


def _form(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]


def find(a: Run, b: Run, meeting: Meeting) -> Cause:
    """The ingredient whose swap takes the difference of a step away; of several, the fewest.

    Args:
        meeting: the first step whose outcome differs, with both states before it.
    """
    step = meeting.step
    one, other = Setup(a.part(step), meeting.a), Setup(b.part(step), meeting.b)
    forms = [_form((s.part.lane, s.part.shared, core(s.state))) for s in (one, other)]
    if forms[0] != forms[1]:
        return Cause((), step, ("form of the state or the data",))
    swaps = ingredients(one, other, step)
    wanted = _stepped(one, step)

    def removes(names: list[str]) -> bool:
        changed = _then(*(swaps[name] for name in names))(other, one)
        return same_bits(_stepped(changed, step), wanted)

    tried = tuple(swaps)
    alone = [name for name in swaps if removes([name])]
    if alone:
        states = _of_states(one.state, other.state)
        further = [name for name in alone[1:] if alone[0] in states or name not in states]
        return Cause((alone[0],), step, tried, tuple(further))
    if len(swaps) < 2 or not removes(list(swaps)):
        return Cause((), step, tried)
    needed = list(swaps)
    for name in reversed(tried):  # states first: what made them is the better cause
        fewer = [one for one in needed if one != name]
        if removes(fewer):
            needed = fewer
    return Cause(tuple(needed), step, tried)
