"""Studies whose trials can be trained again with rounding changed, or with a small bug planted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convergence import data
from convergence.data.order import epoch_order
from convergence.models import Model, build_model
from convergence.optimizers import Optimizer
from convergence.packing import Packed
from convergence.plan import Group, Plan, Trial
from convergence.randomness import wrap
from convergence.replay import Replay, Retrainer
from convergence.rounding import Bare, Course, Setup, course
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec, TrainSpec
from convergence.spec import validate as validated
from convergence.study import resolve
from convergence.training import trial as steps
from convergence.training.population import Population
from convergence.training.state import Lane, TrialState
from convergence.training.stepper import Stepped

BIAS_DECAY = "bias_decay"  # a hyperparameter of these studies' optimisers
SEEDS = 64


@dataclasses.dataclass(frozen=True)
class Case:
    """A study: one arm a learning rate."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    rates: tuple[float, ...]


_COSINE = TrainSpec(optimizer="adamw", schedule="cosine", steps=1100, weight_decay=0.01)
_MOMENTUM = TrainSpec(optimizer="momentum", schedule="cosine", steps=600, weight_decay=1e-4)
_DROP = TrainSpec(optimizer="adam", schedule="exponential", steps=800, weight_decay=1e-3)
# Reported; the rates of the first reach beyond the onset of chaos (.005 to .007).
REPORTED = {
    "digits mlp": Case(
        DataSpec(dataset="digits"),
        ModelSpec(model="mlp", hidden=(128,) * 4, dropout=0.1),
        dataclasses.replace(_COSINE, batch_size=32),
        (0.001, 0.003, 0.005, 0.007, 0.01, 0.02),
    ),
    "digits cnn": Case(
        DataSpec(dataset="digits"),
        ModelSpec(model="cnn", hidden=(8, 16)),
        dataclasses.replace(_MOMENTUM, batch_size=64),
        (0.01, 0.03, 0.05, 0.1, 0.2, 0.3),
    ),
    "regression mlp": Case(
        DataSpec(dataset="teacher_regression", generated_rows=1200),
        ModelSpec(model="mlp", hidden=(64, 64), dropout=0.1),
        dataclasses.replace(_DROP, batch_size=32),
        (0.001, 0.003, 0.006, 0.01, 0.02, 0.03),
    ),
}
# Thresholds are set on these.
CALIBRATION = {
    "mnist1d mlp": Case(
        DataSpec(dataset="mnist1d", generated_rows=1500),
        ModelSpec(model="mlp", hidden=(96,) * 3, dropout=0.1),
        dataclasses.replace(_COSINE, batch_size=32, steps=900, weight_decay=0.005),
        (0.002, 0.004, 0.008, 0.015, 0.03, 0.06),
    ),
    "mnist1d cnn": Case(
        DataSpec(dataset="mnist1d", generated_rows=1500),
        ModelSpec(model="cnn", hidden=(6, 12)),
        dataclasses.replace(_MOMENTUM, batch_size=48, steps=700, weight_decay=2e-4),
        (0.02, 0.06, 0.15),
    ),
    "regression tanh": Case(
        DataSpec(dataset="teacher_regression", generated_rows=900, data_seed=5),
        ModelSpec(model="mlp", hidden=(48, 32), dropout=0.1, activation="tanh"),
        dataclasses.replace(_DROP, batch_size=24, schedule="cosine"),
        (0.002, 0.008, 0.025, 0.05),
    ),
    "digits wide": Case(
        DataSpec(dataset="digits", outer_split=3),
        ModelSpec(model="mlp", hidden=(160, 80), dropout=0.1),
        dataclasses.replace(_DROP, batch_size=40, steps=1000),
        (0.0015, 0.006, 0.012),
    ),
}
STUDIES = REPORTED | CALIBRATION


def decaying(optimizer: Optimizer, decoupled: bool) -> Optimizer:
    """The optimiser with a decay of biases too, as large as the traced `BIAS_DECAY`."""

    def add(tree: Any, other: Any, factor: Any) -> Any:
        def rest(a: Any, b: Any) -> Any:
            return jax.tree.map(lambda x, y: x + factor * y, a, b)

        if isinstance(tree, Packed):
            return tree._replace(rest=rest(tree.rest, other.rest))
        return jax.tree.map(lambda x, y: x if x.ndim > 1 else x + factor * y, tree, other)

    def update(
        grads: Any, opt_state: Any, params: Any, rate: Any, value: Any, hyper: Any
    ) -> tuple[Any, Any]:
        decay = hyper[BIAS_DECAY]
        if not decoupled:
            grads = add(grads, params, decay)
        new, opt_state = optimizer.update(grads, opt_state, params, rate, value, hyper)
        return (add(new, params, -rate * decay) if decoupled else new), opt_state

    return optimizer._replace(update=update)


