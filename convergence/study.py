"""The hall: from a study's spec and its data to records, in memory or in a workdir."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from convergence import names, saving, spec
from convergence.data import Dataset, outer_split
from convergence.errors import UserError
from convergence.history import History
from convergence.pairs import pairs
from convergence.plan import Group, Plan, Trial
from convergence.reporting.checkpoints import CheckpointFolder
from convergence.reporting.provenance import usable_cores
from convergence.reporting.workdir import Workdir
from convergence.spec import StudySpec
from convergence.training.blocks import BlockRun, Cadence, Want
from convergence.training.population import Population, Replicated
from convergence.training.state import MARKS, Shared
from convergence.training.twins import steps as twin_steps
from convergence.watch import Look, Watcher

DEFAULT_MARGINS = {"accuracy": 0.01, "cross_entropy": 0.02, "brier": 0.01, "r2": 0.01}
RELATIVE_MARGIN = 0.02  # of the target's standard deviation: rmse, mae


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where a study runs.

    Attributes:
        workers: the device of each worker; on CPU the first device, once for each core to use.
        mode: how the lanes of a shard run, ``map`` (on CPU) or ``vmap``.
    """

    workers: tuple[jax.Device, ...]
    mode: str

    @classmethod
    def here(cls, workers: int = 0) -> Machine:
        """This process's devices, or `workers` threads on CPU (0: one for each usable core)."""
        devices = tuple(jax.local_devices())
        if devices[0].platform != "cpu":
            return cls(devices, "vmap")
        return cls(devices[:1] * (workers or usable_cores()), "map")


def resolve(study: StudySpec, dataset: Dataset) -> StudySpec:
    """The study with its defaults by task filled in and checked: metric, margin, twins, cadences.

    Raises:
        UserError: the metric does not fit the task.
    """
    run = study.run
    offered = (
        names.CLASSIFICATION_METRICS
        if dataset.task == "classification"
        else names.REGRESSION_METRICS
    )
    metric = offered[0] if run.metric == "auto" else run.metric
    if metric not in offered:
        raise UserError(
            f"{metric} does not fit a {dataset.task}; those that do: {', '.join(offered)}.",
            "metric",
        )
    margin = run.margin or DEFAULT_MARGINS.get(metric, 0.0)
    if not margin:
        development, _ = outer_split(dataset, study.setting.data)
        spread = dataset.y[development].astype(np.float64).std()  # test rows decide nothing
        margin = float(np.float32(RELATIVE_MARGIN * spread))
    arms = study.arms
    if run.twin:
        twins = [
            dataclasses.replace(arm, name=f"{arm.name} twin", twin=True)
            for arm in arms
            if not arm.twin
        ]
        arms = (*arms, *twins)
    run = dataclasses.replace(run, metric=metric, margin=margin, twin=False)
    return spec.validate(dataclasses.replace(study, run=run, arms=arms))


