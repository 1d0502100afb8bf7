"""From a study's spec and a dataset to trials, programs, blocks and lanes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence import names, randomness, schedules, spec, weights
from convergence.data import Dataset, View, make_view, outer_split
from convergence.errors import UserError
from convergence.losses import build_loss
from convergence.models import build_model
from convergence.optimizers import build_optimizer
from convergence.packing import Packing
from convergence.spec import Arm, DataSpec, Setting, StudySpec
from convergence.training.evaluation import CHUNK
from convergence.training.program import Initialiser, Program
from convergence.training.state import Lane
from convergence.training.step import Algorithm

SPLITTING = ("split", "corrupt")  # the sources that decide what a trial sees of the dataset
INPUTS_KEPT = 128  # at least: inputs of an arm that its seeds have in common
TABLE_STEP = 256  # the schedules' table has a multiple of so many columns: fewer program shapes
_Place = tuple[DataSpec, int, int]  # of a view: its data, streams of SPLITTING


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training run of a study."""

    index: int
    arm: int
    replica: int
    steps: int


@dataclasses.dataclass(frozen=True)
class Pool:
    """What all programs of a study have in common, from its arms and its context, in any order."""

    losses: tuple[str, ...]
    dropout: bool  # some arm drops units
    clips: bool  # some arm clips gradients
    noisy: bool  # some arm adds input noise

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> Pool:
        """The pool that these settings need."""
        return cls(
            losses=tuple(sorted({s.train.loss for s in settings})),
            dropout=any(s.model.dropout > 0 for s in settings),
            clips=any(s.train.clip_norm > 0 for s in settings),
            noisy=any(s.data.input_noise > 0 for s in settings),
        )


@dataclasses.dataclass(frozen=True)
class Group:
    """The trials that run in one program, in the order in which blocks take them.

    Two groups of equal keys have the same program, whatever study they are of.
    """

    key: tuple[Any, ...]
    program: Program
    trials: tuple[Trial, ...]

    @property
    def arms(self) -> int:
        """How many arms of the study are in this group."""
        return len({trial.arm for trial in self.trials})

    def blocks(self, lanes: int) -> list[tuple[Trial, ...]]:
        """Whole seeds to a block where they fit: the trials of a seed belong together."""
        arms = self.arms
        size = lanes // arms * arms if arms <= lanes else lanes
        return [self.trials[k : k + size] for k in range(0, len(self.trials), size)]


def initialiser(setting: Setting) -> Initialiser:
    """How the setting's weights are drawn."""
    return Initialiser(setting.model.init, setting.model.bias)


def _same_data(base: DataSpec, other: DataSpec, arm: Arm) -> None:
    free = {"train_size", "preprocessing", "label_noise", "outliers", "outlier_scale"}
    free |= {"input_noise", "duplicates", "imbalance"}
    for field in dataclasses.fields(DataSpec):
        if field.name not in free and getattr(base, field.name) != getattr(other, field.name):
            raise UserError(f"arm {arm.name!r} changes {field.name}: arms share one dataset.")


def _active(x: np.ndarray) -> np.ndarray:
    """bool[features]: columns of [n, features] that vary, missing values left out."""
    there = ~np.isnan(x)
    low = np.min(x, axis=0, where=there, initial=np.inf)
    return np.max(x, axis=0, where=there, initial=-np.inf) > low


def _static(setting: Setting) -> tuple[Any, ...]:
    """All of a setting that shapes its program, without what lanes choose or carry as numbers."""
    plain = setting.changed(dict.fromkeys(spec.TRACED, 1.0) | {"init": "default"})
    if plain.model.bias != "none":  # a model without biases is another
        plain = plain.changed({"bias": "zero"})
    train = plain.train
    return (plain.model, train.optimizer, train.batch_size, train.accumulate, train.compute_dtype)