class _Plan(Plan):
    """With biases decayed, and each schedule also begun one step late."""

    def __init__(self, study: StudySpec, dataset: data.Dataset) -> None:
        super().__init__(study, dataset)
        late = np.concatenate([self.shapes[:, 1:], self.shapes[:, -1:]], axis=1)
        self.shapes = np.concatenate([self.shapes, late])

    def _algorithm(self, setting: Setting) -> Any:
        made = super()._algorithm(setting)
        decoupled = setting.train.optimizer == "adamw"
        return made._replace(optimizer=decaying(made.optimizer, decoupled))

    def lanes(self, group: Group, trials: tuple[Trial, ...]) -> list[Lane]:
        made = super().lanes(group, trials)
        return [
            lane._replace(hyper=lane.hyper | {BIAS_DECAY: lane.hyper["weight_decay"]})
            for lane in made
        ]


class _Retrainer(Retrainer):
    """Compiles no more than it needs."""

    bare: Population | None = None

    def population(self, trial: int) -> Population:
        if self.bare is None:
            own, program = self.study.machine, self.group(trial).program
            self.bare = Bare(program, self.plan.study.run.lanes, own.workers, own.mode)
        return self.bare


class Trainer:
    """A study's trials, by its own program and by others.

    Args:
        name: of one of `STUDIES`.
    """

    def __init__(self, name: str) -> None:
        self.name, self.case = name, STUDIES[name]
        dataset = data.load(self.case.data)
        setting = Setting(self.case.data, self.case.model, self.case.train)
        arms = tuple(Arm.of(f"{rate:g}", learning_rate=rate) for rate in self.case.rates)
        study = resolve(
            validated(
                StudySpec(setting=setting, run=RunSpec(num_seeds=SEEDS, lanes=64), arms=arms)
            ),
            dataset,
        )
        replay = Replay(None, study, dataset, False, {})  # type: ignore[arg-type]
        self.retrainer = _Retrainer(replay)
        self.retrainer.study.plan = _Plan(study, dataset)
        self._populations: dict[str, Population] = {}

    def trials(self, arm: int, seeds: Sequence[int]) -> tuple[int, ...]:
        """Indices of an arm's trials."""
        return tuple(seed * len(self.case.rates) + arm for seed in seeds)

    @cached_property
    def group(self) -> Group:
        """The study's only program."""
        (group,) = self.retrainer.plan.groups
        return group

    def _population(self, how: str) -> Population:
        if how in self._populations:
            return self._populations[how]
        own = self.retrainer.population(0)
        program, mode, lanes, options = self.group.program, own.mode, own.lanes, None
        algorithm = program.algorithm
        if how.startswith("vmap"):
            mode, lanes = "vmap", int(how.split()[1])
        elif how == "fusion emitters off":
            options = {"xla_cpu_use_fusion_emitters": False}
        elif how == "fast math":
            options = {"xla_cpu_enable_fast_math": True}
        elif how == "convolution":
            algorithm = algorithm._replace(model=self._native())
        elif how == "order of a sum":
            algorithm = algorithm._replace(model=reordered(algorithm.model, self.case.model))
        else:
            assert how in ("", "unrolled"), how
            return own
        program = program._replace(algorithm=algorithm)
        made = Bare(program, lanes, own.workers, mode, options)
        return self._populations.setdefault(how, made)

    def _native(self) -> Model:
        dataset = self.retrainer.replay.dataset
        return build_model(
            self.case.model,
            dataset.shape,
            dataset.outputs,
            use_dropout=self.retrainer.plan.pool.dropout,
            compute_dtype="float32",
            native=True,
        )

    def course(
        self,
        trials: Sequence[int],
        how: str = "",
        bug: Callable[[Trainer, int, Lane], Lane] | None = None,
        dropped: bool = False,
    ) -> Course:
        """Some trials by the program of a variation, with a bug in their inputs.

        Args:
            how: a variation of `VARIATIONS`, "" for none.
            bug: changes a trial's inputs.
            dropped: the first epoch's last batch is dropped.
        """
        lanes = Setup(self.retrainer, tuple(trials)).lanes()
        if bug is not None:
            lanes = [bug(self, trial, lane) for trial, lane in zip(trials, lanes)]
        population = self._population(how)
        shared = self.retrainer.study.shared(population)
        taken = course(population, lanes, shared)
        if how == "unrolled":
            device = population.workers[0]
            taken = Unrolled(taken, self, lanes, shared[device])
        return Dropped(taken, self, lanes) if dropped else taken

    @cached_property
    def unrolled(self) -> dict[int, Any]:
        """One step, and four in a row without a loop."""
        program = self.group.program

        def one(lane: Lane, shared: Any, state: TrialState) -> Any:
            order = jax.lax.cond(
                steps.epoch_begins(program, lane, state.step),
                lambda: steps.draw_order(program, lane, state.step),
                lambda: state.order,
            )
            state = state._replace(order=order)
            state, told = steps.advance(program, lane, shared, state, state.step)
            return steps.write_marks(program, shared, state), jnp.stack([told.loss, told.grad_norm])

        def four(lane: Lane, shared: Any, state: TrialState) -> Any:
            return jax.lax.scan(
                lambda s, _: one(lane, shared, s), state, None, length=4, unroll=True
            )

        return {1: jax.jit(one), 4: jax.jit(four)}


