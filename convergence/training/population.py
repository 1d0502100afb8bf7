"""A population of trials as one compiled program: lanes, on each of the machine's devices.

On CPU the lanes of a device run one after another inside the program (mode ``map``): vmap buys
nothing there and changes bits with its width. On GPU and TPU the lanes of a block run side by side
(mode ``vmap``), at a width that belongs to the study. Lanes never communicate. Lane counts and trip
counts are traced, so that one trial alone runs the executable that 64 run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from convergence.training import trial as trials
from convergence.training.record import fingerprint_due, sketch_index
from convergence.training.state import SKETCHES, Lane, Shared, TrialState
from convergence.training.trial import Program

TRAIN, VALIDATION, TEST = 0, 1, 2  # which rows are evaluated


def _at(tree: Any, index: jax.Array) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, index, keepdims=False), tree)


def _put(tree: Any, index: jax.Array, values: Any) -> Any:
    return jax.tree.map(
        lambda a, v: jax.lax.dynamic_update_index_in_dim(a, v.astype(a.dtype), index, 0),
        tree,
        values,
    )


def _one_by_one(
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


def _choose(flags: jax.Array, new: Any, old: Any) -> Any:
    """Lane by lane, the new value where the lane's flag is set."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(flags.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def _side_by_side(
    program: Program, lanes: Lane, shared: Shared, states: TrialState, start: Any, until: Any
) -> TrialState:
    """All lanes from step `start` to `until` at once; each keeps its state once it has ended.

    The step is common to all lanes, so that drawing an epoch's order and taking a fingerprint stay
    real branches.
    """

    def body(carry: Any) -> Any:
        step, states = carry
        alive = jax.vmap(lambda lane, s: trials.runs(lane, s, step))(lanes, states)
        begins = jax.vmap(lambda lane: trials.epoch_begins(program, lane, step))(lanes)
        order = jax.lax.cond(
            jnp.any(begins & alive),
            lambda: _choose(
                begins & alive,
                jax.vmap(lambda lane: trials.draw_order(program, lane, step))(lanes),
                states.order,
            ),
            lambda: states.order,
        )
        states = states._replace(order=order)
        moved = jax.vmap(lambda lane, s: trials.advance(program, lane, shared, s, step))(
            lanes, states
        )
        states = _choose(alive, moved, states)
        due = fingerprint_due(step + 1, shared) | (sketch_index(step + 1) < SKETCHES)
        marked = jax.lax.cond(
            due,
            lambda s: _choose(alive, jax.vmap(lambda one: trials.write_marks(shared, one))(s), s),
            lambda s: s,
            states,
        )
        return step + 1, marked

    def goes_on(carry: Any) -> jax.Array:
        step, states = carry
        alive = jax.vmap(lambda lane, s: trials.runs(lane, s, step))(lanes, states)
        return (step < until) & jnp.any(alive)

    return jax.lax.while_loop(goes_on, body, (start, states))[1]


def placement(lanes: int, devices: int) -> np.ndarray:
    """int64[lanes]: the slot (device-major) of each trial of a block, in order.

    Each run of `devices` consecutive trials takes every device once, rotated by the digit sum of
    its index (a generalised Thue–Morse sequence): no arm that recurs every few trials – and may
    diverge, and so cost little – sits on one device alone.
    """
    per_device = lanes // devices
    slots = np.empty(lanes, np.int64)
    for index in range(lanes):
        group, rest = divmod(index, devices)
        turn, digits = group, 0
        while devices > 1 and turn:
            turn, digit = divmod(turn, devices)
            digits += digit
        slots[index] = ((rest + digits) % devices) * per_device + group
    return slots