class Plan:
    """A study laid out on its dataset.

    Args:
        study: the validated spec.
        dataset: the loaded data.

    Raises:
        UserError: an arm cannot be trained on these data (loss and task, batch and rows, …).
    """

    def __init__(self, study: StudySpec, dataset: Dataset) -> None:
        self.study = study
        self.dataset = dataset
        self.settings = tuple(study.arm_setting(arm) for arm in study.arms)
        for arm, setting in zip(study.arms, self.settings):
            _same_data(study.setting.data, setting.data, arm)
        self._context = tuple(study.arm_setting(arm) for arm in study.context)
        self.pool = Pool.of((*self.settings, *self._context))
        starts: dict[Any, set[Initialiser]] = {}  # each program draws weights as its arms want
        for one in (*self.settings, *self._context):
            starts.setdefault(_static(one), set()).add(initialiser(one))
        self._initialisers = {static: tuple(sorted(found)) for static, found in starts.items()}
        self.development, self.test = outer_split(dataset, study.setting.data)
        # Noise on the inputs is added as they are read: it is no part of what a trial sees.
        self._data = [dataclasses.replace(s.data, input_noise=0.0) for s in self.settings]
        self._views: dict[_Place, View] = {}
        kept = max(INPUTS_KEPT, len(study.arms))  # trials come seed by seed
        self._inputs = functools.lru_cache(kept)(self._make_inputs)
        run = study.run
        self.replicas = np.arange(run.first_replica, run.first_replica + run.num_seeds)
        self.arm_steps = tuple(self._steps(arm) for arm in range(len(study.arms)))
        self.total_steps = max(self.arm_steps)
        self._lay_schedules()
        self.groups = self._lay_groups()
        self.trials = tuple(
            sorted((t for g in self.groups for t in g.trials), key=lambda t: t.index)
        )

    # What varies between replicas of an arm.
    def varied(self, arm: int) -> tuple[str, ...]:
        """The sources that differ between this arm's replicas."""
        own = self.study.arms[arm].vary
        return self.study.run.vary if own is None else own

    def view(self, arm: int, replica: int) -> View:
        """What a trial of this arm and replica sees of the dataset."""
        return self._view(self._place(arm, replica))

    def _place(self, arm: int, replica: int) -> _Place:
        split, corrupt = (self._stream(arm, replica, source) for source in SPLITTING)
        return self._data[arm], split, corrupt

    def _stream(self, arm: int, replica: int, source: str) -> int:
        """Index of the stream of a source that a trial draws from."""
        return replica if source in self.varied(arm) else self._frozen(arm, source)

    def _frozen(self, arm: int, source: str) -> int:
        """Index of the stream of a source that all replicas of an arm share."""
        return randomness.SHARED - dict(self.study.arms[arm].draws).get(source, 0)

    def _view(self, place: _Place) -> View:
        if place not in self._views:
            data, *replicas = place
            seed = self.study.run.seed
            keys = (randomness.host_key(seed, s, k) for s, k in zip(SPLITTING, replicas))
            self._views[place] = make_view(self.dataset, data, self.development, *keys)
        return self._views[place]

    def _per_epoch(self, arm: int, replica: int) -> int:
        """Steps in one pass over the training rows; raises UserError where not one batch fits."""
        rows = len(self.view(arm, replica).train)
        size = self.settings[arm].train.batch_size
        if size > rows:
            raise UserError(
                f"{size} rows a step, but there are only {rows} training rows"
                f" (of {len(self.dataset.y)} in all); give a smaller one.",
                "batch_size",
            )
        return rows // size

    def _steps(self, arm: int) -> int:
        train = self.settings[arm].train
        per_epoch = self._per_epoch(arm, int(self.replicas[0]))
        return train.epochs * per_epoch if train.epochs else train.steps

    def _lay_schedules(self) -> None:
        """The table of shapes: arms whose rate takes the same course share a row."""
        width = max(TABLE_STEP, -(-self.total_steps // TABLE_STEP) * TABLE_STEP)
        first = int(self.replicas[0])
        lengths = [self._per_epoch(arm, first) for arm in range(len(self.settings))]
        laid = list(zip((s.train for s in self.settings), self.arm_steps, lengths))
        rows = len(self.view(0, first).train)
        for train in (s.train for s in self._context if not s.train.epochs):
            if train.steps <= self.total_steps:
                laid.append((train, train.steps, rows // train.batch_size))
        table: dict[bytes, np.ndarray] = {}
        places = []
        for train, steps, per_epoch in laid:
            row = np.ones(width, np.float32)
            row[:steps] = schedules.shape(
                train.schedule, steps, warmup=train.warmup, steps_per_epoch=per_epoch
            )
            table.setdefault(row.tobytes(), row)
            places.append(list(table).index(row.tobytes()))
        self.schedule_of_arm = places[: len(self.settings)]
        self.shapes = np.stack(list(table.values()))

    @property
    def contaminated(self) -> bool:
        """Whether some arm is told wrong targets or inputs."""
        spoiled = ("label_noise", "outliers", "input_noise")
        return any(s.get(name) for s in self.settings for name in spoiled)

    def _algorithm(self, setting: Setting) -> Algorithm:
        train = setting.train
        model = build_model(
            setting.model,
            self.dataset.shape,
            self.dataset.outputs,
            use_dropout=self.pool.dropout,
            compute_dtype=train.compute_dtype,
        )
        packing = Packing.of(model.form(self.dataset.shape)[0])
        return Algorithm(
            model=model,
            losses=tuple(build_loss(loss, self.dataset.task) for loss in self.pool.losses),
            optimizer=build_optimizer(train.optimizer, packing),
            batch_size=train.batch_size,
            accumulate=train.accumulate,
            clips=self.pool.clips,
            packing=packing,
        )

    def _program(self, setting: Setting) -> Program:
        longest = max(len(self.development), len(self.test), 1)
        return Program(
            algorithm=self._algorithm(setting),
            initialisers=self._initialisers[_static(setting)],
            task=self.dataset.task,
            shape=self.dataset.shape,
            missing=bool(np.isnan(self.dataset.x).any()),
            noisy=self.pool.noisy,
            capacity=-(-longest // CHUNK) * CHUNK,
        )

    def _lay_groups(self) -> tuple[Group, ...]:
        """Arms that differ in numbers, schedule, loss, initialiser or data view share a program."""
        arms_of: dict[Any, list[int]] = {}
        for arm, setting in enumerate(self.settings):
            arms_of.setdefault(_static(setting), []).append(arm)
        groups = []
        for static, arms in arms_of.items():
            program = self._program(self.settings[arms[0]])
            for arm in arms:
                weights.check(self.settings[arm].model, program.algorithm.model, self.dataset.shape)
            trials = tuple(
                Trial(k * len(self.settings) + arm, arm, int(replica), self.arm_steps[arm])
                for k, replica in enumerate(self.replicas)
                for arm in arms
            )
            pool = (self.pool, program.initialisers)
            key = (static, pool, program.capacity, self.shapes.shape, self.dataset.digest)
            groups.append(Group(key, program, trials))
        return tuple(groups)

    def lanes(self, group: Group, trials: tuple[Trial, ...]) -> list[Lane]:
        """The lanes' inputs (NumPy arrays) of some trials of a group."""
        tables: dict[Any, dict[str, np.ndarray]] = {}
        replicas = np.array(sorted({trial.replica for trial in trials}))
        kinds = {
            arm: (self.varied(arm), self.study.arms[arm].draws)
            for arm in {trial.arm for trial in trials}
        }
        for kind in set(kinds.values()):
            varied, draws = kind[0], dict(kind[1])
            tables[kind] = randomness.key_table(self.study.run.seed, replicas, varied, draws)
        place = {int(replica): k for k, replica in enumerate(replicas)}
        return [
            self._lane(group, trial, tables[kinds[trial.arm]], place[trial.replica])
            for trial in trials
        ]

    def _lane(self, group: Group, trial: Trial, keys: dict[str, np.ndarray], row: int) -> Lane:
        self._per_epoch(trial.arm, trial.replica)  # imbalance leaves some replicas a row less
        place = self._place(trial.arm, trial.replica)
        common = self._inputs(trial.arm, place, group.program.capacity)
        own = {source: keys[source][row] for source in names.SOURCES}
        later, epochs = own["order"], self.study.arms[trial.arm].order_epochs
        if epochs:
            frozen = self._frozen(trial.arm, "order")
            later = randomness.host_key(self.study.run.seed, "order", frozen)
        return common._replace(
            keys=own,
            later_order=later,
            order_epochs=np.int32(epochs),
            steps=np.int32(trial.steps),
        )

    def _make_inputs(self, arm: int, place: _Place, capacity: int) -> Lane:
        """The inputs of an arm's trials with this view, but for keys and steps."""
        setting, view = self.settings[arm], self._view(place)

        def padded(rows: np.ndarray) -> np.ndarray:
            out = np.zeros(capacity, np.int32)
            out[: len(rows)] = rows
            return out

        return Lane(
            keys={},
            later_order=np.zeros(2, np.uint32),
            order_epochs=np.int32(0),
            hyper={k: np.float32(v) for k, v in spec.hyperparameters(setting).items()},
            loss=np.int32(self.pool.losses.index(setting.train.loss)),
            schedule=np.int32(self.schedule_of_arm[arm]),
            plateau=np.float32(setting.train.schedule == "plateau"),
            steps=np.int32(0),
            initialiser=np.int32(self._initialisers[_static(setting)].index(initialiser(setting))),
            twin=np.bool_(self.study.arms[arm].twin),
            rows=padded(view.train),
            train_count=np.int32(len(view.train)),
            validation=padded(view.validation),
            validation_count=np.int32(len(view.validation)),
            targets=view.targets,
            x_mean=view.x_mean,
            x_scale=view.x_scale,
            y_mean=np.float32(view.y_mean),
            y_scale=np.float32(view.y_scale),
            prior=self._prior(view),
            active=_active(self.dataset.x[view.train]),
        )

    def _prior(self, view: View) -> np.ndarray:
        """Log frequencies of the training classes (one row added to each); 0 for regression."""
        if self.dataset.task == "regression":
            return np.zeros(1, np.float32)
        counts = np.bincount(view.targets[view.train], minlength=self.dataset.num_classes) + 1
        return np.log(counts / counts.sum()).astype(np.float32)
