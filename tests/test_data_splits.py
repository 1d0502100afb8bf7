"""The outer test split and the order that stratifies every split."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence import data, randomness
from convergence.data import splits
from convergence.data.dataset import Dataset
from convergence.errors import UserError
from convergence.spec import DataSpec

SIZES = st.lists(st.integers(2, 60), min_size=2, max_size=8).filter(lambda n: sum(n) >= 20)
GOLDEN_IRIS = [
    6,
    15,
    21,
    30,
    32,
    44,
    45,
    47,
    48,
    49,
    51,
    57,
    62,
    69,
    71,
    75,
    83,
    84,
    89,
    91,
    100,
    101,
    105,
    106,
    107,
    115,
    128,
    133,
    144,
    147,
]
GOLDEN_DIABETES = [6, 15, 21, 30, 32, 35, 38, 40, 44, 45, 47, 48]


def dataset_of(y: np.ndarray, x: np.ndarray | None = None, **fields: object) -> Dataset:
    """A small dataset around given targets; float targets make it regression."""
    classes = int(y.max()) + 1 if y.dtype.kind == "i" else 0
    x = np.arange(2 * len(y), dtype=np.float32).reshape(-1, 2) if x is None else x
    made = Dataset(
        name="made",
        x=x,
        y=y.astype(np.int32 if classes else np.float32),
        shape=(x.shape[1],),
        task="classification" if classes else "regression",
        num_classes=classes,
        class_names=tuple(f"c{i}" for i in range(classes)),
        feature_names=tuple(f"x{i}" for i in range(x.shape[1])),
        target_name="y",
        test_rows=None,
        origin="made.",
        encoding={},
    )
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def classes_of(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 99), share=st.floats(0, 1), last=st.integers(0, 2))
def test_every_prefix_is_stratified(sizes: list[int], seed: int, share: float, last: int) -> None:
    """Prefixes hold each class in proportion, to the bound that the construction proves."""
    y = classes_of(sizes)
    order = splits.stratified_order(y, np.random.default_rng(seed).random(len(y)), last)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(y)))
    free = len(y) - last * len(sizes)
    assert set(np.bincount(y[order[max(0, free) :]])) <= {last, 0}
    if last == 0:
        count = int(share * len(y))
        taken = np.bincount(y[order[:count]], minlength=len(sizes))
        ideal = np.array(sizes) * count / len(y)
        bound = 0.5 + np.array(sizes) * len(sizes) / (2 * len(y))
        assert np.all(np.abs(taken - ideal) <= bound + 1e-9)


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, index=st.integers(0, 5), fraction=st.floats(0.05, 0.5))
def test_outer_split_is_disjoint_complete_and_sorted(
    sizes: list[int], index: int, fraction: float
) -> None:
    """Development and test are disjoint, complete, sorted, of the asked size, and classes stay."""
    made = dataset_of(classes_of(sizes))
    spec = DataSpec(outer_split=index, test_fraction=fraction)
    if len(made.y) - 2 * len(sizes) < splits.share_of(fraction, len(made.y)):
        return
    development, test = data.outer_split(made, spec)
    assert development.dtype == test.dtype == np.int32
    assert np.all(np.diff(development) > 0)
    assert np.all(np.diff(test) > 0)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([development, test])), np.arange(len(made.y))
    )
    assert len(test) == splits.share_of(fraction, len(made.y))
    assert np.bincount(made.y[development]).min() >= 2


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [(0.2, 1797, 360), (0.2, 10, 2), (0.3, 10, 3), (0.07, 100, 7), (0.01, 20, 1)],
)
def test_share_rounds_up_like_scikit_learn(fraction: float, count: int, expected: int) -> None:
    """The published splits of digits have 360 test rows; rounding errors add no row."""
    assert splits.share_of(fraction, count) == expected


def test_outer_split_goldens() -> None:
    """The fixed test split never changes, and outer_split is the only thing that moves it."""
    iris = data.load(DataSpec(dataset="iris"))
    assert data.outer_split(iris, DataSpec())[1].tolist() == GOLDEN_IRIS
    diabetes = data.load(DataSpec(dataset="diabetes"))
    assert data.outer_split(diabetes, DataSpec())[1][:12].tolist() == GOLDEN_DIABETES
    assert np.bincount(iris.y[GOLDEN_IRIS]).tolist() == [10, 10, 10]
    other = data.outer_split(iris, DataSpec(outer_split=1))[1].tolist()
    assert other != GOLDEN_IRIS
    same = DataSpec(data_seed=7, validation_fraction=0.4, label_noise=0.3, preprocessing="none")
    assert data.outer_split(iris, same)[1].tolist() == GOLDEN_IRIS


def test_given_test_rows_win() -> None:
    """A dataset's own test rows are the split 0; other indices draw over all rows."""
    made = dataset_of(np.arange(30) % 3, test_rows=np.array([28, 3], np.int32))
    development, test = data.outer_split(made, DataSpec())
    assert test.tolist() == [3, 28]
    assert len(development) == 28
    assert len(data.outer_split(made, DataSpec(outer_split=1))[1]) == 6
    with pytest.raises(UserError, match="--outer_split"):
        data.outer_split(made, DataSpec(outer_split=1, test_path="t.csv"))


def test_a_class_needs_two_development_rows() -> None:
    """A class that cannot be both trained and validated is named with its row."""
    y = np.arange(30) % 2
    y[7] = 2
    with pytest.raises(UserError, match=r"class 'c2' has a single row \(row 8\)"):
        data.outer_split(dataset_of(y), DataSpec())


def test_too_few_rows_for_a_test_split() -> None:
    """A test share that leaves nothing is an error."""
    with pytest.raises(UserError, match="--test_fraction: 10 rows are too few"):
        data.outer_split(dataset_of(np.arange(10) * 0.1), DataSpec(test_fraction=0.9))


def test_priorities_are_one_stream_a_name() -> None:
    """Streams of different names differ; the same key gives the same draws again."""
    key = randomness.source_key(0, "split", 0)
    a = splits.priorities(randomness.fold_name(key, "validation"), 50)
    b = splits.priorities(randomness.fold_name(key, "train_size"), 50)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, splits.priorities(randomness.fold_name(key, "validation"), 50))
