"""Losses per example: optax's where it has them, and the few it lacks.

Every loss takes ``(outputs [batch, outputs] float32, targets [batch], hyper)`` and returns
``[batch]`` float32; targets are int32 classes or float32 values in prepared units, ``hyper`` the
traced hyperparameters by name. Outputs of a regression are ``[batch, 1]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from convergence import names
from convergence.errors import UserError, unknown_name
from convergence.userfile import load_attribute

Array = jax.Array
Hyper = dict[str, Array]
PerExample = Callable[[Array, Array, Hyper], Array]

# Wang et al. 2019 for CIFAR-10. The paper sets log 0 to a constant A; the authors' program, from
# which its figures come, cuts the one-hot target at 1e-4: A is log 1e-4 = -9.21 (its power of ten
# is -4). With A = -2 the reverse term would be mae_probability.
SCE_ALPHA, SCE_BETA, SCE_LOG_ZERO = 0.1, 1.0, math.log(1e-4)


class Loss(NamedTuple):
    """A loss: its value on each example, how a batch is reduced, and the tasks it fits."""

    per_example: PerExample
    reduce: Callable[[Array], Array]  # [batch] -> scalar
    tasks: tuple[str, ...]


def _log_probability(outputs: Array, targets: Array) -> Array:
    """Log of the probability that each example's own class is given, ``[batch]``."""
    return -optax.softmax_cross_entropy_with_integer_labels(outputs, targets)


def cross_entropy(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Softmax cross-entropy with label smoothing (Szegedy et al., 2016, section 7), in nats.

    Reads ``label_smoothing`` a: the target is ``(1 - a) onehot + a / classes``.
    """
    labels = optax.smooth_labels(
        jax.nn.one_hot(targets, outputs.shape[-1]), hyper["label_smoothing"]
    )
    return optax.softmax_cross_entropy(outputs, labels)


def focal(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Focal loss ``-(1 - p)^gamma log p`` (Lin et al., 2017, eq. 4), over softmax probabilities.

    Reads ``focal_gamma``; with 0 it is cross-entropy.
    """
    log_p = _log_probability(outputs, targets)
    # Kept off 0, where a power below 1 has no finite slope.
    doubt = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(outputs.dtype).eps)
    return -jnp.power(doubt, hyper["focal_gamma"]) * log_p


def gce(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Generalised cross-entropy ``(1 - p^q) / q`` (Zhang & Sabuncu, 2018, eq. 6).

    Reads ``gce_q``: towards 0 it is cross-entropy, with 1 half of mae_probability.
    """
    return -jnp.expm1(hyper["gce_q"] * _log_probability(outputs, targets)) / hyper["gce_q"]


def mae_probability(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Absolute error of the probabilities, ``2 - 2 p`` (Ghosh et al., 2017, section 4.1).

    Symmetric, and so robust to uniform label noise; in [0, 2].
    """
    return -2.0 * jnp.expm1(_log_probability(outputs, targets))


def sce(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Symmetric cross-entropy, ``alpha CE + beta reverse CE`` (Wang et al., 2019, eq. 7 and 9).

    alpha .1 and beta 1 as published for CIFAR-10; the reverse term is ``-log(1e-4) (1 - p)``.
    """
    log_p = _log_probability(outputs, targets)
    return -SCE_ALPHA * log_p + SCE_BETA * SCE_LOG_ZERO * jnp.expm1(log_p)


def hinge(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Multiclass hinge ``max_k (s_k + [k is wrong]) - s_y`` (Crammer & Singer, 2001)."""
    return optax.losses.multiclass_hinge_loss(outputs, targets)


def square(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Mean over classes of the squared distance to the one-hot target (Hui & Belkin, 2020).

    Acts on the outputs themselves, without softmax; k = M = 1 in the paper's words.
    """
    return jnp.mean(jnp.square(outputs - jax.nn.one_hot(targets, outputs.shape[-1])), axis=-1)


def mse(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Squared error."""
    return optax.squared_error(outputs[:, 0], targets)


def mae(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Absolute error: its slope does not grow with an outlier's distance."""
    return jnp.abs(outputs[:, 0] - targets)


def huber(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Half the squared error up to ``huber_delta``, linear beyond (Huber, 1964)."""
    return optax.huber_loss(outputs[:, 0], targets, delta=hyper["huber_delta"])


def log_cosh(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Log of the hyperbolic cosine of the error: quadratic near 0, linear far off."""
    return optax.log_cosh(outputs[:, 0], targets)


def quantile(outputs: Array, targets: Array, hyper: Hyper) -> Array:
    """Pinball loss of the conditional quantile ``quantile`` (Koenker & Bassett, 1978, eq. 2.2).

    With .5 it is half of mae.
    """
    error = targets - outputs[:, 0]
    return jnp.maximum(hyper["quantile"] * error, (hyper["quantile"] - 1.0) * error)


def root_mean(values: Array) -> Array:
    """Square root of the mean of ``[batch]`` non-negative values, with slope 0 at 0."""
    mean = jnp.mean(values)
    positive = mean > 0.0
    root = jnp.sqrt(jnp.where(positive, mean, jnp.ones_like(mean)))
    # NaN is not positive either: it must come out as NaN, not as a perfect fit.
    return jnp.where(positive, root, 0.0 * mean)


CLASSIFICATION: dict[str, PerExample] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "gce": gce,
    "mae_probability": mae_probability,
    "sce": sce,
    "hinge": hinge,
    "square": square,
}
REGRESSION: dict[str, PerExample] = {
    "mse": mse,
    "rmse": mse,  # reduced by the root of the mean
    "mae": mae,
    "huber": huber,
    "log_cosh": log_cosh,
    "quantile": quantile,
}
BY_TASK: dict[str, dict[str, PerExample]] = {
    "classification": CLASSIFICATION,
    "regression": REGRESSION,
}
DEFAULTS: dict[str, str] = {"classification": "cross_entropy", "regression": "mse"}


def _user_loss(reference: str, task: str) -> Loss:
    function = load_attribute(reference, "loss")
    if not callable(function):
        raise UserError(f"{reference} is not a function f(outputs, targets).", "loss")

    def per_example(outputs: Array, targets: Array, hyper: Hyper) -> Array:
        values = jnp.asarray(function(outputs, targets))
        if values.shape != targets.shape:
            raise UserError(
                f"{reference} returned the shape {values.shape} for outputs {outputs.shape} and "
                f"targets {targets.shape}; needed is one loss an example, {targets.shape}.",
                "loss",
            )
        return values.astype(jnp.float32)

    return Loss(per_example, jnp.mean, (task,))


def build_loss(name: str, task: str) -> Loss:
    """The loss of a name for a task.

    Args:
        name: one of `names.LOSSES`, "auto" (cross_entropy or mse), or ``path.py:function`` of a
            user's own ``f(outputs [batch, outputs], targets [batch]) -> [batch]`` in jax.numpy.
        task: "classification" or "regression".

    Raises:
        UserError: unknown name, a loss of the other task, a fault in the user's file; for a
            user's loss of another shape when it is first traced.
    """
    if ":" in name:
        return _user_loss(name, task)
    name = DEFAULTS[task] if name == "auto" else name
    if name not in names.LOSSES:
        raise unknown_name(name, names.LOSSES, "loss", "loss")
    fitting = BY_TASK[task]
    if name not in fitting:
        raise UserError(
            f"{name} does not fit a {task}; those that do: {', '.join(fitting)}.", "loss"
        )
    return Loss(fitting[name], root_mean if name == "rmse" else jnp.mean, (task,))
