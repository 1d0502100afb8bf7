"""A population of trials as one compiled program, run by workers on shards of a block.

A block's lanes are dealt out to shards of a fixed width, and one executable runs any shard. On CPU
its lanes run one after another inside the program (mode ``map``: vmap buys nothing there and
changes bits with its width), and as many threads as there are cores take shards in turn. On GPU and
TPU a shard's lanes run side by side (mode ``vmap``) at a width that belongs to the study, one shard
on each device. Lanes never communicate; lane counts and trip counts are traced. So the executable
that trains a trial is the same whether it runs alone or among thousands, on one core or on many: a
program partitioned over devices would be another program, with other fusions and other last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from convergence.training import evaluation
from convergence.training import trial as trials
from convergence.training.compiled import Compiled
from convergence.training.lanes import each, one_by_one, side_by_side
from convergence.training.program import Program
from convergence.training.state import Lane, Shared, Trained, TrialState
from convergence.training.words import Words

TRAIN, VALIDATION, TEST = 0, 1, 2  # which rows are evaluated
SHARD = 4  # lanes of a shard on CPU: few enough to keep cores busy, more than the call's own cost

Replicated = dict[jax.Device, Shared]


class Block(NamedTuple):
    """A block's inputs on the devices: an entry a shard."""

    trials: int  # how many
    lanes: list[jax.Array]  # uint32[width, words]: each lane's inputs as one vector
    counts: list[jax.Array]  # int32: trials of each shard
    twins: bool  # some trial is one


