"""Losses against their formulas, and the facts that make them worth comparing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convergence import spec
from convergence.errors import UserError
from convergence.losses import build_loss

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(scale=3, size=(40, 5))
CLASSES = GENERATOR.integers(0, 5, 40)
GUESSES = GENERATOR.normal(scale=2, size=(40, 1))
VALUES = GENERATOR.normal(size=40)


def hyper(**changes: float) -> dict[str, jax.Array]:
    numbers = spec.hyperparameters(spec.Setting()) | changes
    return {name: jnp.float32(value) for name, value in numbers.items()}


def rows(name: str, outputs: Any, targets: Any, **changes: float) -> np.ndarray:
    kind = jnp.int32 if np.issubdtype(np.asarray(targets).dtype, np.integer) else jnp.float32
    loss = build_loss(name, "classification" if kind == jnp.int32 else "regression")
    out = jnp.asarray(outputs, jnp.float32)
    return np.asarray(loss.per_example(out, jnp.asarray(targets, kind), hyper(**changes)))


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


P = softmax(LOGITS)
OWN = P[np.arange(40), CLASSES]
ONEHOT = np.eye(5)[CLASSES]
ERROR = GUESSES[:, 0] - VALUES
WRONG = np.where(ONEHOT == 1, -np.inf, LOGITS).max(1)
CLASSIFICATION = {
    "cross_entropy": ({"label_smoothing": 0.0}, -np.log(OWN)),
    "smoothed": ({"label_smoothing": 0.2}, -((0.8 * ONEHOT + 0.04) * np.log(P)).sum(1)),
    "focal": ({"focal_gamma": 1.5}, -((1 - OWN) ** 1.5) * np.log(OWN)),
    "gce": ({"gce_q": 0.4}, (1 - OWN**0.4) / 0.4),
    "mae_probability": ({}, np.abs(ONEHOT - P).sum(1)),
    # Wang et al.: alpha .1, beta 1, and log of a one-hot target cut at log 1e-4.
    "sce": ({}, -0.1 * np.log(OWN) - (P * np.log(np.maximum(ONEHOT, 1e-4))).sum(1)),
    "hinge": ({}, np.maximum(0, 1 + WRONG - LOGITS[np.arange(40), CLASSES])),
    "square": ({}, ((LOGITS - ONEHOT) ** 2).mean(1)),
}
REGRESSION = {
    "mse": ({}, ERROR**2),
    "rmse": ({}, ERROR**2),
    "mae": ({}, np.abs(ERROR)),
    "huber": (
        {"huber_delta": 0.7},
        np.where(np.abs(ERROR) <= 0.7, ERROR**2 / 2, 0.7 * (np.abs(ERROR) - 0.35)),
    ),
    "log_cosh": ({}, np.log(np.cosh(ERROR))),
    "quantile": ({"quantile": 0.8}, np.where(ERROR < 0, -0.8 * ERROR, 0.2 * ERROR)),
}


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_formula(name: str) -> None:
    """Protects each classification loss from drifting off its published formula."""
    changes, expected = CLASSIFICATION[name]
    told = rows("cross_entropy" if name == "smoothed" else name, LOGITS, CLASSES, **changes)
    np.testing.assert_allclose(told, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_formula(name: str) -> None:
    """Protects each regression loss from drifting off its formula."""
    changes, expected = REGRESSION[name]
    told = rows(name, GUESSES, VALUES, **changes)
    np.testing.assert_allclose(told, expected, rtol=2e-4, atol=1e-6)
    reduced = build_loss(name, "regression").reduce(jnp.asarray(told))
    mean = expected.mean()
    np.testing.assert_allclose(reduced, np.sqrt(mean) if name == "rmse" else mean, rtol=1e-4)


def test_limits_that_join_the_losses() -> None:
    """Protects the meaning of the numbers: each family contains its neighbours."""
    entropy = rows("cross_entropy", LOGITS, CLASSES)
    np.testing.assert_allclose(rows("focal", LOGITS, CLASSES, focal_gamma=0.0), entropy, rtol=1e-4)
    small, half = (rows("gce", LOGITS, CLASSES, gce_q=q) for q in (1e-4, 1.0))
    np.testing.assert_allclose(small, entropy, rtol=2e-3, atol=1e-3)
    absolute = rows("mae_probability", LOGITS, CLASSES)
    np.testing.assert_allclose(half, absolute / 2, rtol=1e-4, atol=1e-6)
    assert np.all(rows("focal", LOGITS, CLASSES) <= entropy + 1e-6)
    wide = rows("huber", GUESSES, VALUES, huber_delta=1e3)
    np.testing.assert_allclose(wide, rows("mse", GUESSES, VALUES) / 2, rtol=1e-4)
    median = rows("quantile", GUESSES, VALUES, quantile=0.5)
    np.testing.assert_allclose(median, rows("mae", GUESSES, VALUES) / 2, rtol=1e-5)


def slope(name: str, error: float) -> float:
    loss = build_loss(name, "regression")
    targets = jnp.zeros(1)
    grad = jax.grad(lambda out: jnp.sum(loss.per_example(out, targets, hyper())))
    return float(grad(jnp.full((1, 1), error, jnp.float32))[0, 0])


def test_outliers_pull_by_their_loss() -> None:
    """Protects challenge 2's lever: mse magnifies an outlier, the robust losses shrug."""
    assert slope("mse", 100.0) == pytest.approx(200.0)
    for name in ("mae", "huber", "log_cosh"):
        assert slope(name, 100.0) == pytest.approx(1.0)
        assert slope(name, -100.0) == pytest.approx(-1.0)
    assert slope("huber", 0.01) == pytest.approx(0.01)


