"""What one trial sees: the inner split, corruption where it belongs, preparation without leaks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_splits import classes_of, dataset_of

from convergence import data, randomness
from convergence.data.dataset import Dataset
from convergence.errors import UserError
from convergence.spec import DataSpec

KEYS = randomness.key_tree(0, 0, ("split", "corrupt"))
OTHER = randomness.key_tree(0, 1, ("split", "corrupt"))
GOLDEN_VALIDATION = [0, 2, 7, 21, 26, 33, 34, 39, 52, 56]
GOLDEN_SUBSET = [6, 8, 10, 14, 16, 24, 36, 38, 45, 53, 55, 58]


def _view(made: Dataset, keys: dict[str, Any] = KEYS, **fields: Any) -> data.View:
    spec = DataSpec(**fields)
    development, _ = data.outer_split(made, spec)
    return data.make_view(made, spec, development, keys["split"], keys["corrupt"])


def _blobs(rows: int = 120, classes: int = 3) -> Dataset:
    draws = np.random.default_rng(5)
    x = (draws.normal(size=(rows, 4)) * [1, 10, 0.1, 3] + [0, 50, 2, -7]).astype(np.float32)
    return dataset_of(np.arange(rows) % classes, x)


def _line(rows: int = 120) -> Dataset:
    return dataset_of(np.sin(np.arange(rows)) * 30 + 100, _blobs(rows).x)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=6).filter(lambda n: sum(n) >= 45),
    fraction=st.floats(0.05, 0.5),
    replica=st.integers(0, 9),
)
def test_inner_split_divides_the_development_rows(
    sizes: list[int], fraction: float, replica: int
) -> None:
    """Training and validation are disjoint, make up development, and each class is trained on."""
    made = dataset_of(classes_of(sizes))
    development, _ = data.outer_split(made, DataSpec())
    keys = randomness.key_tree(3, replica, ("split",))
    view = _view(made, keys, validation_fraction=fraction)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([view.train, view.validation])), development
    )
    assert view.train.dtype == view.validation.dtype == np.int32
    assert set(made.y[view.train]) == set(range(len(sizes)))


def test_the_split_follows_its_key_only() -> None:
    """The split key moves the split, the corruption key does not, and the other way round."""
    made = _blobs()
    view = _view(made, label_noise=0.3)
    mixed = {"split": OTHER["split"], "corrupt": KEYS["corrupt"]}
    resplit = _view(made, mixed, label_noise=0.3)
    assert not np.array_equal(view.train, resplit.train)
    np.testing.assert_array_equal(view.targets, resplit.targets)
    respoiled = _view(made, {"split": KEYS["split"], "corrupt": OTHER["corrupt"]}, label_noise=0.3)
    np.testing.assert_array_equal(view.train, respoiled.train)
    assert not np.array_equal(view.targets, respoiled.targets)


def test_view_goldens() -> None:
    """The streams of the inner split and of a subset never change."""
    made = _blobs(60)
    assert _view(made).validation.tolist() == GOLDEN_VALIDATION
    assert _view(made, train_size=12).train.tolist() == GOLDEN_SUBSET


def test_label_noise_reaches_validation_but_not_test() -> None:
    """Tuning sees data as contaminated as training; the test rows stay clean."""
    made = _blobs(1000)
    _, test = data.outer_split(made, DataSpec())
    view = _view(made, label_noise=0.5)
    changed = view.targets != made.y
    assert changed[view.train].any()
    assert changed[view.validation].any()
    assert not changed[test].any()
    assert made.y is not view.targets


@settings(deadline=None, max_examples=25)
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_doses_are_nested_in_a_view(a: float, b: float) -> None:
    """What is spoiled at one dose is spoiled in the same way at a larger one."""
    made = _line()
    low, high = sorted((a, b))
    few, many = (_view(made, outliers=p).targets for p in (low, high))
    spoiled = few != made.y
    assert spoiled.sum() == round(low * 96)
    np.testing.assert_array_equal(few[spoiled], many[spoiled])


def test_imbalance_and_duplicates_change_training_only() -> None:
    """Validation rows stay as they are; the number of training rows is as documented."""
    made = _blobs(240, 4)
    plain = _view(made)
    thin = _view(made, imbalance=0.5)
    np.testing.assert_array_equal(plain.validation, thin.validation)
    before, after = np.bincount(made.y[plain.train]), np.bincount(made.y[thin.train])
    np.testing.assert_array_equal(before[::2], after[::2])
    np.testing.assert_array_equal(after[1::2], [n - round(0.5 * n) for n in before[1::2]])
    doubled = _view(made, duplicates=0.4)
    assert len(doubled.train) == len(plain.train)
    assert np.sum(doubled.train != plain.train) == round(0.4 * len(plain.train))
    assert set(doubled.train.tolist()) <= set(plain.train.tolist())
    np.testing.assert_array_equal(doubled.validation, plain.validation)


def test_train_size_is_exact_stratified_and_nested() -> None:
    """A smaller training set is part of a larger one, and holds every class."""
    made = _blobs(300, 5)
    small, large = _view(made, train_size=20), _view(made, train_size=100)
    assert len(small.train) == 20
    assert set(small.train.tolist()) < set(large.train.tolist())
    assert np.bincount(made.y[small.train]).tolist() == [4] * 5
    np.testing.assert_array_equal(small.validation, large.validation)
    both = _view(made, train_size=100, imbalance=0.5, duplicates=0.2)
    assert len(both.train) == 100
    assert set(made.y[both.train]) == set(range(5))


@pytest.mark.parametrize("rare", [2, 3])
def test_a_rare_class_survives_every_subset(rare: int) -> None:
    """A class of two development rows is in the smallest training set."""
    made = dataset_of(classes_of([200, 200, rare]))
    view = _view(made, train_size=10, imbalance=0.9, duplicates=0.9)
    assert set(made.y[view.train]) == {0, 1, 2}
    assert set(made.y[_view(made, validation_fraction=0.9).train]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("fields", "told", "field"),
    [
        ({"train_size": 77}, "of the 120 rows of made, 76 are left for training", "train_size"),
        ({"train_size": 9}, "9 rows are too few to train on; at least 10", "train_size"),
        ({"test_fraction": 0.9}, "9 are left for training", "test_fraction"),
        ({"test_fraction": 0.6, "validation_fraction": 0.9}, "44 validate", "validation_fraction"),
        ({"validation_fraction": 0.99}, "0 are left .* needed; give less", "validation_fraction"),
        (
            {"imbalance": 0.95, "test_fraction": 0.8, "validation_fraction": 0.45},
            "are left",
            "imbalance",
        ),
        ({"outliers": 0.1}, "use label_noise", "outliers"),
    ],
)
def test_sizes_that_do_not_fit(fields: dict[str, Any], told: str, field: str) -> None:
    """Too many or too few training rows are told with the numbers."""
    with pytest.raises(UserError, match=told) as caught:
        _view(_blobs(), **fields)
    assert caught.value.field == field


def test_a_single_row_is_told_as_one() -> None:
    """Protects the message's grammar and its advice where no share is to blame."""
    with pytest.raises(UserError, match="1 is left for training") as caught:
        _view(_line(3))
    assert str(caught.value).endswith("at least 10 are needed.")
    assert "(1 validates, 1 is a test row or removed)" in str(caught.value)
    with pytest.raises(UserError, match="give more") as caught:
        _view(_blobs(12, 2), generated_rows=12)
    assert caught.value.field == "generated_rows"


