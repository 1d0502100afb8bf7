"""Metrics against scikit-learn, and sums that merge."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from convergence import names
from convergence.metrics import metrics, per_row, summarise

GENERATOR = np.random.default_rng(0)


def whole(task: str, outputs: Any, targets: Any, scale: float = 1.0, pieces: int = 1) -> Any:
    """The finished metrics, from any number of pieces."""
    sums: dict[str, Any] = {}
    total, squares = jnp.float32(0), jnp.float32(0)
    for index in np.array_split(np.arange(len(targets)), pieces):
        y = jnp.asarray(targets[index])
        rows = per_row(task, jnp.asarray(outputs[index]), y, jnp.float32(0), jnp.float32(scale))
        assert all(v.shape == y.shape and v.dtype == jnp.float32 for v in rows.values())
        sums = {name: sums.get(name, jnp.float32(0)) + v.sum() for name, v in rows.items()}
        own = y.astype(jnp.float32) * jnp.float32(scale)
        total, squares = total + own.sum(), squares + jnp.square(own).sum()
    told = summarise(task, sums, jnp.int32(len(targets)), total, squares)
    assert tuple(told) == metrics(task)
    assert all(v.shape == () and v.dtype == jnp.float32 for v in told.values())
    return {name: float(v) for name, v in told.items()}


@pytest.mark.parametrize("pieces", [1, 6])
def test_classification_metrics(pieces: int) -> None:
    """Protects accuracy, cross-entropy and Brier score against scikit-learn, in any batching."""
    logits = GENERATOR.normal(size=(60, 4)).astype(np.float32)
    targets = GENERATOR.integers(0, 4, 60).astype(np.int32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    told = whole("classification", logits, targets, pieces=pieces)
    assert told["accuracy"] == pytest.approx(sk.accuracy_score(targets, logits.argmax(1)))
    assert told["cross_entropy"] == pytest.approx(sk.log_loss(targets, p), rel=1e-5)
    brier = ((p - np.eye(4)[targets]) ** 2).sum(1).mean()
    assert told["brier"] == pytest.approx(brier, rel=1e-5)


@pytest.mark.parametrize("pieces", [1, 6])
def test_regression_metrics_in_the_targets_unit(pieces: int) -> None:
    """Protects units: errors are told in the target's own unit, r2 without one."""
    mean, scale = 2000.0, 12.5
    targets = GENERATOR.normal(size=60).astype(np.float32)
    outputs = (targets + 0.3 * GENERATOR.normal(size=60))[:, None].astype(np.float32)
    own, guess = targets * scale + mean, outputs[:, 0] * scale + mean
    told = whole("regression", outputs, targets, scale, pieces)
    assert told["rmse"] == pytest.approx(np.sqrt(sk.mean_squared_error(own, guess)), rel=1e-4)
    assert told["mae"] == pytest.approx(sk.mean_absolute_error(own, guess), rel=1e-4)
    assert told["r2"] == pytest.approx(sk.r2_score(own, guess), rel=1e-4)


def test_r2_of_constant_targets() -> None:
    """Protects the division by no variance: scikit-learn's convention, never NaN."""
    targets = np.zeros(4, np.float32)
    assert whole("regression", np.zeros((4, 1), np.float32), targets)["r2"] == 1.0
    assert whole("regression", np.ones((4, 1), np.float32), targets)["r2"] == 0.0


def test_a_diverged_model_scores_nothing() -> None:
    """Protects accuracy from argmax's habit of naming the first NaN's class."""
    logits = np.full((3, 2), np.nan, np.float32)
    told = whole("classification", logits, np.zeros(3, np.int32))
    assert all(np.isnan(value) for value in told.values())


def test_names() -> None:
    """Protects the metric flags: each task's names are those offered."""
    assert metrics("classification") == names.CLASSIFICATION_METRICS
    assert metrics("regression") == names.REGRESSION_METRICS