def cadence(plan: Plan, segment: int = 0, twins: bool = False) -> Cadence:
    """When the host looks at this study's trials, and – where asked for – at its twins.

    Raises:
        UserError: more fingerprints are asked for than are kept.
    """
    run, total = plan.study.run, plan.total_steps
    every = run.fingerprint_every
    if every and total // every > MARKS:
        raise UserError(
            f"every {every} of {total} steps makes {total // every} fingerprints; at most {MARKS}"
            f" are kept: give at least {-(-total // MARKS)}.",
            "fingerprint_every",
        )
    twentieth = max(1, -(-total // 20))
    saved = run.checkpoint_every or (twentieth if run.keep_checkpoints else 0)
    watched = twin_steps(total) if twins else ()
    return Cadence(total, run.eval_every or twentieth, saved, segment, watched)


class Study:
    """A study about to run.

    Args:
        study: a resolved spec (`resolve`).
        dataset: its data.
        machine: workers and mode.
        want: what is computed beside the training.
        workdir: where records and checkpoints go; None keeps all in memory.
        segment: return to the host at least every so many steps (0: as evaluations need).
        progress: called with (trial steps done, of all, trials diverged so far).
        watcher: told of the study while it runs; may be set until it does.
        populations: compiled programs to share between studies of one process; filled here.
    """

    def __init__(
        self,
        study: StudySpec,
        dataset: Dataset,
        machine: Machine | None = None,
        want: Want | None = None,
        workdir: Workdir | None = None,
        segment: int = 0,
        progress: Callable[[int, int, int], None] | None = None,
        watcher: Watcher | None = None,
        populations: dict[Any, Population] | None = None,
    ) -> None:
        self._populations = {} if populations is None else populations
        self.plan = Plan(study, dataset)
        self.machine = machine or Machine.here()
        want = want or Want()
        self.cadence = cadence(self.plan, segment, want.twins)
        self.want = dataclasses.replace(want, clean=self.plan.contaminated)
        self.workdir = workdir
        self.store = CheckpointFolder(workdir, study.run.keep_checkpoints) if workdir else None
        self._kept = saving.kept_trials(self.plan) if workdir else frozenset()
        self._progress = progress or (lambda done, total, diverged: None)
        self.watcher = watcher
        self._done = self._diverged = self._finished = 0

    def population(self, group: Group) -> Population:
        """The compiled program of a group, made where there is none yet."""
        lanes, machine = self.plan.study.run.lanes, self.machine
        key = (group.key, lanes, machine)
        if key not in self._populations:
            self._populations[key] = Population(group.program, lanes, machine.workers, machine.mode)
        return self._populations[key]

    def shared(self, population: Population) -> Replicated:
        """What all trials read, on a program's devices."""
        return population.replicate(self.common(population.program.capacity))

    def common(self, capacity: int) -> Shared:
        """What all trials read, as NumPy arrays; lists of rows are of the program's capacity."""
        plan = self.plan
        test = np.zeros(capacity, np.int32)
        test[: len(plan.test)] = plan.test
        return Shared(
            x=plan.dataset.x,
            y=plan.dataset.y,
            test=test,
            test_count=np.int32(len(plan.test)),
            shapes=plan.shapes,
            fingerprint_every=np.int32(plan.study.run.fingerprint_every),
        )

    def _block(
        self,
        population: Population,
        shared: Replicated,
        group: Group,
        trials: tuple[Trial, ...],
        number: int,
    ) -> dict[str, np.ndarray]:
        total = sum(trial.steps for trial in self.plan.trials)

        def told(step: int, diverged: int, scores: Mapping[str, np.ndarray]) -> None:
            done = self._done + sum(min(step, trial.steps) for trial in trials)
            diverged += self._diverged
            self._progress(done, total, diverged)
            if self.watcher:
                finished = self._finished + sum(step >= trial.steps for trial in trials)
                self.watcher.looked(Look(done, total, finished, diverged, scores))

        kept = tuple(place for place, t in enumerate(trials) if t.index in self._kept)
        run = BlockRun(
            population,
            self.plan.lanes(group, trials),
            shared,
            self.cadence,
            dataclasses.replace(
                self.want, trained=kept, pairs=pairs(self.plan, trials) if self.want.twins else ()
            ),
            number,
            self.store,
            told,
            _indices(trials),
        )
        arrays = run.run()
        if self.workdir and run.trained is not None:
            indices = _indices(trials)[list(kept)]
            saving.save_block(self.workdir, number, indices, run.trained)
        if "predictions" in arrays:
            rows = len(self.plan.test)
            if not self.want.test:
                rows = max(len(self.plan.view(t.arm, t.replica).validation) for t in trials)
            arrays["predictions"] = arrays["predictions"][:, :rows]
        # Copies: slices would keep the padded tables alive that they were cut from.
        return {name: np.array(values) for name, values in arrays.items()}

    def run(self) -> History:
        """Trains every trial; the records in the order of `Plan.trials`.

        Blocks that an earlier, interrupted run finished are read back, not trained again.

        Raises:
            UserError: distances are wanted of twins that would run in another block than their
                trials; told before anything is trained.
        """
        for group in self.plan.groups if self.want.twins else ():
            for trials in group.blocks(self.population(group).lanes):
                pairs(self.plan, trials)
        if self.workdir and (told := saving.told_kept(self.plan)):
            self.workdir.messages.append(told)
        collected: list[tuple[tuple[Trial, ...], dict[str, np.ndarray]]] = []
        number = 0
        for group in self.plan.groups:
            population = self.population(group)
            shared = self.shared(population)
            for trials in group.blocks(population.lanes):
                arrays = self._recorded(number, trials)
                if arrays is None:
                    arrays = self._block(population, shared, group, trials, number)
                    self._keep(number, trials, arrays)
                collected.append((trials, arrays))
                self._done += sum(trial.steps for trial in trials)
                self._finished += len(trials)
                self._diverged += int((arrays["first_bad"] >= 0).sum())
                if self.watcher:
                    self.watcher.ended(trials, arrays)
                number += 1
        if self.workdir:
            saving.remove_others(self.workdir, range(number))
        return History(self.plan, np.array(self.cadence.eval_steps()), merge(collected))

    def _keep(self, number: int, trials: tuple[Trial, ...], arrays: dict[str, np.ndarray]) -> None:
        if self.workdir and self.store:
            self.workdir.save_block(number, arrays | {"trial": _indices(trials)})
            self.store.clear(number)

    def _recorded(self, number: int, trials: tuple[Trial, ...]) -> dict[str, np.ndarray] | None:
        """What an earlier run recorded of this block, or None where it must run (again)."""
        arrays = self.workdir.load_block(number) if self.workdir else None
        if self.workdir is None or arrays is None:
            return None
        indices = _indices(trials)
        if not np.array_equal(arrays.pop("trial", ()), indices):
            told = "Blocks that another number of devices had finished are computed again."
            if told not in self.workdir.messages:
                self.workdir.messages.append(told)
            return None
        kept = [index for index in indices.tolist() if index in self._kept]
        if kept and not saving.block_is_whole(self.workdir, number, kept):
            self.workdir.messages.append(
                f"The final params of block {number} are missing or damaged; it is computed again."
            )
            return None
        return arrays

    def estimate(self) -> dict[str, Any]:
        """What the study would cost, with nothing trained: see `--dry_run`."""
        trials, parameters = len(self.plan.trials), []
        for group in self.plan.groups:
            model, shape = group.program.algorithm.model, group.program.shape
            tree = model.form(shape)[0]
            parameters.append(sum(int(np.prod(a.shape)) for a in jax.tree.leaves(tree)))
        steps = sum(trial.steps for trial in self.plan.trials)
        return {
            "trials": trials,
            "programs": len(self.plan.groups),
            "steps": steps,
            "parameters": max(parameters),
            "saved_bytes": saving.seed_size(self.plan) * saving.kept_seeds(self.plan),
        }


def _indices(trials: Sequence[Trial]) -> np.ndarray:
    return np.array([trial.index for trial in trials], np.int32)


def merge(
    collected: Sequence[tuple[Sequence[Trial], dict[str, np.ndarray]]],
) -> dict[str, np.ndarray]:
    """Blocks' arrays as one set, rows in the order of the trials' indices.

    Arrays whose second axis differs between blocks (predictions of splits of unequal size) are
    padded with NaN.
    """
    merged = {}
    for name in collected[0][1]:
        pieces = [([trial.index for trial in trials], arrays[name]) for trials, arrays in collected]
        shapes = np.array([piece.shape for _, piece in pieces])
        shape = (shapes[:, 0].sum(), *shapes[:, 1:].max(axis=0))
        narrow = shapes.shape[1] > 1 and len(set(shapes[:, 1])) > 1
        dtype = pieces[0][1].dtype
        out = np.full(shape, np.nan, dtype) if narrow else np.empty(shape, dtype)
        for index, piece in pieces:
            place: Any = (index, *map(slice, piece.shape[1:]))
            out[place] = piece
        merged[name] = out
    return merged
