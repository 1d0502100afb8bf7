"""Finished studies as sides of a comparison: what they left, and whether it can be replayed here.

A side whose data, own files or records are gone is opened all the same: what it still tells is
compared, and what it cannot tell is said.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from convergence import data, replay, results
from convergence.data import Dataset
from convergence.difference.runs import Part, Records, Run, Stored, Walker
from convergence.errors import UserError
from convergence.plan import Group, Trial
from convergence.reporting import files
from convergence.reporting.checkpoints import CheckpointFolder
from convergence.reporting.workdir import Workdir
from convergence.saved import Saved
from convergence.spec import StudySpec
from convergence.study import Machine, Study
from convergence.training import checkpoint
from convergence.userfile import OWN, file_of, runs_code


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """A finished study, as far as it can be read.

    Attributes:
        saved: the study's folder.
        study: its spec, with the user's own files where they are now.
        dataset: its rows as they are now, or None where they cannot be read.
        changed: why it cannot be replayed here: these are not the rows that it was trained on, or
            there are none, or a file of the user's is another one; "" where it can.
        records: what it left, by name, axis 0 trials; None where these are missing or damaged.
        damaged: why they are None.
    """

    saved: Saved
    study: StudySpec
    dataset: Dataset | None
    changed: str
    records: Mapping[str, np.ndarray] | None
    damaged: str

    @property
    def replayable(self) -> bool:
        """Whether its trials can be trained again from what is here."""
        return self.dataset is not None and not self.changed

    @property
    def count(self) -> int:
        """How many trials the study has."""
        return len(self.study.arms) * self.study.run.num_seeds

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The conditions under which it was trained."""
        told: Mapping[str, Any] = self.saved.workdir.manifest["provenance"]
        return told

    def place(self, trial: int) -> tuple[str, int]:
        """A trial's arm and seed."""
        arms = self.study.arms
        return arms[trial % len(arms)].name, self.study.run.first_replica + trial // len(arms)

    def name(self, trial: int) -> str:
        """A trial as a reader knows it."""
        arm, replica = self.place(trial)
        return f"trial {trial} ({arm!r}, seed {replica})"

    def trial(self, told: str, flag: str) -> int:
        """A trial's index from what a user gives: an index, or ``ARM/SEED``.

        Raises:
            UserError: there is no such trial.
        """
        return replay.trial_named(told, self.study, self.saved.workdir.root, flag)

    @functools.cached_property
    def _lengths(self) -> list[int]:
        """Each trial's length, as its table tells it, or as its arm's setting does."""
        try:
            told = files.read_parquet(self.saved.workdir.path("trials.parquet"))["steps"]
            if len(told) == self.count:
                return [int(steps) for steps in told]
        except (OSError, files.CorruptFile, KeyError, TypeError, ValueError):
            pass
        settings = [self.study.arm_setting(arm) for arm in self.study.arms]
        return [settings[k % len(settings)].train.steps for k in range(self.count)]

    def steps(self, trial: int) -> int:
        """A trial's length."""
        return self._lengths[trial]

    def records_of(self, trial: int) -> Records | None:
        """One trial's digests."""
        if self.records is None:
            return None
        names = ("marks", "chains", "fingerprint", "chain", "sketches")
        one = {name: self.records[name][trial] for name in names}
        return Records(self.study.run.fingerprint_every, **one)


def open_side(folder: Path, own: Mapping[str, str] | None = None) -> Side:
    """The study in a folder, whatever of it is still there.

    Args:
        folder: a finished study's.
        own: for each of `userfile.OWN`, where the user's file is now.

    Raises:
        UserError: no study, an unfinished or newer one, or a user's own file that is not named.
    """
    saved = Saved.open(Workdir.open(folder))
    settings = [saved.study.arm_setting(a) for a in (*saved.study.arms, *saved.study.context)]
    told = {field: {str(setting.get(field)) for setting in settings} for field in OWN}
    named = {field for field, texts in told.items() if any(map(runs_code, texts))}
    given = {f: v for f, v in (own or {}).items() if any(map(file_of, told[f]))}
    study, dataset, changed = saved.study, None, ""
    try:
        study = replay.with_own_files(saved, given)
    except UserError as error:
        if not all(given.get(field) for field in named):
            raise
        changed = str(error)
    try:
        dataset = data.load(study.setting.data)
        changed = changed or replay.changed_data(saved, dataset)
    except (UserError, OSError) as error:
        why = error.sentence.rstrip(".") if isinstance(error, UserError) else error
        changed = f"the data of the study in {folder} cannot be read ({why})"
    records: Mapping[str, np.ndarray] | None = None
    damaged = ""
    try:
        records = replay.read_digests(saved, len(study.arms) * study.run.num_seeds)
    except UserError as error:
        damaged = error.sentence
    return Side(saved, study, dataset, changed, records, damaged)


