"""The engine without its recording, for the benchmark alone: what a digest costs is what it lacks.

The same lanes, orders, steps, evaluations and final params; no fingerprint, no sketch, no loss or
gradient norm kept of any step, so no curve and no chain on the host either.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from convergence.schedules import plateau_close
from convergence.training import trial as trials
from convergence.training.lanes import each, one_by_one
from convergence.training.population import Population
from convergence.training.program import Program
from convergence.training.state import SKETCH_SIZE, Lane, Record, Shared, TrialState


def _empty_record() -> Record:
    # One line of each: the host's code takes none of no lines.
    return Record(jnp.zeros((1, 2), jnp.uint32), jnp.zeros((1, SKETCH_SIZE), jnp.float32))


def segment(
    program: Program,
    lane: Lane,
    shared: Shared,
    state: TrialState,
    until: jax.Array,
    guard: bool,
) -> TrialState:
    """`trial.segment` with nothing written down: from one epoch's order to the next.

    Args:
        guard: watch the gradient norm for divergence, as the engine does; else the loss alone, and
            the norm is not even computed.
    """

    def goes_on(state: TrialState) -> jax.Array:
        return (state.step < until) & trials.runs(lane, state, state.step)

    def stretch(state: TrialState) -> TrialState:
        order = jax.lax.cond(
            trials.epoch_begins(program, lane, state.step),
            lambda: trials.draw_order(program, lane, state.step),
            lambda: state.order,
        )
        per_epoch = jnp.maximum(lane.train_count // program.algorithm.batch_size, 1)
        stop = jnp.minimum(until, (state.step // per_epoch + 1) * per_epoch)

        def step(before: TrialState) -> TrialState:
            after, told = trials.advance(program, lane, shared, before, before.step)
            if guard:
                return after
            good = jnp.isfinite(told.loss)
            return after._replace(first_bad=jnp.where(good, before.first_bad, before.step))

        def stays(state: TrialState) -> jax.Array:
            return (state.step < stop) & trials.runs(lane, state, state.step)

        state = jax.lax.while_loop(stays, step, state._replace(order=order))
        return state._replace(plateau=plateau_close(state.plateau, state.step))

    return jax.lax.while_loop(goes_on, stretch, state)


class BarePopulation(Population):
    """A population on CPU whose programs record nothing (no lane may have a plateau schedule)."""

    guard = False

    def _initialise(
        self, lanes: jax.Array, count: jax.Array, shared: Shared | None = None
    ) -> TrialState:
        def one(words: jax.Array) -> TrialState:
            state = trials.initial_state(self.program, self._lane(words), shared)
            return state._replace(record=_empty_record())

        return each(self.mode, one, count, lanes)  # type: ignore[no-any-return]

    def _segment(
        self,
        lanes: jax.Array,
        shared: Shared,
        count: jax.Array,
        states: TrialState,
        start: jax.Array,
        until: jax.Array,
    ) -> tuple[TrialState, jax.Array]:
        del start

        def one(words: jax.Array, state: TrialState) -> TrialState:
            lane = self._lane(words)
            return segment(self.program, lane, shared, state, until, self.guard)

        moved: TrialState = one_by_one(one, count, lanes, states, start=states)
        # One line of zeros a segment: the host's code takes no trace of no steps.
        return moved, jnp.zeros((self.width, 1, 2), jnp.float32)

    def _finish(self, *given: Any) -> Any:
        table, words, model = super()._finish(*given)
        return table, jnp.zeros_like(words), model


class GuardedPopulation(BarePopulation):
    """The same with the gradient norm watched for divergence."""

    guard = True
