"""The bundled and the synthetic datasets, and the digest."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest

from convergence import data, names
from convergence.data import bundled
from convergence.errors import UserError
from convergence.spec import DataSpec

FACTS = {  # rows, shape, classes
    "digits": (1797, (8, 8, 1), 10),
    "breast_cancer": (569, (30,), 2),
    "wine": (178, (13,), 3),
    "iris": (150, (4,), 3),
    "diabetes": (442, (10,), 0),
    "mnist1d": (5000, (40, 1), 10),
    "teacher_regression": (2000, (16,), 0),
    "teacher_classification": (2000, (16,), 5),
}
GOLDEN_Y = [2, 6, 4, 5, 6, 6, 6, 0, 3, 1, 6, 9]
GOLDEN_Y_TEST = [2, 6, 3, 9, 4, 3, 1, 9, 5, 2, 0, 7]
GOLDEN_X = [-0.3320057, -0.4719104, -0.7786971, -1.0097408, -0.8823526, 0.1039348]
GOLDEN_X_TEST = [-0.3959106, -0.0986461, 0.4472329, 0.6598756, 0.8777343, 1.1931518]
GOLDEN_PROJECTED = [
    5.065198,
    4.309679,
    -0.720234,
    0.734001,
    -0.748087,
    6.316009,
    4.000443,
    -2.586088,
    -0.496766,
    0.570478,
]
GOLDEN_COUNTS = [398, 396, 411, 394, 394, 402, 401, 404, 402, 398]
GOLDEN_TEACHER_X = [-1.541092, 0.5125394, -1.4696627, -0.2171216]
GOLDEN_TEACHER_Y = [-1.256265, -0.732387, -0.239877, -0.061977]


@pytest.fixture(scope="module")
def mnist1d() -> data.Dataset:
    return data.load(DataSpec(dataset="mnist1d"))


def _load(name: str, mnist1d: data.Dataset) -> data.Dataset:
    return mnist1d if name == "mnist1d" else data.load(DataSpec(dataset=name))


def test_every_name_is_covered() -> None:
    """Each dataset that the flag offers is tested here."""
    assert {*FACTS, "file"} == set(names.DATASETS)


@pytest.mark.parametrize("name", FACTS)
def test_datasets_keep_the_contract(name: str, mnist1d: data.Dataset) -> None:
    """Shapes, types and names are as the Dataset promises."""
    got = _load(name, mnist1d)
    rows, shape, classes = FACTS[name]
    assert got.name == name
    assert got.x.shape == (rows, math.prod(shape))
    assert got.shape == shape
    assert got.x.dtype == np.float32
    assert got.y.dtype == (np.int32 if classes else np.float32)
    assert got.y.shape == (rows,)
    assert got.task == ("classification" if classes else "regression")
    assert got.num_classes == len(got.class_names) == classes
    assert got.outputs == (classes or 1)
    assert len(got.feature_names) == got.x.shape[1]
    assert np.isfinite(got.x).all()
    if classes:
        assert set(got.y) == set(range(classes))
    assert json.loads(json.dumps(got.encoding)) == got.encoding
    assert got.target_name
    assert got.origin.endswith(".")
    assert not got.x.flags.writeable


def test_diabetes_is_raw() -> None:
    """The columns are in their own units: scikit-learn's scaled ones have seen all rows."""
    got = data.load(DataSpec(dataset="diabetes"))
    assert got.x[0, 0] == 59  # years
    assert got.y[0] == 151


def test_mnist1d_is_the_published_set(mnist1d: data.Dataset) -> None:
    """Rows, order and split are those of the frozen set; values computed from its file."""
    assert mnist1d.test_rows is not None
    np.testing.assert_array_equal(mnist1d.test_rows, np.arange(4000, 5000))
    development, test = data.outer_split(mnist1d, DataSpec(dataset="mnist1d"))
    assert (len(development), len(test)) == (4000, 1000)
    x, y = mnist1d.x, mnist1d.y
    assert y[:12].tolist() == GOLDEN_Y
    assert y[4000:4012].tolist() == GOLDEN_Y_TEST
    np.testing.assert_allclose(x[0, :6], GOLDEN_X, atol=1e-6)
    np.testing.assert_allclose(x[4999, -6:], GOLDEN_X_TEST, atol=1e-6)
    weights = np.cos(np.arange(40))
    np.testing.assert_allclose((x.astype(np.float64) @ weights)[::500], GOLDEN_PROJECTED, atol=1e-5)
    counts = np.bincount(y[:4000])
    assert counts.tolist() == GOLDEN_COUNTS


