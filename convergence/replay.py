"""Trains trials of a finished study again, from its manifest alone, to compare them bit for bit.

Nothing of the old run is used but its spec: the rows are loaded anew (their digest must agree),
and a user's own files are run only where the user names them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convergence import data, names, spec
from convergence.data import Dataset
from convergence.errors import UserError
from convergence.plan import Group, Plan
from convergence.reporting import files, provenance
from convergence.reporting.workdir import Workdir
from convergence.saved import Saved
from convergence.spec import StudySpec
from convergence.study import Machine, Study
from convergence.training.blocks import BlockRun, Cadence, Store, Want
from convergence.training.population import Population
from convergence.userfile import split_reference

OWN = names.OWN_FILES
EXACT = ("fingerprint", "chain", "marks", "chains", "sketches")
_FILES = {
    "fingerprints.npz": {
        "final": "fingerprint",
        "final_chain": "chain",
        "marks": "marks",
        "chains": "chains",
    },
    "sketches.npz": {"sketches": "sketches"},
}


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged: {why}; train the study again.", "workdir")


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """A finished study whose trials can be trained again.

    Attributes:
        saved: the study's folder.
        study: its spec, with the user's own files where they are now.
        dataset: its rows, loaded anew.
        test: whether its trials were scored on the test split.
        records: what it left, by name as `History.arrays` has it, axis 0 trials.
    """

    saved: Saved
    study: StudySpec
    dataset: Dataset
    test: bool
    records: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        """How many trials the study has."""
        return len(self.study.arms) * self.study.run.num_seeds

    def name(self, trial: int) -> str:
        """A trial as a reader knows it: arm and seed."""
        arms = len(self.study.arms)
        replica = self.study.run.first_replica + trial // arms
        return f"{self.study.arms[trial % arms].name!r}, seed {replica}"

    def drift(self) -> list[tuple[str, Any, Any]]:
        """What differs between the conditions then and here: (field, was, is)."""
        then = self.saved.workdir.manifest["provenance"]
        here = provenance.collect(self.dataset.digest, then.get("user_files") or {})
        return provenance.drift(then, here)


def trial_named(told: str, study: StudySpec, folder: Path, flag: str) -> int:
    """A trial's index from what a user gives: an index, or ``ARM/SEED``.

    Args:
        told: what the user gave.
        study, folder: the study that has the trial, and where it is.
        flag: the flag that it was given with.

    Raises:
        UserError: there is no such trial.
    """
    arms, first = study.arms, study.run.first_replica
    count = len(arms) * study.run.num_seeds
    if told.isdecimal() and int(told) < count:
        return int(told)
    places = {f"{arms[k % len(arms)].name}/{first + k // len(arms)}": k for k in range(count)}
    if told in places:
        return places[told]
    last = f"0 to {count - 1}" if count > 1 else "0"
    raise UserError(
        f"there is no trial {told!r} in {folder}; give {last}, or an arm and a seed, such as "
        f"{arms[0].name}/{first}.",
        flag,
    )


def open_replay(folder: Path, own: Mapping[str, str] | None = None) -> Replay:
    """The study in a folder, ready to be trained again.

    Args:
        folder: a finished study's.
        own: for each of `OWN`, where the user's file is now.

    Raises:
        UserError: no study, an unfinished, newer or damaged one, data that have changed since, or
            a user's own file that is not named or not the one that was trained.
    """
    saved = Saved.open(Workdir.open(folder))
    study = with_own_files(saved, own or {})
    try:
        dataset = data.load(study.setting.data)
    except UserError as error:  # its flag was the study's: who opens it has none
        told = f"the data of the study in {folder} cannot be read: {error.sentence}"
        raise UserError(told) from error
    if told := changed_data(saved, dataset):
        raise UserError(f"{told}; restore them, or train a new study on them and compare the two.")
    count = len(study.arms) * study.run.num_seeds
    return Replay(saved, study, dataset, scored_on_test(saved), read_digests(saved, count))


def changed_data(saved: Saved, dataset: Dataset) -> str:
    """That the data are not those that the study was trained on, in a clause; "" where they are."""
    known = saved.workdir.manifest["provenance"].get("data_digest")
    if dataset.digest == known:
        return ""
    told = saved.study.setting.data
    return (
        f"the data in {told.data_path or told.dataset} are not those of the study in "
        f"{saved.workdir.root}: their digest is {dataset.digest[:12]}…, was {str(known)[:12]}…"
    )


def with_own_files(saved: Saved, own: Mapping[str, str]) -> StudySpec:
    """The spec with the references to a user's files replaced by those that the user gives.

    Raises:
        UserError: a file of the user's is not named, or not the one that was trained.
    """
    told = spec.to_json(saved.study)
    known = saved.workdir.manifest["provenance"].get("user_files") or {}
    settings = [saved.study.arm_setting(a) for a in (*saved.study.arms, *saved.study.context)]
    for field in OWN:
        there = sorted({s.get(field) for s in settings if ":" in s.get(field)})
        given = own.get(field, "")
        if not there:
            if given:
                raise UserError("the study has no file of your own there; leave it out.", field)
            continue
        if len(there) > 1:
            raise UserError(f"the study has several of your own ({', '.join(there)}).", field)
        if not given:
            raise UserError(
                "the study runs code of your own, which is run only when you name it: give "
                f"--{field}={there[0]} (or where the file is now).",
                field,
            )
        path, _ = split_reference(given, field)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != known.get(there[0].rpartition(":")[0]):
            raise UserError(
                f"{path} is not the file that was trained (its SHA-256 differs); restore it.", field
            )
        told = _replaced(told, there[0], given)
    return spec.from_json(told)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(one, old, new) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, old, new) for one in value]
    return new if value == old else value


def _read(saved: Saved, name: str) -> dict[str, np.ndarray]:
    path = saved.workdir.path(name)
    try:
        return files.read_npz(path)
    except FileNotFoundError as error:
        raise _damaged(path, "it is missing") from error
    except files.CorruptFile as error:
        raise _damaged(path, error.why) from error


def scored_on_test(saved: Saved) -> bool:
    """Whether the study's trials were scored on the test split; raises UserError where damaged."""
    return str(_read(saved, "predictions.npz").get("split", "")) == "test"


