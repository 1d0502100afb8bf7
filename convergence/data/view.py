"""What one trial sees of a dataset: row indices, targets, and how its numbers are prepared."""

from __future__ import annotations

import dataclasses

import numpy as np

from convergence import randomness
from convergence.data import corruption
from convergence.data.dataset import Dataset
from convergence.data.splits import priorities, share_of, strata, stratified_order
from convergence.errors import UserError
from convergence.spec import DataSpec

MIN_TRAINING_ROWS = 10
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Row indices, targets and preparation of one trial; nothing of the rows is copied.

    Prepared features are ``(x - x_mean) * x_scale``, then missing values become 0: the training
    mean under 'standardise', the training minimum under 'minmax', raw 0 under 'none'. A prepared
    target is ``(y - y_mean) * y_scale``.

    Attributes:
        train: [n_train] int32 rows of the dataset (they repeat under duplicates).
        validation: [n_validation] int32 rows.
        targets: [rows] targets with this view's corruption; test rows are untouched.
        x_mean, x_scale: [features] float32, fitted on the training rows only, without the missing
            values. A constant column has scale 1; one with no value in training has scale 0.
        y_mean, y_scale: fitted on the training rows' (corrupted) targets; 0 and 1 for
            classification and under 'none'.
    """

    train: np.ndarray
    validation: np.ndarray
    targets: np.ndarray
    x_mean: np.ndarray
    x_scale: np.ndarray
    y_mean: float
    y_scale: float


def _inner_split(
    y: np.ndarray, development: np.ndarray, fraction: float, key: randomness.HostKey
) -> tuple[np.ndarray, np.ndarray]:
    priority = priorities(randomness.fold_name(key, "validation"), len(development))
    order = stratified_order(y[development], priority, last=1)
    count = share_of(fraction, len(development))
    return np.sort(development[order[count:]]), np.sort(development[order[:count]])


def _subset(y: np.ndarray, train: np.ndarray, size: int, key: randomness.HostKey) -> np.ndarray:
    """A stratified choice of the training rows, with every class; nested in its size."""
    classes = y[train]
    order = stratified_order(
        classes, priorities(randomness.fold_name(key, "train_size"), len(train))
    )
    _, firsts = np.unique(classes[order], return_index=True)
    order = np.concatenate([order[np.sort(firsts)], np.delete(order, firsts)])
    return np.sort(train[order[:size]])


def _check_sizes(
    dataset: Dataset, spec: DataSpec, train: np.ndarray, validation: np.ndarray, removed: int
) -> None:
    used = len(dataset.y) - len(train) - len(validation)
    left = (
        f"of the {len(dataset.y)} rows of {dataset.name}, {len(train)}"
        f" {'is' if len(train) == 1 else 'are'} left for training ({len(validation)}"
        f" {'validates' if len(validation) == 1 else 'validate'}, {used}"
        f" {'is a test row' if used == 1 else 'are test rows'} or removed)"
    )
    need = max(MIN_TRAINING_ROWS, dataset.num_classes)
    if len(train) < need:
        field = _guilty(dataset, spec, len(train) + removed, need)
        advice = {"generated_rows": "; give more", "data_path": "", "dataset": ""}
        raise UserError(
            f"{left}; at least {need} are needed{advice.get(field, '; give less')}.", field
        )
    if spec.train_size > len(train):
        raise UserError(f"{left}; {spec.train_size} are asked for.", "train_size")
    if 0 < spec.train_size < need:
        why = " (one of each class)" if need > MIN_TRAINING_ROWS else ""
        raise UserError(
            f"{spec.train_size} rows are too few to train on; at least {need}{why}.", "train_size"
        )


def _guilty(dataset: Dataset, spec: DataSpec, unbalanced: int, need: int) -> str:
    """The field to change where too few training rows are left (so many before any imbalance)."""
    if unbalanced >= need:
        return "imbalance"
    usual = DataSpec()
    shares = {"test_fraction": spec.test_fraction, "validation_fraction": spec.validation_fraction}
    largest = max(shares, key=lambda name: shares[name])
    untouched = (1 - usual.test_fraction) * (1 - usual.validation_fraction) * len(dataset.y)
    if shares[largest] > getattr(usual, largest) and untouched >= need:
        return largest
    return "data_path" if spec.data_path else "generated_rows" if spec.generated_rows else "dataset"


def _fit_columns(x: np.ndarray, preprocessing: str) -> tuple[np.ndarray, np.ndarray]:
    """Offset and factor of each column of the training rows, in float64, missing values ignored."""
    features = x.shape[1]
    if preprocessing == "none":
        return np.zeros(features), np.ones(features)
    wide = x.astype(np.float64)
    present = ~np.isnan(wide)
    count = present.sum(axis=0)
    if preprocessing == "minmax":
        offset = np.min(wide, axis=0, where=present, initial=np.inf)
        spread = np.max(wide, axis=0, where=present, initial=-np.inf) - offset
    else:
        offset = np.sum(wide, axis=0, where=present) / np.maximum(count, 1)
        square = np.sum((wide - offset) ** 2, axis=0, where=present)
        spread = np.sqrt(square / np.maximum(count, 1))
    # The float64 mean of equal float32 values is exact, so a constant column has a spread of 0; a
    # spread that float32 cannot invert counts as none.
    factor = 1.0 / np.where(spread > _SMALLEST, spread, 1.0)
    empty = count == 0
    return np.where(empty, 0.0, offset), np.where(empty, 0.0, factor)


def _fit_target(targets: np.ndarray, task: str, preprocessing: str) -> tuple[float, float]:
    if task == "classification" or preprocessing == "none":
        return 0.0, 1.0
    wide = targets.astype(np.float64)
    spread = wide.std()
    scale = 1.0 / spread if spread > _SMALLEST else 1.0
    return float(np.float32(wide.mean())), float(np.float32(scale))


def _spoil_targets(
    dataset: Dataset, spec: DataSpec, development: np.ndarray, key: randomness.HostKey
) -> np.ndarray:
    targets = dataset.y.copy()
    if spec.label_noise:
        targets[development] = corruption.label_noise(
            dataset.y[development],
            randomness.fold_name(key, "label_noise"),
            spec.label_noise,
            dataset.num_classes,
        )
    if spec.outliers:
        targets[development] = corruption.outliers(
            dataset.y[development],
            randomness.fold_name(key, "outliers"),
            spec.outliers,
            spec.outlier_scale,
        )
    return targets


def make_view(
    dataset: Dataset,
    spec: DataSpec,
    development: np.ndarray,
    split_key: randomness.HostKey,
    corrupt_key: randomness.HostKey,
) -> View:
    """The view of one trial: split, imbalance, train_size and duplicates, in that order.

    Labels and targets are spoiled in training and validation rows alike, because tuning must see
    data as contaminated as training; the choice depends on ``corrupt_key`` and the development
    rows only, not on how they are split. Imbalance and duplicates change the training rows only.
    ``split_key`` draws the validation rows and the subset of ``train_size``.

    Args:
        dataset: all rows.
        spec: fractions, sizes, preparation and corruption.
        development: sorted int32 rows from `outer_split`.
        split_key, corrupt_key: keys' words (`randomness.host_key`).

    Raises:
        UserError: corruption that does not fit the task, or too few training rows.
    """
    corruption.check_fits(spec, dataset.task, dataset.name)
    clean = strata(dataset.y, dataset.task)
    train, validation = _inner_split(clean, development, spec.validation_fraction, split_key)
    if spec.imbalance:
        train = corruption.imbalance(
            train, clean[train], randomness.fold_name(corrupt_key, "imbalance"), spec.imbalance
        )
    removed = len(development) - len(validation) - len(train)
    _check_sizes(dataset, spec, train, validation, removed)
    if spec.train_size:
        train = _subset(clean, train, spec.train_size, split_key)
    if spec.duplicates:
        train = corruption.duplicates(
            train, clean[train], randomness.fold_name(corrupt_key, "duplicates"), spec.duplicates
        )
    targets = _spoil_targets(dataset, spec, development, corrupt_key)
    offset, factor = _fit_columns(dataset.x[train], spec.preprocessing)
    y_mean, y_scale = _fit_target(targets[train], dataset.task, spec.preprocessing)
    return View(
        train=train.astype(np.int32),
        validation=validation.astype(np.int32),
        targets=targets,
        x_mean=offset.astype(np.float32),
        x_scale=factor.astype(np.float32),
        y_mean=y_mean,
        y_scale=y_scale,
    )
