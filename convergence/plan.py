"""From a study's spec and a dataset to trials, programs, blocks and lanes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from convergence import names, randomness, schedules, spec
from convergence.data import Dataset, View, make_view, outer_split
from convergence.errors import UserError
from convergence.losses import build_loss
from convergence.models import build_model
from convergence.optimizers import build_optimizer
from convergence.spec import Arm, DataSpec, Setting, StudySpec
from convergence.training.state import Lane
from convergence.training.step import Algorithm
from convergence.training.trial import CHUNK, Initialiser, Program

TABLE_STEP = 256  # the schedules' table has a multiple of so many columns: fewer program shapes


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training run of a study."""

    index: int
    arm: int
    replica: int
    steps: int


@dataclasses.dataclass(frozen=True)
class Group:
    """The trials that run in one program, in the order in which blocks take them."""

    program: Program
    trials: tuple[Trial, ...]

    def blocks(self, lanes: int, arms: int) -> list[tuple[Trial, ...]]:
        """Whole seeds to a block where they fit: `arms` trials of each seed belong together."""
        size = lanes // arms * arms if arms <= lanes else lanes
        return [self.trials[k : k + size] for k in range(0, len(self.trials), size)]


def _same_data(base: DataSpec, other: DataSpec, arm: Arm) -> None:
    free = {"train_size", "preprocessing", "label_noise", "outliers", "outlier_scale"}
    free |= {"input_noise", "duplicates", "imbalance"}
    for field in dataclasses.fields(DataSpec):
        if field.name not in free and getattr(base, field.name) != getattr(other, field.name):
            raise UserError(f"arm {arm.name!r} changes {field.name}: arms share one dataset.")


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
        self.development, self.test = outer_split(dataset, study.setting.data)
        self._views: dict[Any, View] = {}
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
        data = dataclasses.replace(self.settings[arm].data, input_noise=0.0)
        varied = self.varied(arm)
        index = {s: replica if s in varied else None for s in ("split", "corrupt")}
        place = (data, index["split"], index["corrupt"])
        if place not in self._views:
            seed = self.study.run.seed
            keys = {s: randomness.source_key(seed, s, index[s]) for s in index}
            self._views[place] = make_view(
                self.dataset, data, self.development, keys["split"], keys["corrupt"]
            )
        return self._views[place]

    def _steps(self, arm: int) -> int:
        train = self.settings[arm].train
        rows = len(self.view(arm, int(self.replicas[0])).train)
        if train.batch_size > rows:
            raise UserError(
                f"{train.batch_size} rows a step, but there are only {rows} training rows"
                f" (of {len(self.dataset.y)} in all); give a smaller one.",
                "batch_size",
            )
        return train.epochs * (rows // train.batch_size) if train.epochs else train.steps

    def _lay_schedules(self) -> None:
        rows: dict[tuple[Any, ...], np.ndarray] = {}
        width = max(TABLE_STEP, -(-self.total_steps // TABLE_STEP) * TABLE_STEP)
        self.schedule_of_arm = []
        for arm, setting in enumerate(self.settings):
            train, steps = setting.train, self.arm_steps[arm]
            place = (train.schedule, train.warmup, steps)
            if place not in rows:
                count = len(self.view(arm, int(self.replicas[0])).train)
                row = np.ones(width, np.float32)
                row[:steps] = schedules.shape(
                    train.schedule,
                    steps,
                    warmup=train.warmup,
                    steps_per_epoch=count // train.batch_size,
                )
                rows[place] = row
            self.schedule_of_arm.append(list(rows).index(place))
        self.shapes = np.stack(list(rows.values()))

    @property
    def contaminated(self) -> bool:
        """Whether some arm is told wrong targets."""
        return any(s.data.label_noise or s.data.outliers for s in self.settings)

    def _algorithm(self, setting: Setting) -> Algorithm:
        model, train = setting.model, setting.train
        return Algorithm(
            model=build_model(
                model,
                self.dataset.shape,
                self.dataset.outputs,
                use_dropout=any(s.model.dropout > 0 for s in self.settings),
                compute_dtype=train.compute_dtype,
            ),
            loss=build_loss(train.loss, self.dataset.task),
            optimizer=build_optimizer(train.optimizer),
            batch_size=train.batch_size,
            accumulate=train.accumulate,
            clips=any(s.train.clip_norm > 0 for s in self.settings),
        )

    def _lay_groups(self) -> tuple[Group, ...]:
        """Arms that differ in numbers, schedule, initialiser or data view share a program."""
        arms_of: dict[Any, list[int]] = {}
        for arm, setting in enumerate(self.settings):
            arms_of.setdefault(self._static(setting), []).append(arm)
        sizes = (len(self.development), len(self.test), 1)
        capacity = -(-max(sizes) // CHUNK) * CHUNK
        groups = []
        for arms in arms_of.values():
            starts = tuple(dict.fromkeys(self._initialiser(self.settings[arm]) for arm in arms))
            program = Program(
                algorithm=self._algorithm(self.settings[arms[0]]),
                initialisers=starts,
                task=self.dataset.task,
                shape=self.dataset.shape,
                missing=bool(np.isnan(self.dataset.x).any()),
                noisy=any(s.data.input_noise > 0 for s in self.settings),
                capacity=capacity,
            )
            trials = tuple(
                Trial(k * len(self.settings) + arm, arm, int(replica), self.arm_steps[arm])
                for k, replica in enumerate(self.replicas)
                for arm in arms
            )
            groups.append(Group(program, trials))
        return tuple(groups)

    @staticmethod
    def _initialiser(setting: Setting) -> Initialiser:
        return Initialiser(setting.model.init, setting.model.bias)

    @staticmethod
    def _static(setting: Setting) -> tuple[Any, ...]:
        """All of a setting that shapes its program, without the numbers that are traced."""
        defaults = {name: 1.0 for name in spec.TRACED}
        plain = setting.changed(defaults | {"init": "default", "bias": "zero"})
        train = plain.train
        return (plain.model, train.loss, train.optimizer, train.batch_size) + (
            train.accumulate,
            train.compute_dtype,
        )

    def blocks(self, lanes: int) -> Iterator[tuple[Group, tuple[Trial, ...]]]:
        """All blocks of the study, in the order in which they run."""
        for group in self.groups:
            arms = len({trial.arm for trial in group.trials})
            for trials in group.blocks(lanes, arms):
                yield group, trials

    def lanes(self, group: Group, trials: tuple[Trial, ...]) -> list[Lane]:
        """The lanes' inputs (NumPy arrays) of some trials of a group."""
        tables: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
        replicas = np.array(sorted({trial.replica for trial in trials}))
        for arm in {trial.arm for trial in trials}:
            varied = self.varied(arm)
            if varied not in tables:
                tables[varied] = randomness.key_table(self.study.run.seed, replicas, varied)
        place = {int(replica): k for k, replica in enumerate(replicas)}
        return [
            self._lane(group, trial, tables[self.varied(trial.arm)], place[trial.replica])
            for trial in trials
        ]

    def _lane(
        self, group: Group, trial: Trial, keys: dict[str, np.ndarray], row: int
    ) -> Lane:
        setting, view = self.settings[trial.arm], self.view(trial.arm, trial.replica)
        arm = self.study.arms[trial.arm]
        capacity = group.program.capacity

        def padded(rows: np.ndarray) -> np.ndarray:
            out = np.zeros(capacity, np.int32)
            out[: len(rows)] = rows
            return out

        inputs = self.dataset.x[view.train]
        return Lane(
            keys={source: keys[source][row] for source in names.SOURCES},
            hyper={k: np.float32(v) for k, v in spec.hyperparameters(setting).items()},
            schedule=np.int32(self.schedule_of_arm[trial.arm]),
            plateau=np.float32(setting.train.schedule == "plateau"),
            steps=np.int32(trial.steps),
            initialiser=np.int32(group.program.initialisers.index(self._initialiser(setting))),
            twin=np.bool_(arm.twin),
            rows=padded(view.train),
            count=np.int32(len(view.train)),
            validation=padded(view.validation),
            validation_count=np.int32(len(view.validation)),
            targets=view.targets,
            x_mean=view.x_mean,
            x_scale=view.x_scale,
            y_mean=np.float32(view.y_mean),
            y_scale=np.float32(view.y_scale),
            prior=self._prior(view),
            active=np.nanmax(inputs, axis=0) > np.nanmin(inputs, axis=0),
        )

    def _prior(self, view: View) -> np.ndarray:
        """Log frequencies of the training classes (one row added to each); 0 for regression."""
        if self.dataset.task == "regression":
            return np.zeros(1, np.float32)
        counts = np.bincount(view.targets[view.train], minlength=self.dataset.num_classes) + 1
        return np.log(counts / counts.sum()).astype(np.float32)
