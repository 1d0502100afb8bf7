"""Each row's part in a seed's score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def row_scores(metric: str, outputs: Array, truth: np.ndarray) -> Array:
    """float64[seeds, rows] whose means over rows are the seeds' scores, exactly.

    For rmse the parts are linearised around the seed's own value, ``rmse + (e² - mse) / (2 rmse)``
    (the delta method), so that inference over rows has the metric's unit.

    Args:
        metric: a name of `names.METRICS`.
        outputs: [seeds, rows, classes] logits, or [seeds, rows] values in the target's own unit.
        truth: [seeds, rows] class indices or values.
    """
    if outputs.ndim == 3:
        return _of_classes(metric, outputs, truth)
    errors = outputs - truth
    if metric == "mae":
        return np.abs(errors)
    square = errors**2
    if metric == "r2":
        return 1 - square / truth.astype(np.float64).var(axis=1, keepdims=True)
    mse = square.mean(axis=1, keepdims=True)
    root = np.sqrt(mse)
    return root + (square - mse) / np.where(root > 0, 2 * root, 1)


def _of_classes(metric: str, outputs: Array, truth: np.ndarray) -> Array:
    logits = outputs - outputs.max(axis=-1, keepdims=True)
    chance = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    if metric == "accuracy":
        return (outputs.argmax(axis=-1) == truth).astype(np.float64)
    if metric == "brier":
        label = np.eye(outputs.shape[-1])[truth]
        return ((chance - label) ** 2).sum(axis=-1)
    picked = np.take_along_axis(logits, truth[..., None], axis=-1)
    return np.log(np.exp(logits).sum(axis=-1)) - picked[..., 0]