class Population:
    """The compiled functions of one program, over blocks of a fixed number of lanes.

    Args:
        program: what is trained, on data of which form.
        lanes: lanes of a block (mode ``map``), or of each of its shards (``vmap``).
        workers: the device of each worker; on CPU one device as often as cores shall be used.
        mode: ``map`` (lanes of a shard in turn) or ``vmap`` (at once).
        options: of the compiler, by name, for the program of the steps.

    Attributes:
        lanes: lanes of a block.
        width: lanes of a shard.
        shards: shards of a block.
    """

    def __init__(
        self,
        program: Program,
        lanes: int,
        workers: Sequence[jax.Device],
        mode: str,
        options: Mapping[str, str | bool] | None = None,
    ) -> None:
        self.program = program
        self.mode = mode
        self.workers = tuple(workers)
        self.width = SHARD if mode == "map" else lanes
        self.shards = -(-lanes // SHARD) if mode == "map" else len(self.workers)
        self.lanes = self.width * self.shards
        self._form: Words | None = None  # of a lane's inputs, once some are there
        self._pool = ThreadPoolExecutor(len(self.workers), thread_name_prefix="lanes")
        self._functions = {
            "initialise": Compiled(self._initialise, once=True),
            "twin": Compiled(self._twin, once=True),
            "segment": Compiled(self._segment, donate=(3,), options=options),
            "evaluate": Compiled(self._evaluate),
            "finish": Compiled(self._finish, once=True),
        }

    def device(self, shard: int) -> jax.Device:
        """Where a shard's arrays live."""
        return self.workers[0] if self.mode == "map" else self.workers[shard]

    # The programs: what each does for the lanes of one shard.

    def _lane(self, words: jax.Array) -> Lane:
        assert self._form is not None  # programs are traced for a block that was dealt out
        lane: Lane = self._form.unpack(words)
        return lane

    def _initialise(
        self, lanes: jax.Array, count: jax.Array, shared: Shared | None = None
    ) -> TrialState:
        def one(words: jax.Array) -> TrialState:
            return trials.initial_state(self.program, self._lane(words), shared)

        return each(self.mode, one, count, lanes)

    def _twin(self, lanes: jax.Array, count: jax.Array, states: TrialState) -> TrialState:
        def one(words: jax.Array, state: TrialState) -> TrialState:
            return trials.twinned(self.program, self._lane(words), state)

        return each(self.mode, one, count, lanes, states)

    def _segment(
        self,
        lanes: jax.Array,
        shared: Shared,
        count: jax.Array,
        states: TrialState,
        start: jax.Array,
        until: jax.Array,
    ) -> tuple[TrialState, jax.Array]:
        if self.mode == "vmap":
            apart = jax.vmap(self._lane)(lanes)
            return side_by_side(self.program, apart, shared, states, start, until)

        def one(words: jax.Array, state: TrialState) -> tuple[TrialState, jax.Array]:
            lane = self._lane(words)
            return trials.segment(self.program, lane, shared, state, start, until)

        empty = jnp.zeros((self.width, *trials.empty_trace().shape), jnp.float32)
        return one_by_one(one, count, lanes, states, start=(states, empty))

    def _rows(self, lane: Lane, shared: Shared, which: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows = jnp.where(which == TRAIN, lane.rows, lane.validation)
        count = jnp.where(which == TRAIN, lane.train_count, lane.validation_count)
        test = which == TEST
        return jnp.where(test, shared.test, rows), jnp.where(test, shared.test_count, count)

    def _evaluate(
        self,
        lanes: jax.Array,
        shared: Shared,
        count: jax.Array,
        states: TrialState,
        which: jax.Array,
        clean: jax.Array,
    ) -> dict[str, jax.Array]:
        def one(words: jax.Array, state: TrialState) -> dict[str, jax.Array]:
            lane = self._lane(words)
            rows, number = self._rows(lane, shared, which)
            targets = jnp.where(clean, shared.y, lane.targets)
            noise = jnp.where(clean, jnp.float32(0), lane.hyper["input_noise"])
            # A diverged trial scores nothing: no row is read for it.
            number = jnp.where(state.first_bad >= 0, 0, number)
            told = evaluation.evaluate(
                self.program, lane, shared, state, rows, number, targets, noise
            )
            return jax.tree.map(lambda v: jnp.where(state.first_bad >= 0, jnp.nan, v), told)

        return each(self.mode, one, count, lanes, states)

    def _finish(
        self,
        lanes: jax.Array,
        shared: Shared,
        count: jax.Array,
        states: TrialState,
        which: jax.Array,
    ) -> tuple[jax.Array, jax.Array, Trained]:
        def one(words: jax.Array, state: TrialState) -> tuple[jax.Array, jax.Array, Trained]:
            lane = self._lane(words)
            rows, number = self._rows(lane, shared, which)
            model = evaluation.trained(self.program, state)
            table = evaluation.predict(self.program, lane, shared, model, rows, number)
            return table, trials.final_fingerprint(state), model

        return each(self.mode, one, count, lanes, states)

    # What the host calls: lists with an entry a shard in, lists out.

    def _execute(self, name: str, shard: int, given: tuple[Any, ...]) -> Any:
        """Runs a program on a shard's device and waits for it."""
        return jax.block_until_ready(self._functions[name].on(self.device(shard), given)(*given))

    def call(
        self, name: str, block: Block, shared: Replicated, shard: int, state: Any, *rest: Any
    ) -> Any:
        """Calls a program for one shard and waits for it; `segment` takes the state's memory."""
        given = (block.lanes[shard], shared[self.device(shard)], block.counts[shard], state, *rest)
        return self._execute(name, shard, given)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Has a worker do some work, after all that was submitted before."""
        return self._pool.submit(work, *arguments)

    def on_shards(self, work: Callable[[int], Any], block: Block) -> list[Any]:
        """Does some work for every shard of a block, as workers come free; waits for all."""
        return list(self._pool.map(work, range(len(block.lanes))))

    def compile(self, block: Block, shared: Replicated) -> None:
        """Has all programs compiled at once, on as many cores as there are workers.

        Tracing holds Python's lock, compiling does not: as soon as one is traced it compiles while
        the next is traced. Calls wait for their own program only.
        """
        where = {self.device(shard): shard for shard in reversed(range(len(block.lanes)))}
        known = self._functions["segment"]
        where = {device: shard for device, shard in where.items() if not known.has(device)}
        if not where:
            return
        pool = ThreadPoolExecutor(len(self.workers), thread_name_prefix="compile")
        for device, shard in where.items():
            lanes, count = block.lanes[shard], block.counts[shard]
            place = SingleDeviceSharding(device)
            # Twins have a program of their own: other studies are spared a tenth of the compiling.
            begun = (lanes, count, *self._looked_at(shared, device))
            told = self._functions["initialise"].begin(device, begun, pool.submit)
            states = jax.tree.map(
                lambda one, place=place: jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=place),
                told,
            )
            if block.twins:
                self._functions["twin"].begin(device, (lanes, count, states), pool.submit)
            given = (lanes, shared[device], count, states)
            span, flag = np.int32(0), np.bool_(False)
            self._functions["segment"].begin(device, (*given, span, span), pool.submit)
            self._functions["evaluate"].begin(device, (*given, span, flag), pool.submit)
            self._functions["finish"].begin(device, (*given, span), pool.submit)
        pool.shutdown(wait=False)

    def _looked_at(self, shared: Replicated, device: jax.Device) -> tuple[Shared, ...]:
        """What initialising reads beside the lanes: the rows, where an initialiser wants them."""
        return (shared[device],) if trials.needs_rows(self.program) else ()

    def initialise(self, block: Block, shared: Replicated) -> list[TrialState]:
        """The states before the first step."""

        def begin(shard: int) -> TrialState:
            given = (block.lanes[shard], block.counts[shard])
            rows = self._looked_at(shared, self.device(shard))
            state: TrialState = self._execute("initialise", shard, (*given, *rows))
            return self._execute("twin", shard, (*given, state)) if block.twins else state

        return self.on_shards(begin, block)

    def score(
        self,
        block: Block,
        shared: Replicated,
        shard: int,
        state: TrialState,
        which: int,
        clean: bool,
    ) -> dict[str, jax.Array]:
        """A shard's metrics by name, float32[width], on its device.

        Args:
            which: rows to score: TRAIN, VALIDATION or TEST.
            clean: score on uncorrupted inputs against uncorrupted targets.
        """
        told: dict[str, jax.Array] = self.call(
            "evaluate", block, shared, shard, state, np.int32(which), np.bool_(clean)
        )
        return told

    def evaluate(
        self, block: Block, shared: Replicated, states: list[TrialState], which: int, clean: bool
    ) -> dict[str, np.ndarray]:
        """`score` of all shards: metrics by name, float32[trials]."""
        told = self.on_shards(
            lambda k: self.score(block, shared, k, states[k], which, clean), block
        )
        return self.gather(told, block.trials)

    def finish(
        self, block: Block, shared: Replicated, states: list[TrialState], which: int
    ) -> tuple[np.ndarray, np.ndarray, list[Trained]]:
        """Outputs float32[trials, capacity, outputs] in prepared units, and uint32[trials, 2].

        The second are the fingerprints of the states. The third is what predicts, still a pytree a
        shard on its device (see `gather`).
        """
        rows = np.int32(which)
        told = self.on_shards(
            lambda k: self.call("finish", block, shared, k, states[k], rows), block
        )
        tables, words = self.gather([one[:2] for one in told], block.trials)
        return tables, words, [one[2] for one in told]

    def replicate(self, shared: Shared) -> Replicated:
        """The shared arrays on each device."""
        return {device: jax.device_put(shared, device) for device in set(self.workers)}

    def deal(self, lanes: Sequence[Lane]) -> Block:
        """Deals trials' inputs out to the shards, one to each in turn.

        Places without a trial repeat the first trial's inputs and run no step.

        Args:
            lanes: [trials] at most `self.lanes`, of NumPy arrays.
        """
        self._form = self._form or Words.of(lanes[0])
        words = [self._form.pack(lane) for lane in lanes]
        idle = self._form.pack(lanes[0]._replace(steps=np.zeros((), np.int32)))
        dealt, counts = [], []
        shards = min(self.shards, len(lanes))  # a shard without trials is not even called
        for shard in range(shards):
            mine = words[shard::shards]
            counts.append(jax.device_put(np.int32(len(mine)), self.device(shard)))
            mine += [idle] * (self.width - len(mine))
            dealt.append(jax.device_put(np.stack(mine), self.device(shard)))
        return Block(len(lanes), dealt, counts, any(bool(lane.twin) for lane in lanes))

    def gather(self, shards: Sequence[Any], count: int) -> Any:
        """NumPy arrays [count, ...] in the order of the trials, from a pytree a shard."""

        def join(*leaves: Any) -> np.ndarray:
            # [shards, width, ...] with trial k at shard k mod shards, place k // shards.
            table = np.stack([np.asarray(leaf) for leaf in leaves], axis=1)
            return table.reshape(-1, *table.shape[2:])[:count]

        return jax.tree.map(join, *shards)

    def pick(self, shards: Sequence[Any], places: Sequence[int]) -> Any:
        """NumPy arrays [places, ...] of some trials' places alone, from a pytree a shard."""

        def join(*leaves: Any) -> np.ndarray:
            host = [np.asarray(leaf) for leaf in leaves]
            return np.stack([host[place % len(host)][place // len(host)] for place in places])

        return jax.tree.map(join, *shards)

    def restore(self, arrays: Any) -> list[Any]:
        """A pytree a shard on its device, from one of all their places: see `gather`."""
        shards = jax.tree.leaves(arrays)[0].shape[0] // self.width
        return [
            jax.device_put(
                jax.tree.map(lambda a, k=shard: np.ascontiguousarray(a[k::shards]), arrays),
                self.device(shard),
            )
            for shard in range(shards)
        ]