def rows_changed(side: Side) -> str:
    """Which of the rows that a study was scored on are no longer the same, in a sentence."""
    if side.dataset is None or not side.changed:
        return ""
    try:
        told = files.read_npz(side.saved.workdir.path("predictions.npz"), ("row", "row_digest"))
        rows, was = told["row"], told["row_digest"]
    except (FileNotFoundError, KeyError, files.CorruptFile):
        return "Which rows have changed cannot be told: predictions.npz is missing or damaged."
    there = rows < len(side.dataset.y)
    now = results.row_digests(side.dataset.x[rows[there]], side.dataset.y[rows[there]])
    other = [*rows[there][now != was[there]].tolist(), *rows[~there].tolist()]
    if not other:
        return (
            f"The {len(rows)} rows that it was scored on are the same; of its training rows no "
            "digests are kept."
        )
    return f"Of the {len(rows)} rows that it was scored on, other now: {_listed(other)}."


def rows_between(a: Dataset, b: Dataset) -> str:
    """How two datasets' rows differ, in a sentence; "" where they do not."""
    if a.digest == b.digest:
        return ""
    if a.x.shape != b.x.shape or a.y.dtype != b.y.dtype:
        return f"A has {a.x.shape[0]} × {a.x.shape[1]} inputs, B {b.x.shape[0]} × {b.x.shape[1]}."
    alike = (a.x == b.x) | (np.isnan(a.x) & np.isnan(b.x))
    inputs, targets = np.flatnonzero(~alike.all(axis=1)), np.flatnonzero(a.y != b.y)
    parts = []
    if len(inputs):
        parts.append(f"inputs of {_listed(inputs.tolist(), 'row')}")
    if len(targets):
        parts.append(f"targets of {_listed(targets.tolist(), 'row')}")
    return f"The data differ in {' and '.join(parts) or 'which rows are set aside'}."


def _listed(rows: list[int], what: str = "") -> str:
    told = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return f"{what}{'s' * (len(rows) != 1)} {told}" if what else told


def pairs(a: Side, b: Side) -> list[tuple[int, int]]:
    """Trials of the same arm's name and seed, in the first side's order."""
    places = {b.place(trial): trial for trial in range(b.count)}
    return [(k, places[a.place(k)]) for k in range(a.count) if a.place(k) in places]


class Opener:
    """Makes runs of studies' trials; the same program is compiled once for all of them."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine or Machine.here(1)
        self._populations: dict[Any, Any] = {}
        self._made: list[tuple[Any, Any]] = []

    def run(self, side: Side, trial: int) -> Run:
        """A trial of a side that is `replayable`, with its kept checkpoints."""
        assert side.dataset is not None
        study = Study(side.study, side.dataset, self._machine, populations=self._populations)
        group, one = _found(study, trial)
        population = study.population(group)
        lane = study.plan.lanes(group, (one,))[0]
        shared = study.common(population.program.capacity)
        population = self._known(study, group, (lane, shared), population)
        part = Part(0, population, lane, shared)
        bare = Run(one.steps, (part,), side.records_of(trial))
        return dataclasses.replace(bare, stored=_stored(side, trial, bare))

    def _known(self, study: Study, group: Group, inputs: Any, population: Any) -> Any:
        """The program made for another run, if it is the same one: data alone make no other."""
        dataset, program = study.plan.dataset, population.program
        form = [(np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in jax.tree.leaves(inputs)]
        key = (
            group.key[:-1],
            tuple(form),
            (dataset.task, dataset.shape, dataset.outputs, program.missing),
            population.lanes if self._machine.mode == "vmap" else 0,
        )
        for known, made in self._made:
            if known == key:
                return made
        self._made.append((key, population))
        return population


def _found(study: Study, trial: int) -> tuple[Group, Trial]:
    for group in study.plan.groups:
        for one in group.trials:
            if one.index == trial:
                return group, one
    raise UserError(f"there is no trial {trial}.", "trial")


def _stored(side: Side, trial: int, run: Run) -> dict[int, Callable[[], Stored]]:
    """Readers of a trial's kept checkpoints by step."""
    folder = CheckpointFolder(side.saved.workdir)
    template: list[Any] = []

    def reader(read: Callable[[], dict[str, np.ndarray]]) -> Callable[[], Stored]:
        def one() -> Stored:
            if not template:
                template.append(Walker(run).initial())
            arrays = read()
            place = np.flatnonzero(arrays.get("trial", np.zeros(0)) == trial)
            places = [len(values) for name, values in arrays.items() if name.startswith("state")]
            if not len(place) or not places:
                raise ValueError("it is of other trials")
            whole = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((places[0], *leaf.shape[1:]), leaf.dtype),
                template[0],
            )
            state, extra = checkpoint.unpack(arrays, whole)
            chain = extra.get("curve/chain", np.zeros((0, 2), np.uint32))
            if len(chain) <= place[0]:
                raise ValueError("it holds no chain")
            return Stored(jax.tree.map(lambda leaf: leaf[place], state), chain[place[0]])

        return one

    for block in folder.blocks():
        kept = folder.checkpoints(block)
        if kept and _holds(side.saved.workdir, block, kept[0][0], trial):
            return {step: reader(read) for step, read in kept}
    return {}


def _holds(workdir: Workdir, block: int, step: int, trial: int) -> bool:
    path = workdir.path(f"checkpoints/block_{block:05d}_step_{step:09d}.npz")
    try:
        return trial in files.read_npz(path, ("trial",)).get("trial", ())
    except (FileNotFoundError, files.CorruptFile):
        return False