def test_symmetric_losses_sum_to_a_constant() -> None:
    """Protects noise robustness (Ghosh et al., theorem 1): mae over all classes is constant."""
    sums = sum(rows("mae_probability", LOGITS, np.full(40, k)) for k in range(5))
    np.testing.assert_allclose(sums, 8.0, rtol=1e-5)
    entropy = sum(rows("cross_entropy", LOGITS, np.full(40, k)) for k in range(5))
    assert entropy.std() > 1


def test_the_reverse_term_of_sce() -> None:
    """Protects sce's constant: log 0 is log 1e-4, as in the authors' program (Wang et al., 2019).

    Their ``symmetric_cross_entropy``: the one-hot target cut to [1e-4, 1], alpha .1 and beta 1.
    """
    surely_wrong = rows("sce", [[40.0, 0.0]], [1])[0]
    assert surely_wrong == pytest.approx(0.1 * 40 + 9.210340, rel=1e-6)
    assert rows("sce", [[40.0, 0.0]], [0])[0] == pytest.approx(0.0, abs=1e-6)
    # The reverse term is symmetric: over all classes it is -A (classes - 1), whatever is predicted.
    reverse = sum(
        rows("sce", LOGITS, told) - 0.1 * rows("cross_entropy", LOGITS, told, label_smoothing=0.0)
        for told in (np.full(40, k) for k in range(5))
    )
    np.testing.assert_allclose(reverse, 9.210340 * 4, rtol=1e-5)


def test_quantile_is_least_at_the_quantile() -> None:
    """Protects the pinball loss' side: .9 must estimate the upper decile, not the lower."""
    sample = np.random.default_rng(1).normal(size=2001)
    grid = np.linspace(-3, 3, 301)
    costs = [rows("quantile", np.full((2001, 1), g), sample, quantile=0.9).mean() for g in grid]
    assert grid[int(np.argmin(costs))] == pytest.approx(np.quantile(sample, 0.9), abs=0.03)


def test_root_mean_keeps_nan() -> None:
    """Protects divergence from being read as a perfect fit."""
    reduce = build_loss("rmse", "regression").reduce
    assert np.isnan(float(reduce(jnp.asarray([1.0, jnp.nan]))))
    assert float(reduce(jnp.zeros(3))) == 0.0
    assert np.all(np.asarray(jax.grad(reduce)(jnp.zeros(3))) == 0)
    assert np.isinf(float(reduce(jnp.asarray([1.0, jnp.inf]))))


def test_auto_and_mistakes() -> None:
    """Protects users: auto fits the task, a loss of the other task says which would fit."""
    assert build_loss("auto", "classification") == build_loss("cross_entropy", "classification")
    assert build_loss("auto", "regression") == build_loss("mse", "regression")
    with pytest.raises(UserError, match=r"--loss: mae does not fit a classification; .*focal"):
        build_loss("mae", "classification")
    with pytest.raises(UserError, match=r"hinge does not fit a regression; .*huber"):
        build_loss("hinge", "regression")
    with pytest.raises(UserError, match="did you mean 'huber'"):
        build_loss("hubber", "regression")


def test_users_own_loss(tmp_path: Path) -> None:
    """Protects a user's function: used as it is, and a [batch, batch] slip is told."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import jax.numpy as jnp\n"
        "def fourth(outputs, targets):\n    return (outputs[:, 0] - targets) ** 4\n"
        "def slip(outputs, targets):\n    return (outputs - targets) ** 2\n"
        "number = 3\n"
    )
    told = rows(f"{file}:fourth", GUESSES, VALUES)
    np.testing.assert_allclose(told, ERROR**4, rtol=1e-3, atol=1e-6)
    with pytest.raises(UserError, match=r"slip returned the shape \(40, 40\)"):
        rows(f"{file}:slip", GUESSES, VALUES)
    with pytest.raises(UserError, match="not a function"):
        build_loss(f"{file}:number", "regression")
