"""Reads the models of a finished study, for predictions, comparisons and loss surfaces.

Nothing that is read is trusted: shapes and types come from the model that the spec describes, never
from the file, no file is read that is larger than they allow, and digests must agree.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import jax
import numpy as np

from convergence import spec
from convergence.data.encoding import Encoding, from_json
from convergence.errors import UserError
from convergence.models import Model, build_model
from convergence.plan import Pool
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.saving import ABOUT, PREPARED, Preparation, block_files, size, template, unpack
from convergence.spec import Setting, StudySpec
from convergence.training.state import Trained

_SLACK = 1 << 20  # bytes of an NPZ beside its arrays, at most (names, headers)


def _refusal(message: str) -> UserError:
    return UserError(message, "workdir")


def _damaged(path: Path, why: str) -> UserError:
    return _refusal(f"{path} is damaged: {why}; train the study again.")


@dataclasses.dataclass(frozen=True)
class Saved:
    """A finished study, to predict with.

    Attributes:
        workdir: its folder.
        study: its spec, as it was resolved.
        encoding: how rows become features, and outputs predictions.
    """

    workdir: Workdir
    study: StudySpec
    encoding: Encoding

    @classmethod
    def open(cls, workdir: Workdir) -> Saved:
        """The study in a folder; raises UserError where it is unfinished, older, or damaged."""
        manifest = workdir.manifest
        if not workdir.finished:
            raise _refusal(
                f"the study in {workdir.root} is not finished ({manifest['status']}); continue it "
                "with --resume first."
            )
        told = {name: value for name, value in manifest["spec"].items() if name != "extra"}
        try:
            study = spec.from_json(told)
        except UserError as error:
            path = workdir.root / "manifest.json"
            raise _refusal(f"the spec in {path} cannot be used: {error}") from error
        return cls(workdir, study, _encoding(workdir))

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the study's arms."""
        return tuple(arm.name for arm in self.study.arms)

    def setting(self, arm: str) -> Setting:
        """An arm's whole setting."""
        return self.study.arm_setting(self.study.arms[self.arms.index(arm)])

    def trials(self, arm: str) -> np.ndarray:
        """int[seeds]: indices of an arm's trials, by replica."""
        return self.arms.index(arm) + len(self.arms) * np.arange(self.study.run.num_seeds)

    def replicas(self, trials: np.ndarray) -> np.ndarray:
        """int[trials]: the replica of each trial."""
        return self.study.run.first_replica + trials // len(self.arms)

    def model(self, arm: str, own: str = "") -> Model:
        """The arm's model.

        Args:
            own: ``path/to/file.py:attribute`` of a model that is the user's own; that file is run
                (never the one that the manifest names).

        Raises:
            UserError: as `models.build_model`.
        """
        arms = (*self.study.arms, *self.study.context)
        pool = Pool.of([self.study.arm_setting(one) for one in arms])
        setting, told = self.setting(arm), self.encoding
        return build_model(
            dataclasses.replace(setting.model, model=own or setting.model.model),
            told.shape,
            told.outputs,
            use_dropout=pool.dropout,
            compute_dtype=setting.train.compute_dtype,
        )

    def trained(self, trials: np.ndarray, model: Model) -> tuple[np.ndarray, Trained]:
        """The models of those of the trials that were kept: their indices, and [kept, ...] leaves.

        Args:
            trials: indices, ascending; all of arms with this model.
            model: the arm's.

        Raises:
            UserError: a file is damaged, or not of this model.
        """
        like = template(model, self.encoding.shape)
        most = _SLACK + (size(like) + 4) * self._count
        indices, pieces = [np.zeros(0, np.int32)], []
        for path in block_files(self.workdir):
            told = self._listed(path)
            if not np.isin(told, trials).any():
                continue  # perhaps of another model
            arrays = _read(path, most)
            try:
                found, models = unpack(arrays, like)
            except ValueError as error:
                raise _damaged(path, str(error)) from error
            mine = np.flatnonzero(np.isin(found, trials))
            indices.append(found[mine])
            pieces.append(jax.tree.map(lambda a, k=mine: a[k], models))
        index = np.concatenate(indices)
        if len(set(index.tolist())) < len(index):
            raise _damaged(self.workdir.path("params"), "a trial is in it twice")
        if not pieces:
            return index, jax.tree.map(lambda a: np.zeros((0, *a.shape), a.dtype), like)
        order = np.argsort(index)
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *pieces)
        return index[order], joined

    @property
    def _count(self) -> int:
        return len(self.arms) * self.study.run.num_seeds

    def _listed(self, path: Path) -> np.ndarray:
        """The trials of a block's file."""
        try:
            return files.read_npz(path, ("trial",)).get("trial", np.zeros(0, np.int32))
        except files.CorruptFile as error:
            raise _damaged(path, error.why) from error

    def prepared(self, trials: np.ndarray) -> tuple[Preparation, np.ndarray]:
        """How inputs and outputs of some trials are prepared, and bool[trials]: which diverged.

        Raises:
            UserError: the file is missing or damaged.
        """
        path, features = self.workdir.path(PREPARED), math.prod(self.encoding.shape)
        arrays = _read(path, _SLACK + (8 * features + 16) * self._count)
        which, diverged = (arrays.get(n, np.zeros(0)) for n in ("preparation", "diverged"))
        if which.dtype != np.int32 or diverged.dtype != np.bool_:
            raise _damaged(path, "it does not tell each trial's preparation")
        if not which.shape == diverged.shape == (self._count,):
            raise _damaged(path, "it is of another number of trials")
        rows = len(np.atleast_1d(arrays.get("y_mean", ())))
        if which.min() < 0 or which.max() >= rows:
            raise _damaged(path, "it names a preparation that is not there")
        wanted = ((rows, features), (rows, features), (rows,), (rows,))
        found = [arrays.get(name, np.zeros(0)) for name in Preparation._fields]
        if any(a.shape != shape or a.dtype != np.float32 for a, shape in zip(found, wanted)):
            raise _damaged(path, "its arrays are not of the study's form")
        return Preparation(*found).of(which[trials]), diverged[trials]


def _read(path: Path, largest: int) -> dict[str, np.ndarray]:
    try:
        if path.stat().st_size > largest:
            raise _damaged(path, "it is larger than the study's arrays")
        return files.read_npz(path)
    except FileNotFoundError as error:
        raise _damaged(path, "it is missing") from error
    except files.CorruptFile as error:
        raise _damaged(path, error.why) from error


def _encoding(workdir: Workdir) -> Encoding:
    path = workdir.path(ABOUT)
    try:
        return from_json(files.read_json(path))
    except FileNotFoundError as error:
        raise _refusal(
            f"the study in {workdir.root} was trained by a version that kept nothing to predict "
            "with; train it again."
        ) from error
    except files.CorruptFile as error:
        raise _damaged(path, error.why) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
