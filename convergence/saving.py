"""The models that a study leaves: what predicts of each trial, and how its inputs are prepared.

``params/BLOCK.npz`` holds, for the trials of one block, ``trial`` (their indices), a leaf
``params/…`` or ``state/…`` for each array of the model with a leading axis of trials, and a digest;
``preprocessing.json`` is the data's `Encoding`; ``preprocessing.npz`` has the distinct
`Preparation`s, which of them each trial has, and which trials diverged. `saved` reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jax
import numpy as np

from convergence.data.encoding import encoding_of
from convergence.history import History
from convergence.models import Model
from convergence.models.base import leaf_path
from convergence.plan import Plan
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.training.checkpoint import digest, plain
from convergence.training.state import Trained

FOLDER = "params"
ABOUT, PREPARED = "preprocessing.json", "preprocessing.npz"
AUTO_MIB = 256  # of final params that --save_params=auto keeps
_DIGEST = "sha256"


class Preparation(NamedTuple):
    """How inputs are prepared and outputs told, for some trials: float32[trials(, features)]."""

    x_mean: np.ndarray
    x_scale: np.ndarray
    y_mean: np.ndarray
    y_scale: np.ndarray

    def of(self, places: np.ndarray) -> Preparation:
        """The rows at some places."""
        return Preparation(*(values[places] for values in self))


# What is kept.


def template(model: Model, shape: tuple[int, ...]) -> Trained:
    """Shapes and types of what predicts, of one trial."""
    return Trained(*model.form(shape))


def size(like: Trained) -> int:
    """Bytes that a model's arrays take."""
    return sum(int(np.prod(a.shape)) * a.dtype.itemsize for a in jax.tree.leaves(like))


def seed_size(plan: Plan) -> int:
    """Bytes of one seed of every arm."""
    return sum(
        group.arms * size(template(group.program.algorithm.model, group.program.shape))
        for group in plan.groups
    )


def kept_seeds(plan: Plan) -> int:
    """How many seeds of each arm are kept: the first that fit, by the study's `save_params`."""
    seeds, asked = len(plan.replicas), plan.study.run.save_params
    if asked == "none":
        return 0
    fitting = int(AUTO_MIB * 2**20) // max(1, seed_size(plan))
    return seeds if asked == "all" else min(seeds, fitting)


def kept_trials(plan: Plan) -> frozenset[int]:
    """Indices of the trials whose final params are kept."""
    wanted = {int(replica) for replica in plan.replicas[: kept_seeds(plan)]}
    return frozenset(trial.index for trial in plan.trials if trial.replica in wanted)


def told_kept(plan: Plan) -> str:
    """A sentence where auto keeps less than all, or ""."""
    seeds, kept = len(plan.replicas), kept_seeds(plan)
    if plan.study.run.save_params != "auto" or kept == seeds:
        return ""
    whole = seed_size(plan) * seeds / 2**20
    which = f"those of the first {kept} of {seeds} seeds" if kept else "none"
    return (
        f"All final params would take {whole:.0f} MiB; {which} are kept for predictions "
        f"(at most {AUTO_MIB} MiB). Give --save_params=all to keep them all."
    )


# The files.


def _names(tree: Trained) -> list[str]:
    """A name for each leaf that is safe as a file's: params/Dense_0/kernel, state/…."""
    paths = (leaf_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree))
    first = {"params": "params", "model_state": "state"}
    return ["/".join([first[p[0]], *(quote(part, safe=" ") for part in p[1:])]) for p in paths]


