"""Datasets that come with installed packages; nothing is downloaded."""

from __future__ import annotations

import gzip
import importlib.util
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from convergence.data.dataset import Dataset, array_encoding
from convergence.errors import UserError
from convergence.spec import DataSpec

MNIST1D_SEED = 42  # of the published frozen set
MNIST1D_ROWS = 5000
MNIST1D_TEST_ROWS = 1000


def _dataset(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    shape: tuple[int, ...],
    classes: tuple[str, ...],
    features: tuple[str, ...],
    target_name: str,
    origin: str,
    test_rows: np.ndarray | None = None,
) -> Dataset:
    target: dict[str, Any] = {"name": target_name, "kind": "number"}
    if classes:
        target = {"name": target_name, "kind": "category", "categories": list(classes)}
    return Dataset(
        name=name,
        x=np.array(x, np.float32, order="C").reshape(len(x), -1),
        y=np.array(y, np.int32 if classes else np.float32),
        shape=shape,
        task="classification" if classes else "regression",
        num_classes=len(classes),
        class_names=classes,
        feature_names=features,
        target_name=target_name,
        test_rows=test_rows,
        origin=origin,
        encoding=array_encoding(shape, target),
    )


def _digits_table() -> np.ndarray:
    """float64[1797, 65]: pixels and digit, from the file that scikit-learn installs.

    Importing scikit-learn takes a second, reading the file of the default dataset a fiftieth.
    """
    found = importlib.util.find_spec("sklearn")  # does not import it
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as stream:
                return np.loadtxt(stream, delimiter=",")
    from sklearn.datasets import load_digits

    raw = load_digits()
    return np.column_stack([raw.data, raw.target])


def digits() -> Dataset:
    """1,797 handwritten digits of 8 × 8 pixels, 0 … 16, in 10 classes."""
    table = _digits_table()
    features = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    classes = tuple(str(digit) for digit in range(10))
    origin = "1,797 handwritten digits, a copy of UCI's optical digits test set, from scikit-learn."
    x, y = table[:, :-1], table[:, -1]
    return _dataset("digits", x, y, (8, 8, 1), classes, features, "digit", origin)


def _table(name: str, raw: Any, target_name: str, what: str) -> Dataset:
    classes = tuple(str(each) for each in getattr(raw, "target_names", ()))
    features = tuple(str(each) for each in raw.feature_names)
    shape = (raw.data.shape[1],)
    origin = f"{len(raw.data)} {what}, from scikit-learn."
    return _dataset(name, raw.data, raw.target, shape, classes, features, target_name, origin)


def breast_cancer() -> Dataset:
    """569 tumours, 30 features, 2 classes."""
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer(), "diagnosis", "tumours of Wisconsin (UCI)")


def wine() -> Dataset:
    """178 wines, 13 features, 3 classes."""
    from sklearn.datasets import load_wine

    return _table("wine", load_wine(), "cultivar", "wines of three cultivars (UCI)")


def iris() -> Dataset:
    """150 irises, 4 features, 3 classes."""
    from sklearn.datasets import load_iris

    return _table("iris", load_iris(), "species", "irises of Fisher and Anderson (UCI)")


def diabetes() -> Dataset:
    """442 patients, 10 features in raw units, the progression of disease after a year."""
    from sklearn.datasets import load_diabetes

    raw = load_diabetes(scaled=False)  # the scaled columns have seen the test rows
    return _table("diabetes", raw, "progression", "diabetes patients (Efron et al. 2004)")


@contextmanager
def _global_seeds_kept() -> Iterator[None]:
    """Restores the global generators that the mnist1d package seeds."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def mnist1d(spec: DataSpec) -> Dataset:
    """MNIST-1D (Greydanus & Kobak 2024): one-dimensional digits of 40 samples, 10 classes.

    As it is, the published frozen set, of which the last 1,000 rows are the test split. With
    ``generated_rows`` or another ``data_seed`` rows are generated in the same way, none set aside;
    the package's seed is 42 + ``data_seed``.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    published = not spec.generated_rows and not spec.data_seed
    count = spec.generated_rows or MNIST1D_ROWS
    args = get_dataset_args()
    args.num_samples = -(-count // 10) * 10  # it makes the same number of each digit
    args.seed = (MNIST1D_SEED + spec.data_seed) % 2**32
    with _global_seeds_kept():
        made = make_dataset(args)
    x = np.concatenate([made["x"], made["x_test"]])[:count]
    y = np.concatenate([made["y"], made["y_test"]])[:count]
    return _dataset(
        "mnist1d",
        x,
        y,
        (40, 1),
        tuple(str(digit) for digit in range(10)),
        tuple(f"t{i}" for i in range(40)),
        "digit",
        f"{count} rows of MNIST-1D (Greydanus & Kobak 2024), "
        + ("the published set." if published else f"generated with seed {args.seed}."),
        np.arange(count - MNIST1D_TEST_ROWS, count, dtype=np.int32) if published else None,
    )


def load_bundled(spec: DataSpec) -> Dataset:
    """The bundled dataset of this name.

    Raises:
        UserError: rows or a seed are asked of a dataset that is not generated.
    """
    if spec.dataset == "mnist1d":
        return mnist1d(spec)
    for field in ("generated_rows", "data_seed"):
        if getattr(spec, field):
            raise UserError(f"{spec.dataset} is not generated; its rows are fixed.", field)
    loaders = {
        "digits": digits,
        "breast_cancer": breast_cancer,
        "wine": wine,
        "iris": iris,
        "diabetes": diabetes,
    }
    return loaders[spec.dataset]()