class Population:
    """The compiled functions of one program on given devices, over blocks of a fixed size.

    Args:
        program: what is trained, on data of which form.
        lanes: lanes of a block; rounded up to as many on each device, two at least.
        devices: the devices that share each block.
        mode: ``map`` (lanes of a device in turn) or ``vmap`` (at once).
    """

    def __init__(
        self, program: Program, lanes: int, devices: Sequence[jax.Device], mode: str
    ) -> None:
        self.program = program
        self.mode = mode
        self.devices = list(devices)
        self.per_device = max(2, -(-lanes // len(self.devices)))
        self.lanes = self.per_device * len(self.devices)
        self.slots = placement(self.lanes, len(self.devices))
        mesh = Mesh(np.array(self.devices), ("lanes",))
        self._mesh = mesh
        self.lane_sharding = NamedSharding(mesh, PartitionSpec("lanes"))
        self.shared_sharding = NamedSharding(mesh, PartitionSpec())

    def _compiled(
        self,
        function: Callable[..., Any],
        laned: tuple[bool, ...],
        donate: tuple[int, ...] = (),
        once: bool = False,
    ) -> Any:
        """`function` on each device's own lanes.

        Args:
            laned: which arguments have a lane axis.
            donate: arguments whose memory the results take over.
            once: it runs once a block, so that on CPU compiling it fast beats running it fast.
        """
        specs = tuple(PartitionSpec("lanes") if one else PartitionSpec() for one in laned)
        mapped = jax.shard_map(
            function,
            mesh=self._mesh,
            in_specs=specs,
            out_specs=PartitionSpec("lanes"),
            check_vma=False,  # the loops' zero carries vary by device, which the check cannot see
        )
        fast = {"xla_backend_optimization_level": 1}
        options = fast if once and self.devices[0].platform == "cpu" else None
        return jax.jit(mapped, donate_argnums=donate, compiler_options=options)

    @cached_property
    def initialise(self) -> Any:
        """Compiled ``(lanes, counts) -> states`` before the first step."""

        def run(lanes: Lane, counts: jax.Array) -> TrialState:
            def one(lane: Lane) -> TrialState:
                return trials.initial_state(self.program, lane)

            if self.mode == "vmap":
                return jax.vmap(one)(lanes)
            return _one_by_one(one, counts[0], lanes)

        return self._compiled(run, (True, True), once=True)

    @cached_property
    def segment(self) -> Any:
        """Compiled ``(lanes, shared, counts, states, start, until) -> states``; donates states."""

        def run(
            lanes: Lane,
            shared: Shared,
            counts: jax.Array,
            states: TrialState,
            start: jax.Array,
            until: jax.Array,
        ) -> TrialState:
            if self.mode == "vmap":
                return _side_by_side(self.program, lanes, shared, states, start, until)

            def one(lane: Lane, state: TrialState) -> TrialState:
                return trials.segment(self.program, lane, shared, state, until)

            return _one_by_one(one, counts[0], lanes, states, start=states)

        return self._compiled(run, (True, False, True, True, False, False), donate=(3,))

    def _rows(self, lane: Lane, shared: Shared, which: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = jnp.where(which == TRAIN, lane.rows, lane.validation)
        count = jnp.where(which == TRAIN, lane.train_count, lane.validation_count)
        test = which == TEST
        return jnp.where(test, shared.test, rows), jnp.where(test, shared.test_count, count)

    @cached_property
    def evaluate(self) -> Any:
        """Compiled ``(lanes, shared, counts, states, which, clean) -> metrics`` by name, [lanes].

        `which` is TRAIN, VALIDATION or TEST; `clean` (bool) scores against uncorrupted targets.
        """

        def run(
            lanes: Lane,
            shared: Shared,
            counts: jax.Array,
            states: TrialState,
            which: jax.Array,
            clean: jax.Array,
        ) -> dict[str, jax.Array]:
            def one(lane: Lane, state: TrialState) -> dict[str, jax.Array]:
                rows, count = self._rows(lane, shared, which)
                targets = jnp.where(clean, shared.y, lane.targets)
                return trials.evaluate(self.program, lane, shared, state, rows, count, targets)

            if self.mode == "vmap":
                return jax.vmap(one)(lanes, states)
            return _one_by_one(one, counts[0], lanes, states)

        return self._compiled(run, (True, False, True, True, False, False))

    @cached_property
    def finish(self) -> Any:
        """Compiled ``(lanes, shared, counts, states, which) -> (outputs, fingerprints)``.

        Outputs float32[lanes, capacity, outputs] in prepared units; fingerprints uint32[lanes, 2].
        """

        def run(
            lanes: Lane, shared: Shared, counts: jax.Array, states: TrialState, which: jax.Array
        ) -> tuple[jax.Array, jax.Array]:
            def one(lane: Lane, state: TrialState) -> tuple[jax.Array, jax.Array]:
                rows, count = self._rows(lane, shared, which)
                table = trials.predict(self.program, lane, shared, state, rows, count)
                return table, trials.final_fingerprint(state)

            if self.mode == "vmap":
                return jax.vmap(one)(lanes, states)
            return _one_by_one(one, counts[0], lanes, states)

        return self._compiled(run, (True, False, True, True, False), once=True)

    def counts(self, trial_count: int) -> np.ndarray:
        """int32[devices]: how many of a block's first `trial_count` trials each device holds."""
        device = self.slots[:trial_count] // self.per_device
        return np.bincount(device, minlength=len(self.devices)).astype(np.int32)

    def spread(self, values: Sequence[Any]) -> Any:
        """One pytree on the devices, with a lane axis, from one pytree a lane in trials' order."""

        def stack(*leaves: Any) -> np.ndarray:
            first = np.asarray(leaves[0])
            out = np.empty((self.lanes, *first.shape), first.dtype)
            for index, leaf in enumerate(leaves):
                out[self.slots[index]] = leaf
            return out

        return jax.device_put(jax.tree.map(stack, *values), self.lane_sharding)

    def gather(self, tree: Any, trial_count: int) -> Any:
        """NumPy arrays [trial_count, ...] in the order of the trials, from arrays of lanes."""
        slots = self.slots[:trial_count]
        return jax.tree.map(lambda a: np.asarray(a)[slots], tree)