def test_mnist1d_leaves_global_generators_and_its_reader_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Generating disturbs no other stream, and neither downloads nor unpickles."""
    import mnist1d.data

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("must not be called")

    for name in ("get_dataset", "from_pickle", "to_pickle"):
        monkeypatch.setattr(mnist1d.data, name, refuse)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    got = data.load(DataSpec(dataset="mnist1d", generated_rows=25))
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002
    assert got.x.shape == (25, 40)
    assert got.test_rows is None
    other = data.load(DataSpec(dataset="mnist1d", generated_rows=25, data_seed=1))
    assert other.digest != got.digest


@pytest.mark.parametrize("name", ["teacher_regression", "teacher_classification"])
def test_teachers_are_keyed_and_extend(name: str) -> None:
    """The seed chooses the teacher; more rows only add; nothing else moves them."""
    small, large, other = (
        data.load(DataSpec(dataset=name, generated_rows=rows, data_seed=seed))
        for rows, seed in ((100, 0), (300, 0), (300, 1))
    )
    np.testing.assert_array_equal(small.x, large.x[:100])
    np.testing.assert_array_equal(small.y, large.y[:100])
    assert not np.array_equal(large.x, other.x)
    assert not np.array_equal(large.y, other.y)
    assert large.digest == data.load(DataSpec(dataset=name, generated_rows=300)).digest


def test_teacher_facts() -> None:
    """Regression: unit signal with noise .1, not linear; classes: none rare. Golden draws."""
    regression = data.load(DataSpec(dataset="teacher_regression"))
    assert abs(regression.y.mean()) < 0.1
    assert abs(regression.y.std() - 1) < 0.1
    design = np.column_stack([regression.x, np.ones(2000)])
    residual = regression.y - design @ np.linalg.lstsq(design, regression.y, rcond=None)[0]
    assert 0.2 < residual.std() < 0.9  # more than the noise: a line cannot fit it
    np.testing.assert_allclose(regression.x[0, :4], GOLDEN_TEACHER_X, atol=1e-6)
    np.testing.assert_allclose(regression.y[:4], GOLDEN_TEACHER_Y, atol=1e-5)
    for seed in range(5):
        classes = data.load(DataSpec(dataset="teacher_classification", data_seed=seed))
        assert np.bincount(classes.y).min() > 200


def test_digest_sees_everything(mnist1d: data.Dataset) -> None:
    """A changed value, target, test row, shape or dtype changes the digest; NaN's bits do not."""
    base = data.load(DataSpec(dataset="iris"))
    assert len(base.digest) == 64
    x, y = base.x.copy(), base.y.copy()
    x[3, 2] = np.nextafter(x[3, 2], np.float32(9))
    y[0] = 1
    variants = [
        dataclasses.replace(base, x=x),
        dataclasses.replace(base, y=y),
        dataclasses.replace(base, y=base.y.astype(np.float32)),
        dataclasses.replace(base, x=base.x.reshape(300, 2).copy()),
        dataclasses.replace(base, test_rows=np.array([1], np.int32)),
    ]
    assert len({base.digest, *(each.digest for each in variants)}) == 6
    quiet, signed = base.x.copy(), base.x.copy()
    quiet[0, 0], signed[0, 0] = np.nan, -np.float32(np.nan)
    one, two = (dataclasses.replace(base, x=each).digest for each in (quiet, signed))
    assert one == two


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"dataset": "digits", "task": "regression"}, "--task: digits is a classification"),
        ({"dataset": "diabetes", "task": "classification"}, "--task: diabetes is a regression"),
        ({"dataset": "wine", "generated_rows": 9}, "--generated_rows: wine is not generated"),
        ({"dataset": "wine", "data_seed": 9}, "--data_seed: wine is not generated"),
        ({"dataset": "diabetes", "label_noise": 0.1}, "--label_noise"),
        ({"dataset": "wine", "outliers": 0.1}, "--outliers"),
    ],
)
def test_what_does_not_fit_a_bundled_set(fields: dict[str, object], told: str) -> None:
    """Flags that the dataset cannot honour are errors, not ignored."""
    with pytest.raises(UserError, match=told):
        data.load(DataSpec(**fields))  # type: ignore[arg-type]


def test_import_is_light() -> None:
    """Importing the data layer brings in neither scikit-learn, polars nor mnist1d."""
    code = (
        "import sys, convergence.data; "
        "print([m for m in ('sklearn', 'polars', 'mnist1d', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_digits_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the default dataset, which is read from scikit-learn's file without importing it.

    Where the file is not found, scikit-learn is asked.
    """
    from sklearn.datasets import load_digits

    raw, found = load_digits(), data.load(DataSpec())
    np.testing.assert_array_equal(found.x, raw.data.astype(np.float32))
    np.testing.assert_array_equal(found.y, raw.target)
    monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda name: None)
    assert data.load(DataSpec()).digest == found.digest
