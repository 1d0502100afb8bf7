"""The ensemble of seeds, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convergence.analysis.ensemble import of_classes, of_numbers, scores


def logits(chances: list[list[list[float]]]) -> np.ndarray:
    return np.log(np.array(chances)).astype(np.float32)


def test_classes_by_hand() -> None:
    """Protects the meaning of each column: means of probabilities, not votes."""
    # Two of three seeds say class 0, but barely; the mean says class 1.
    told = of_classes(logits([[[0.6, 0.4]], [[0.6, 0.4]], [[0.1, 0.9]]]))
    assert told.members.tolist() == [[0], [0], [1]]
    assert told.prediction.tolist() == [1]
    assert told.probability is not None
    np.testing.assert_allclose(told.probability, [[1.3 / 3, 1.7 / 3]], rtol=1e-6)
    np.testing.assert_allclose(told.spread, np.std([0.4, 0.4, 0.9], ddof=1), rtol=1e-6)
    np.testing.assert_allclose(told.agreement, [1 / 3])
    p = np.array([1.3 / 3, 1.7 / 3])
    np.testing.assert_allclose(told.entropy, -(p * np.log(p)).sum(), rtol=1e-6)
    sure = of_classes(np.array([[[1e30, 0.0]]], np.float32))
    assert sure.entropy is not None
    assert sure.entropy.tolist() == [0.0]
    assert np.isnan(sure.spread).all()


def test_numbers_by_hand() -> None:
    """Protects regressions: mean and sd over seeds; one seed tells no spread."""
    told = of_numbers(np.array([[1.0, 4.0], [3.0, 4.0]], np.float32))
    assert told.prediction.tolist() == [2.0, 4.0]
    np.testing.assert_allclose(told.spread, [np.sqrt(2), 0.0])
    assert np.isnan(of_numbers(np.ones((1, 2))).spread).all()


def test_scores_by_hand() -> None:
    """Protects the score told of new rows: rows without a target are left out."""
    told = of_numbers(np.array([[1.0, 4.0, 9.0], [3.0, 4.0, 9.0]]))
    found = scores(told, np.array([2.0, 5.0, np.nan]))
    np.testing.assert_allclose(found["rmse"], (np.sqrt(0.5), 1.0))
    np.testing.assert_allclose(found["mae"], (0.5, 1.0))
    classes = of_classes(logits([[[0.6, 0.4], [0.5, 0.6]], [[0.1, 0.9], [0.6, 0.5]]]))
    assert scores(classes, np.array([1.0, np.nan])) == {"accuracy": (1.0, 0.5)}


@given(
    arrays(
        np.float32,
        (3, 4, 5),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    )
)
def test_probabilities_always_are(outputs: np.ndarray) -> None:
    """Protects from overflow: whatever the outputs, probabilities sum to 1 and nothing warns."""
    told = of_classes(outputs)
    assert told.probability is not None
    assert told.agreement is not None
    assert told.entropy is not None
    np.testing.assert_allclose(told.probability.sum(axis=-1), 1.0)
    assert np.all((told.agreement >= 0) & (told.agreement <= 1))
    assert np.all((told.entropy >= 0) & (told.entropy <= np.log(5) + 1e-9))
