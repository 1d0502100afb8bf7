"""What a trained model is judged by, as sums that merge over batches and are finished last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from convergence import names

Array = jax.Array

BY_TASK: dict[str, tuple[str, ...]] = {
    "classification": names.CLASSIFICATION_METRICS,
    "regression": names.REGRESSION_METRICS,
}


def metrics(task: str) -> tuple[str, ...]:
    """Names of a task's metrics, the default first."""
    return BY_TASK[task]


def _classification_rows(outputs: Array, targets: Array) -> dict[str, Array]:
    labels = jax.nn.one_hot(targets, outputs.shape[-1], dtype=jnp.float32)
    hit = (jnp.argmax(outputs, axis=-1) == targets).astype(jnp.float32)
    # argmax picks the first NaN: a diverged model must not score by the class it happens to name.
    hit = jnp.where(jnp.all(jnp.isfinite(outputs), axis=-1), hit, jnp.nan)
    return {
        "accuracy": hit,
        "cross_entropy": optax.softmax_cross_entropy_with_integer_labels(outputs, targets),
        "brier": jnp.sum(jnp.square(jax.nn.softmax(outputs) - labels), axis=-1),
    }


def per_row(
    task: str, outputs: Array, targets: Array, y_mean: Array, y_scale: Array
) -> dict[str, Array]:
    """The metrics' contribution of each row.

    Args:
        task: "classification" or "regression".
        outputs: ``[n, outputs]`` float32 logits, or predictions in prepared units.
        targets: ``[n]`` int32 classes, or float32 values in prepared units.
        y_mean: the mean taken off the targets; errors do not depend on it.
        y_scale: the scale that targets were divided by (ignored for classification).

    Returns:
        float32 ``[n]`` each. Classification: ``accuracy`` (0 or 1, NaN where the outputs are not
        finite), ``cross_entropy`` (nats), ``brier`` (sum of squares over classes, in [0, 2]).
        Regression, in the target's own unit: ``squared_error``, ``absolute_error``.
    """
    if task == "classification":
        return _classification_rows(outputs, targets)
    error = (outputs[:, 0] - targets) * y_scale
    return {"squared_error": jnp.square(error), "absolute_error": jnp.abs(error)}


def summarise(
    task: str, sums: dict[str, Array], count: Array, target_sum: Array, target_sumsq: Array
) -> dict[str, Array]:
    """The metrics from sums over rows, which may have been merged from any number of batches.

    Args:
        task: "classification" or "regression".
        sums: sum over rows of each of `per_row`'s values.
        count: number of rows, int or float.
        target_sum: sum over rows of the target in its own unit, less any constant: r2 does not
            depend on it, and in float32 a far-off mean would drown the variance, so pass
            ``prepared target * y_scale``. Ignored for classification.
        target_sumsq: sum of the squares of the same values.

    Returns:
        float32 scalars: accuracy, cross_entropy, brier; or rmse and mae in the target's unit, and
        r2 (where the targets do not vary: 1 for a perfect fit, else 0, as in scikit-learn).
    """
    n = jnp.asarray(count).astype(jnp.float32)
    if task == "classification":
        return {name: sums[name] / n for name in names.CLASSIFICATION_METRICS}
    squared = sums["squared_error"]
    spread = target_sumsq - jnp.square(target_sum) / n
    ratio = squared / jnp.where(spread > 0.0, spread, 1.0)
    constant = jnp.where(squared > 0.0, 0.0, 1.0)
    return {
        "rmse": jnp.sqrt(squared / n),
        "mae": sums["absolute_error"] / n,
        "r2": jnp.where(spread > 0.0, 1.0 - ratio, constant),
    }
