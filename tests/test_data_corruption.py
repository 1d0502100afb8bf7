"""Data spoiled on purpose: exactly as much as asked, nested, keyed and pure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convergence import randomness
from convergence.data import corruption
from convergence.errors import UserError
from convergence.spec import DataSpec

KEY = randomness.fold_name(randomness.source_key(0, "corrupt", 0), "label_noise")
SHARES = st.floats(0, 1)
_quick = settings(deadline=None, max_examples=40)
GOLDEN_CHOSEN = [0, 7, 11]
GOLDEN_LABELS = [0, 0, 2, 0, 1, 1, 0, 2, 0, 0, 1, 2]
GOLDEN_OUTLIERS = [5.03869, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, -4.38208, 2.0, 0.0, 1.0, 6.29985]
GOLDEN_IMBALANCE = [0, 1, 2, 3, 4, 5, 6, 8, 9, 11]
GOLDEN_DUPLICATES = [3, 4, 2, 3, 4, 2, 6, 4, 8, 9, 4, 8]


@_quick
@given(count=st.integers(1, 200), a=SHARES, b=SHARES)
def test_chosen_rows_are_exact_and_nested(count: int, a: float, b: float) -> None:
    """Exactly round(p·n) rows, those of a small dose among those of a large one."""
    low, high = sorted((a, b))
    few, many = (set(corruption.chosen(KEY, count, p).tolist()) for p in (low, high))
    assert len(few) == round(low * count)
    assert few <= many


@_quick
@given(count=st.integers(10, 200), classes=st.integers(2, 10), share=SHARES)
def test_label_noise_touches_the_chosen_rows_only(count: int, classes: int, share: float) -> None:
    """Only chosen rows change, to valid classes; a row noisy at two doses has the same label."""
    y = (np.arange(count) % classes).astype(np.int32)
    before = y.copy()
    noisy = corruption.label_noise(y, KEY, share, classes)
    np.testing.assert_array_equal(y, before)
    assert noisy.dtype == y.dtype
    chosen = corruption.chosen(KEY, count, share)
    rest = np.setdiff1d(np.arange(count), chosen)
    np.testing.assert_array_equal(noisy[rest], y[rest])
    assert noisy.min() >= 0
    assert noisy.max() < classes
    full = corruption.label_noise(y, KEY, 1.0, classes)
    np.testing.assert_array_equal(noisy[chosen], full[chosen])


def test_label_noise_is_uniform_over_all_classes() -> None:
    """Redrawn labels are each class equally often, the old one included."""
    y = np.zeros(20000, np.int32)
    counts = np.bincount(corruption.label_noise(y, KEY, 1.0, 4), minlength=4)
    np.testing.assert_allclose(counts, 5000, atol=5 * np.sqrt(20000 * 0.25 * 0.75))


@_quick
@given(count=st.integers(10, 200), share=SHARES, scale=st.floats(0.5, 50))
def test_outliers_are_exact_and_large(count: int, share: float, scale: float) -> None:
    """Exactly the share is thrown off, each by at least half the scale in SDs of the clean."""
    y = np.sin(np.arange(count)).astype(np.float32)
    spoiled = corruption.outliers(y, KEY, share, scale)
    shift = np.abs(spoiled.astype(np.float64) - y) / y.std(dtype=np.float64)
    assert np.sum(shift > 0) == round(share * count)
    assert np.all(shift[shift > 0] >= scale / 2 - 1e-3)
    full = corruption.outliers(y, KEY, 1.0, scale)
    np.testing.assert_array_equal(spoiled[shift > 0], full[shift > 0])


def test_outlier_sizes() -> None:
    """The mean shift is the scale, and both signs are equally likely."""
    y = np.sin(np.arange(20000)).astype(np.float32)
    shift = (corruption.outliers(y, KEY, 1.0, 10.0) - y) / y.std()
    assert abs(np.abs(shift).mean() - 10) < 0.2
    assert abs((shift > 0).mean() - 0.5) < 0.02


@_quick
@example(sizes=[3, 3], a=0.5, b=1.0)
@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6), a=SHARES, b=SHARES)
def test_imbalance_spares_every_other_class(sizes: list[int], a: float, b: float) -> None:
    """Odd classes lose round(p·n) rows but never the last; even ones none; doses are nested."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(y)) + 100
    low, high = sorted((a, b))
    kept, fewer = (corruption.imbalance(rows, y, KEY, p) for p in (low, high))
    assert set(fewer.tolist()) <= set(kept.tolist())
    for share, rest in ((low, kept), (high, fewer)):
        left = np.bincount(y[rest - 100], minlength=len(sizes))
        for index, size in enumerate(sizes):
            gone = min(round(share * size), size - 1) if index % 2 else 0
            assert left[index] == size - gone


@_quick
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), a=SHARES, b=SHARES)
def test_duplicates_replace_exactly_the_share(sizes: list[int], a: float, b: float) -> None:
    """round(p·n) rows are replaced by surviving rows of their class; the replaced are nested."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(y)) + 100
    low, high = sorted((a, b))
    some, more = (corruption.duplicates(rows, y, KEY, p) for p in (low, high))
    assert np.sum(some != rows) == min(round(low * len(y)), len(y) - len(sizes))
    assert set(np.flatnonzero(some != rows)) <= set(np.flatnonzero(more != rows))
    np.testing.assert_array_equal(y[some - 100], y)
    survivors = set(rows[some == rows].tolist())
    assert set(some.tolist()) == survivors


def test_keys_matter() -> None:
    """Another key spoils other rows."""
    other = randomness.fold_name(randomness.source_key(0, "corrupt", 1), "label_noise")
    assert set(corruption.chosen(KEY, 100, 0.2)) != set(corruption.chosen(other, 100, 0.2))


def test_corruption_goldens() -> None:
    """The streams of corruption never change."""
    y = np.arange(12, dtype=np.int32) % 3
    rows = np.arange(12)
    assert corruption.chosen(KEY, 12, 0.25).tolist() == GOLDEN_CHOSEN
    assert corruption.label_noise(y, KEY, 0.75, 3).tolist() == GOLDEN_LABELS
    spoiled = corruption.outliers(y.astype(np.float32), KEY, 0.25, 10.0)
    np.testing.assert_allclose(spoiled, GOLDEN_OUTLIERS, rtol=1e-5)
    assert corruption.imbalance(rows, y, KEY, 0.5).tolist() == GOLDEN_IMBALANCE
    assert corruption.duplicates(rows, y, KEY, 0.5).tolist() == GOLDEN_DUPLICATES


@pytest.mark.parametrize(
    ("field", "task", "right"),
    [
        ("label_noise", "regression", "outliers"),
        ("imbalance", "regression", "outliers or duplicates"),
        ("outliers", "classification", "label_noise"),
    ],
)
def test_corruption_that_does_not_fit(field: str, task: str, right: str) -> None:
    """Corruption of the wrong task names its flag and the right one."""
    with pytest.raises(UserError, match=right) as caught:
        corruption.check_fits(DataSpec(**{field: 0.1}), task, "made")  # type: ignore[arg-type]
    assert caught.value.field == field
