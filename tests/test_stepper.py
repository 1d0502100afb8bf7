"""Trials taken step by step: the bits are those of the run that they are taken from."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers import trials as kit

from convergence.study import Study
from convergence.training.stepper import Stepper


def stepper(model: str, seeds: int = 2) -> Stepper:
    runner = Study(kit.study(model, seeds), kit.dataset())
    population = kit.population(model, 0, 2)
    (group,) = runner.plan.groups
    return Stepper(population, runner.plan.lanes(group, group.trials), runner.shared(population))


def tree(state: object) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.parametrize("cuts", [(kit.STEPS,), (1, 2, 7, 7, 22, kit.STEPS)])
def test_steps_are_those_of_the_run(cuts: tuple[int, ...]) -> None:
    """Protects what is said of a step: the whole state ends in the same bits, however it is cut."""
    taken = stepper("mlp")
    state, start = taken.initial(), 0
    traces = []
    for until in cuts:
        state, trace = taken.advance(state, start, until)
        traces.append(trace)
        start = until
    found = tree(state)
    whole = kit.reference("mlp")
    kit.assert_same(found, {name: whole[name] for name in found}, slice(0, 6))
    trace = np.concatenate(traces, axis=1)
    assert trace.shape == (6, kit.STEPS, 2)
    alive = whole["first_bad"][:6] < 0
    assert np.array_equal(trace[alive, :, 0], whole["raw"][:6][alive])


def test_a_state_can_be_gone_on_from_again() -> None:
    """Protects the caller's state: stepping takes nothing from it."""
    taken = stepper("gru", 1)
    start = taken.initial()
    before = {name: values.tobytes() for name, values in tree(start).items()}
    first, second = (tree(taken.advance(start, 0, 5).state) for _ in range(2))
    assert {name: values.tobytes() for name, values in tree(start).items()} == before
    kit.assert_same(first, second, slice(None))


def test_steps_do_not_go_back() -> None:
    """Protects against a silent empty stretch."""
    taken = stepper("mlp", 1)
    with pytest.raises(ValueError, match="not back to 3"):
        taken.advance(taken.initial(), 4, 3)