class Unrolled:
    """A course whose steps are laid out one after another in the program."""

    def __init__(self, own: Course, trainer: Trainer, lanes: Sequence[Lane], shared: Any) -> None:
        self._own, self._trainer, self._lanes, self._shared = own, trainer, lanes, shared

    def initial(self) -> TrialState:
        return self._own.initial()

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        ends, traces = [], []
        for place, lane in enumerate(self._lanes):
            mine = jax.tree.map(lambda a, p=place: jnp.asarray(a[p]), state)
            step, told = start, [np.zeros((0, 2), np.float32)]
            while step < until:
                length = 4 if step + 4 <= until else 1
                mine, trace = self._trainer.unrolled[length](lane, self._shared, mine)
                told.append(np.asarray(trace).reshape(-1, 2))
                step += length
            ends.append(jax.tree.map(np.asarray, mine))
            traces.append(np.concatenate(told))
        return Stepped(jax.tree.map(lambda *a: np.stack(a), *ends), np.stack(traces))


class Dropped:
    """A course without the first epoch's last batch: the next epoch's first stands in its place.

    From then on all is as it was; a program that drops it shifts all later batches too.
    """

    def __init__(self, own: Course, trainer: Trainer, lanes: Sequence[Lane]) -> None:
        self._own = own
        size = trainer.case.train.batch_size
        counts = {int(lane.train_count) for lane in lanes}
        (count,) = counts
        self._last = count // size - 1
        self._place = slice(self._last * size, (self._last + 1) * size)
        capacity = trainer.group.program.capacity
        orders = [epoch_order(wrap(lane.keys["order"]), 1, count, capacity) for lane in lanes]
        self._rows = np.stack([np.asarray(order[:size]) for order in orders])

    def initial(self) -> TrialState:
        return self._own.initial()

    def advance(self, state: TrialState, start: int, until: int) -> Stepped:
        traces = []
        if start <= self._last < until:
            if start < self._last:
                state, trace = self._own.advance(state, start, self._last)
                traces.append(trace)
                start = self._last
            order = np.array(state.order)
            order[:, self._place] = self._rows
            state = state._replace(order=order)
        told = self._own.advance(state, start, until)
        return told._replace(trace=np.concatenate([*traces, told.trace], axis=1))


def reordered(model: Model, told: ModelSpec) -> Model:
    """The same model with one sum taken the other way round.

    An MLP's first product runs over its inputs from the last to the first; other models see a
    batch's rows in reverse, so that the gradient's sum over them does.
    """

    def apply(params: Any, state: Any, x: Any, **options: Any) -> tuple[Any, Any]:
        if told.model != "mlp":
            assert not model.has_dropout  # a row would meet another's mask
            outputs, state = model.apply(params, state, x[::-1], **options)
            return outputs[::-1], state
        first = sorted(name for name in params if name != "output")[0]
        layer = params[first]
        turned = params | {first: layer | {"kernel": layer["kernel"][::-1]}}
        return model.apply(turned, state, jnp.flip(x, range(1, x.ndim)), **options)

    return model._replace(apply=apply)