def pack(trials: Sequence[int] | np.ndarray, models: Trained) -> dict[str, np.ndarray]:
    """Named arrays of some trials' models (leaves [trials, ...]), with a digest."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(models)]
    arrays = {name: leaf.view(plain(leaf.dtype)) for name, leaf in zip(_names(models), leaves)}
    arrays["trial"] = np.array(trials, np.int32)
    arrays[_DIGEST] = np.frombuffer(digest(arrays).encode(), np.uint8)
    return arrays


def kept_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The trials' indices and their models' leaves [trials, ...] by name, of whatever model.

    Raises:
        ValueError: the digest does not match, or the trials are not told.
    """
    arrays = dict(arrays)
    stored = arrays.pop(_DIGEST, np.zeros(0, np.uint8)).tobytes().decode("ascii", "replace")
    if stored != digest(arrays):
        raise ValueError("its digest does not match its content")
    trials = arrays.pop("trial", np.zeros(0))
    if trials.ndim != 1 or trials.dtype != np.int32:
        raise ValueError("it does not tell its trials")
    return trials, arrays


def unpack(arrays: Mapping[str, np.ndarray], like: Trained) -> tuple[np.ndarray, Trained]:
    """The trials' indices and their models, leaves [trials, ...].

    Args:
        arrays: as read back.
        like: shapes and types of one trial's (`template`).

    Raises:
        ValueError: the digest does not match, or names, shapes or types are not the model's.
    """
    trials, arrays = kept_arrays(arrays)
    leaves, structure = jax.tree.flatten(like)
    found = []
    for name, leaf in zip(_names(like), leaves):
        array = arrays.pop(name, None)
        wanted = (len(trials), *leaf.shape)
        if array is None or array.shape != wanted or array.dtype != plain(leaf.dtype):
            raise ValueError(f"it does not hold {name} as the model needs it")
        found.append(array.view(leaf.dtype))
    if arrays:
        raise ValueError(f"it holds {min(arrays)}, which the model has not")
    return trials, jax.tree.unflatten(structure, found)


def _path(number: int) -> str:
    return f"{FOLDER}/{number:05d}.npz"


def save_block(
    workdir: Workdir, number: int, trials: Sequence[int] | np.ndarray, models: Trained
) -> None:
    """Writes a finished block's models; raises StorageError."""
    workdir.write_npz(_path(number), pack(trials, models))


def block_is_whole(workdir: Workdir, number: int, trials: Sequence[int]) -> bool:
    """Whether the models of exactly these trials of a block are on disk, undamaged."""
    try:
        arrays = files.read_npz(workdir.path(_path(number)))
    except (FileNotFoundError, files.CorruptFile):
        return False
    stored = arrays.pop(_DIGEST, np.zeros(0, np.uint8)).tobytes().decode("ascii", "replace")
    return stored == digest(arrays) and np.array_equal(arrays.get("trial", ()), trials)


def remove_others(workdir: Workdir, numbers: Collection[int]) -> None:
    """Removes the files of blocks that are not of this study (they were laid out otherwise)."""
    for path in block_files(workdir):
        if not path.stem.isdigit() or int(path.stem) not in numbers:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        workdir.path(FOLDER).rmdir()  # where nothing is kept


def block_files(workdir: Workdir) -> list[Path]:
    """The files that hold a block's models, in order."""
    folder = workdir.path(FOLDER)
    return sorted(folder.glob("*.npz")) if folder.is_dir() else []


def save_preprocessing(history: History, workdir: Workdir) -> None:
    """Writes how the data become inputs and outputs, for each trial; raises StorageError."""
    plan = history.plan
    places: dict[bytes, int] = {}
    rows: list[Preparation] = []
    which = []
    for trial in plan.trials:
        view = plan.view(trial.arm, trial.replica)
        numbers = np.array([view.y_mean, view.y_scale], np.float32)
        row = Preparation(view.x_mean, view.x_scale, numbers[0], numbers[1])
        key = b"".join(np.asarray(values).tobytes() for values in row)
        if key not in places:
            places[key] = len(rows)
            rows.append(row)
        which.append(places[key])
    arrays = {name: np.stack([getattr(r, name) for r in rows]) for name in Preparation._fields}
    about = {"preparation": np.array(which, np.int32), "diverged": history.diverged}
    workdir.write_json(ABOUT, encoding_of(plan.dataset).to_json())
    workdir.write_npz(PREPARED, arrays | about)
