"""One trial: its initial state and its loop over steps.

Every function here is pure, sees one lane, and is mapped over lanes by `population`. Trip counts
are traced (`while_loop`), because a static length changes bits (a unit length is inlined).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from convergence import weights
from convergence.data.order import epoch_order
from convergence.randomness import wrap
from convergence.schedules import PLATEAU_WINDOW, plateau_add, plateau_close, plateau_init
from convergence.training.fingerprint import fingerprint
from convergence.training.jitter import of_step
from convergence.training.program import Initialiser, Program, prepared_inputs, prepared_targets
from convergence.training.record import empty_record, record_fingerprint, record_sketch
from convergence.training.state import TRACE, Lane, Metrics, Shared, TrainState, TrialState
from convergence.training.step import train_step


def needs_rows(program: Program) -> bool:
    """Whether some initialiser looks at the trial's rows."""
    return any(one.init == weights.LSUV for one in program.initialisers)


def _batch(program: Program, lane: Lane, shared: Shared | None) -> Any:
    """The first training rows, prepared: what an initialiser looks at that wants data."""
    assert shared is not None
    places = jnp.arange(weights.ROWS, dtype=jnp.int32) % jnp.maximum(lane.train_count, 1)
    return prepared_inputs(program, lane, shared, lane.rows[places], jnp.float32(0))


def _initial_params(program: Program, lane: Lane, shared: Shared | None) -> tuple[Any, Any]:
    """Params and model state as the lane's initialiser draws them."""
    model = program.algorithm.model
    draw, redraw = jax.random.split(wrap(lane.keys["init"]))
    template, model_state = model.init(draw, jnp.zeros((2, *program.shape), jnp.float32))

    def drawn(params: Any, init: str, bias: str, scale: Any) -> Any:
        return weights.initialise(
            params,
            redraw,
            init,
            scale,
            bias=bias,
            output_bias=model.output_bias,
            prior=lane.prior,
        )

    def redrawn(initialiser: Initialiser) -> Any:
        scale = lane.hyper["init_scale"]
        if initialiser.init != weights.LSUV:
            return lambda: drawn(template, *initialiser, scale)

        def scaled() -> Any:
            x = _batch(program, lane, shared)
            straight = drawn(template, initialiser.init, "zero", jnp.float32(1))
            even = weights.unit_variance(model, straight, model_state, x)
            return drawn(even, "default", initialiser.bias, scale)

        return scaled

    params = jax.lax.switch(lane.initialiser, [redrawn(one) for one in program.initialisers])
    return params, model_state


def initial_state(program: Program, lane: Lane, shared: Shared | None = None) -> TrialState:
    """The trial before its first step, but for a twin's flipped bit (`twinned`).

    Args:
        shared: the rows, for programs that `needs_rows`.
    """
    return _begun(program, lane, *_initial_params(program, lane, shared))


def twinned(program: Program, lane: Lane, state: TrialState) -> TrialState:
    """The trial before its first step with a bit flipped, if it is a twin; else as it was."""
    params = jax.lax.cond(
        lane.twin,
        lambda p: weights.twin(p, wrap(lane.keys["rounding"]), lane.active),
        lambda p: p,
        program.algorithm.packing.unpack(state.train.params),
    )
    return _begun(program, lane, params, state.train.model_state)


def _begun(program: Program, lane: Lane, params: Any, model_state: Any) -> TrialState:
    packing = program.algorithm.packing
    sketched = record_sketch(empty_record(), params, jnp.zeros((), jnp.int32))
    packed = packing.pack(params)
    train = TrainState(packed, program.algorithm.optimizer.init(packed), model_state)
    return TrialState(
        train=train,
        order=jnp.zeros((program.capacity,), jnp.int32),
        plateau=plateau_init(lane.plateau),
        step=jnp.zeros((), jnp.int32),
        first_bad=jnp.full((), -1, jnp.int32),
        record=sketched,
    )