def test_fewer_training_rows_than_classes() -> None:
    """Each class needs a training row."""
    with pytest.raises(UserError, match="at least 12 \\(one of each class\\)"):
        _view(_blobs(240, 12), train_size=11)


@pytest.mark.parametrize("preprocessing", ["standardise", "minmax", "none"])
def test_preparation(preprocessing: str) -> None:
    """Prepared training rows have mean 0 and SD 1, or range 0 … 1, or are raw."""
    made = _line()
    view = _view(made, preprocessing=preprocessing)
    z = (made.x[view.train] - view.x_mean) * view.x_scale
    t = (view.targets[view.train] - view.y_mean) * view.y_scale
    assert view.x_mean.dtype == view.x_scale.dtype == np.float32
    if preprocessing == "standardise":
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-4)
    elif preprocessing == "minmax":
        np.testing.assert_allclose(z.min(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(z.max(axis=0), 1, atol=1e-5)
    else:
        np.testing.assert_array_equal(z, made.x[view.train])
        assert (view.y_mean, view.y_scale) == (0.0, 1.0)
        return
    np.testing.assert_allclose([t.mean(), t.std()], [0, 1], atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), preprocessing=st.sampled_from(["standardise", "minmax"]))
def test_preparation_is_fitted_on_training_rows_only(seed: int, preprocessing: str) -> None:
    """Whatever the validation and test rows hold, the fitted numbers keep their bits."""
    made = _line()
    view = _view(made, preprocessing=preprocessing)
    outside = np.setdiff1d(np.arange(len(made.y)), view.train)
    draws = np.random.default_rng(seed)
    x, y = made.x.copy(), made.y.copy()
    x[outside] = draws.normal(size=(len(outside), 4)) * 1e6
    y[outside] = draws.normal(size=len(outside)) * 1e6
    again = _view(dataclasses.replace(made, x=x, y=y), preprocessing=preprocessing)
    np.testing.assert_array_equal(view.train, again.train)
    np.testing.assert_array_equal(view.x_mean, again.x_mean)
    np.testing.assert_array_equal(view.x_scale, again.x_scale)
    assert (view.y_mean, view.y_scale) == (again.y_mean, again.y_scale)


def test_target_scale_sees_the_corruption() -> None:
    """Targets are scaled as the training rows show them, outliers and all."""
    assert _view(_line(), outliers=0.2).y_scale < 0.5 * _view(_line()).y_scale


@pytest.mark.parametrize("preprocessing", ["standardise", "minmax"])
def test_odd_columns_stay_finite(preprocessing: str) -> None:
    """Missing values are ignored; a constant column keeps scale 1; an empty one is switched off."""
    made = _blobs()
    view = _view(made, preprocessing=preprocessing)
    x = made.x.copy()
    x[:, 1] = 0.1
    x[view.train, 2] = np.nan
    x[view.train[:20], 3] = np.nan
    x[view.train, 0] = np.where(np.arange(len(view.train)) % 2, 0, 1e-42)
    got = _view(dataclasses.replace(made, x=x), preprocessing=preprocessing)
    assert np.isfinite(got.x_mean).all()
    assert np.isfinite(got.x_scale).all()
    assert got.x_scale[0] == 1
    assert (got.x_mean[1], got.x_scale[1]) == (np.float32(0.1), 1)
    assert (got.x_mean[2], got.x_scale[2]) == (0, 0)
    known = x[view.train[20:], 3]
    expected = known.mean() if preprocessing == "standardise" else known.min()
    np.testing.assert_allclose(got.x_mean[3], expected, rtol=1e-5)


def test_constant_training_targets_keep_scale_one() -> None:
    """Targets that happen to be equal in the training rows are not divided by zero."""
    made = _line()
    y = made.y.copy()
    y[_view(made).train] = 7
    got = _view(dataclasses.replace(made, y=y))
    assert (got.y_mean, got.y_scale) == (7.0, 1.0)
