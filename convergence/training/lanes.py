"""How the lanes of one shard run: one after another, or side by side under vmap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from convergence.schedules import PLATEAU_WINDOW
from convergence.training import trial as trials
from convergence.training.program import Program
from convergence.training.record import fingerprint_due, sketch_index
from convergence.training.state import SKETCHES, Lane, Shared, TrialState


def _at(tree: Any, index: jax.Array) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, keepdims=False), tree)


def _put(tree: Any, index: jax.Array, values: Any) -> Any:
    return jax.tree.map(
        lambda a, v: jax.lax.dynamic_update_index_in_dim(a, v.astype(a.dtype), index, 0),
        tree,
        values,
    )


def one_by_one(
    function: Callable[..., Any], count: jax.Array, *arrays: Any, start: Any = None
) -> Any:
    """Applies `function` to each of the first `count` lanes in turn; the others cost nothing.

    Lanes from `count` on keep `start`'s values (zeros where it is None).
    """
    if start is None:
        size = jax.tree.leaves(arrays)[0].shape[0]
        shapes = jax.eval_shape(function, *(_at(a, jnp.zeros((), jnp.int32)) for a in arrays))
        start = jax.tree.map(lambda s: jnp.zeros((size, *s.shape), s.dtype), shapes)

    def body(carry: Any) -> Any:
        index, out = carry
        return index + 1, _put(out, index, function(*(_at(a, index) for a in arrays)))

    begin = (jnp.zeros((), jnp.int32), start)
    return jax.lax.while_loop(lambda carry: carry[0] < count, body, begin)[1]


def each(mode: str, function: Callable[..., Any], count: jax.Array, *arrays: Any) -> Any:
    """Applies `function` to the first `count` lanes in turn (``map``), or to all at once."""
    if mode == "vmap":
        return jax.vmap(function)(*arrays)
    return one_by_one(function, count, *arrays)


def _choose(flags: jax.Array, new: Any, old: Any) -> Any:
    """Lane by lane, the new value where the lane's flag is set."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(flags.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def side_by_side(
    program: Program, lanes: Lane, shared: Shared, states: TrialState, start: Any, until: Any
) -> tuple[TrialState, jax.Array]:
    """All lanes from step `start` to `until` at once; each keeps its state once it has ended.

    The step is common to all lanes, so that drawing an epoch's order and taking a fingerprint stay
    real branches.
    """

    def body(carry: Any) -> Any:
        step, states, traces = carry
        alive = jax.vmap(lambda lane, s: trials.runs(lane, s, step))(lanes, states)
        begins = jax.vmap(lambda lane: trials.epoch_begins(program, lane, step))(lanes) & alive
        order = jax.lax.cond(
            jnp.any(begins),
            lambda: _choose(
                begins,
                jax.vmap(lambda lane: trials.draw_order(program, lane, step))(lanes),
                states.order,
            ),
            lambda: states.order,
        )
        states = states._replace(order=order)
        moved, told = jax.vmap(lambda lane, s: trials.advance(program, lane, shared, s, step))(
            lanes, states
        )
        states = _choose(alive, moved, states)
        lines = jax.vmap(lambda trace, one: trials.traced(trace, one, step - start))(traces, told)
        traces = _choose(alive, lines, traces)
        due = fingerprint_due(step + 1, shared) | (sketch_index(step + 1) < SKETCHES)
        due = due | ((step + 1) % PLATEAU_WINDOW == 0)
        marked = jax.lax.cond(
            due,
            lambda s: _choose(
                alive, jax.vmap(lambda one: trials.write_marks(program, shared, one))(s), s
            ),
            lambda s: s,
            states,
        )
        return step + 1, marked, traces

    def goes_on(carry: Any) -> jax.Array:
        step, states, _ = carry
        alive = jax.vmap(lambda lane, s: trials.runs(lane, s, step))(lanes, states)
        return (step < until) & jnp.any(alive)

    width = lanes.steps.shape[0]
    traces = jnp.broadcast_to(trials.empty_trace(), (width, *trials.empty_trace().shape))
    _, states, traces = jax.lax.while_loop(goes_on, body, (start, states, traces))
    return states, traces