def epoch_begins(program: Program, lane: Lane, step: jax.Array) -> jax.Array:
    """Whether this step is the first of an epoch; the last partial batch is dropped."""
    per_epoch = jnp.maximum(lane.train_count // program.algorithm.batch_size, 1)
    return step % per_epoch == 0


def draw_order(program: Program, lane: Lane, step: jax.Array) -> jax.Array:
    """int32[capacity]: the order of the epoch that this step is in."""
    per_epoch = jnp.maximum(lane.train_count // program.algorithm.batch_size, 1)
    epoch = step // per_epoch
    key = jnp.where(epoch < lane.order_epochs, lane.keys["order"], lane.later_order)
    return epoch_order(wrap(key), epoch, lane.train_count, program.capacity)


def runs(lane: Lane, state: TrialState, step: jax.Array) -> jax.Array:
    """Whether the trial takes the step of this index."""
    return (step < lane.steps) & (state.first_bad < 0)


def advance(
    program: Program, lane: Lane, shared: Shared, state: TrialState, step: jax.Array
) -> tuple[TrialState, Metrics]:
    """The state after the step of this index, and what the step told.

    The epoch's order is already there; the controller of the rate is closed by `write_marks`.
    """
    algorithm = program.algorithm
    size = algorithm.batch_size
    per_epoch = jnp.maximum(lane.train_count // size, 1)
    places = jax.lax.dynamic_slice(state.order, ((step % per_epoch) * size,), (size,))
    rows = lane.rows[places]
    x = prepared_inputs(program, lane, shared, rows, lane.hyper["input_noise"])
    y = prepared_targets(program, lane, lane.targets[rows])
    key = None
    if algorithm.model.has_dropout:
        key = jax.random.fold_in(wrap(lane.keys["dropout"]), step.astype(jnp.uint32))
    rate = lane.hyper["learning_rate"] * shared.shapes[lane.schedule, step]
    rate = rate * state.plateau.control
    jitter = of_step(lane, step) if algorithm.jitters else None
    train, told = train_step(algorithm, state.train, x, y, key, lane.hyper, rate, lane.loss, jitter)
    good = jnp.isfinite(told.loss) & jnp.isfinite(told.grad_norm)
    state = TrialState(
        train=train,
        order=state.order,
        plateau=plateau_add(state.plateau, told.loss),
        step=step + 1,
        first_bad=jnp.where(good, state.first_bad, step),
        record=state.record,
    )
    return state, told


def _whole(state: TrialState) -> Any:
    """All that decides a trial's further steps, beside their number."""
    return state.train, state.order, state.plateau


def write_marks(program: Program, shared: Shared, state: TrialState) -> TrialState:
    """The state with what falls due after its last step: controller, fingerprint, sketch."""
    state = state._replace(plateau=plateau_close(state.plateau, state.step))
    record = record_fingerprint(state.record, _whole(state), state.step, shared)
    params = program.algorithm.packing.unpack(state.train.params)
    return state._replace(record=record_sketch(record, params, state.step))


def _next_stop(
    program: Program, lane: Lane, shared: Shared, step: jax.Array, until: jax.Array
) -> jax.Array:
    """The next step, at most `until`, with an order to draw before it or a mark to take after."""
    per_epoch = jnp.maximum(lane.train_count // program.algorithm.batch_size, 1)
    every = shared.fingerprint_every
    power = jnp.where(step == 0, 1, 1 << (32 - jax.lax.clz(step)))
    stops = (
        until,
        (step // per_epoch + 1) * per_epoch,
        jnp.where(every > 0, (step // jnp.maximum(every, 1) + 1) * every, until),
        jnp.where(power > 0, power, until),  # it overflows beyond 2**30
        jnp.where(lane.plateau > 0, (step // PLATEAU_WINDOW + 1) * PLATEAU_WINDOW, until),
    )
    return jnp.min(jnp.stack(stops))


def empty_trace() -> jax.Array:
    """float32[TRACE, 2]: room for loss and gradient norm of a segment's steps."""
    return jnp.zeros((TRACE, 2), jnp.float32)


def traced(trace: jax.Array, told: Metrics, place: jax.Array) -> jax.Array:
    """The trace with what the segment's step of this place told."""
    line = jnp.stack([told.loss, told.grad_norm])[None]
    return jax.lax.dynamic_update_slice(trace, line, (place, 0))


def segment(
    program: Program,
    lane: Lane,
    shared: Shared,
    state: TrialState,
    start: jax.Array,
    until: jax.Array,
) -> tuple[TrialState, jax.Array]:
    """The trial after `until` steps (fewer if it is shorter or diverges), and its trace.

    An outer loop goes from one order or mark to the next, so that the inner one holds nothing but
    steps: a branch in it would copy the whole state each time (it cost half as much as the step).

    Args:
        start: int32, steps done before this segment; at most TRACE less than `until`.

    Returns:
        The state, and float32[TRACE, 2]: loss and gradient norm of step ``start + k`` in row k.
    """

    def goes_on(carry: tuple[TrialState, jax.Array]) -> jax.Array:
        state, _ = carry
        return (state.step < until) & runs(lane, state, state.step)

    def stretch(carry: tuple[TrialState, jax.Array]) -> tuple[TrialState, jax.Array]:
        state, trace = carry
        order = jax.lax.cond(
            epoch_begins(program, lane, state.step),
            lambda: draw_order(program, lane, state.step),
            lambda: state.order,
        )
        stop = _next_stop(program, lane, shared, state.step, until)

        def step(carry: tuple[TrialState, jax.Array]) -> tuple[TrialState, jax.Array]:
            before, trace = carry
            after, told = advance(program, lane, shared, before, before.step)
            return after, traced(trace, told, before.step - start)

        def stays(carry: tuple[TrialState, jax.Array]) -> jax.Array:
            return (carry[0].step < stop) & runs(lane, carry[0], carry[0].step)

        carry = jax.lax.while_loop(stays, step, (state._replace(order=order), trace))
        return write_marks(program, shared, carry[0]), carry[1]

    return jax.lax.while_loop(goes_on, stretch, (state, empty_trace()))


def final_fingerprint(state: TrialState) -> jax.Array:
    """uint32[2]: the digest of the training state where the trial ended."""
    return fingerprint(_whole(state))