def read_digests(saved: Saved, count: int) -> dict[str, np.ndarray]:
    """The records of `EXACT` of all `count` trials of a study.

    Raises:
        UserError: some are missing, cut short or of another form.
    """
    found = {}
    for name, columns in _FILES.items():
        arrays = _read(saved, name)
        for column, record in columns.items():
            values = arrays.get(column)
            wanted = np.float32 if record == "sketches" else np.uint32
            if values is None or values.dtype != wanted or values.ndim < 2:
                raise _damaged(saved.workdir.path(name), f"it holds no {column}")
            if len(values) != count:
                raise _damaged(
                    saved.workdir.path(name), f"it tells of {len(values)} of {count} trials"
                )
            found[record] = values
    return found


class Trainer:
    """Trains trials of a study, alone or together, as often as is asked; nothing is written.

    Args:
        study: laid out on its rows; its programs are used, and compiled where they are not yet.
        test: score trials on the test split, as the study's own were.
    """

    def __init__(self, study: Study, test: bool = False) -> None:
        self.study = study
        self._test = test

    @property
    def plan(self) -> Plan:
        """The study laid out on its rows."""
        return self.study.plan

    def group(self, trial: int) -> Group:
        """The program's group that a trial is in."""
        for group in self.plan.groups:
            if any(one.index == trial for one in group.trials):
                return group
        last = len(self.plan.trials) - 1
        raise UserError(f"there is no trial {trial}; give 0 to {last}.", "trial")

    def population(self, trial: int) -> Population:
        """The program that trains a trial."""
        return self.study.population(self.group(trial))

    def run(
        self,
        trials: Sequence[int],
        cadence: Cadence | None = None,
        store: Store | None = None,
        progress: Any = None,
    ) -> dict[str, np.ndarray]:
        """The records of some trials of one program, trained together in a block.

        Args:
            trials: indices, of one `group`; at most as many as a block has lanes.
            cadence: when the host looks; default the study's own.
            store: checkpoints to go on from and to leave.
            progress: as `BlockRun`'s.
        """
        group = self.group(trials[0])
        by_index = {trial.index: trial for trial in group.trials}
        chosen = tuple(by_index[index] for index in trials)
        population = self.study.population(group)
        run = BlockRun(
            population,
            self.plan.lanes(group, chosen),
            self.study.shared(population),
            cadence or self.study.cadence,
            Want(test=self._test, predictions=False),
            store=store,
            progress=progress,
        )
        return run.run()


class Retrainer(Trainer):
    """Trains trials of a finished study again.

    Args:
        replay: the study.
        machine: workers and mode; default one worker here.
    """

    def __init__(self, replay: Replay, machine: Machine | None = None) -> None:
        study = Study(replay.study, replay.dataset, machine or Machine.here(1))
        super().__init__(study, replay.test)
        self.replay = replay


def joined(records: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The digests of several runs' trials as one set, in their order."""
    return {name: np.concatenate([one[name] for one in records]) for name in EXACT}


def differing(was: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the records whose bits differ between two sets of the same trials."""
    return [
        name
        for name in EXACT
        if was[name].shape != now[name].shape or was[name].tobytes() != now[name].tobytes()
    ]
