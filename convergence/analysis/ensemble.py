"""What several trained models say together of each row, and how far they differ."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Predictions of several seeds for the same rows.

    Attributes:
        members: [seeds, rows] each seed's own: class indices, or float64 values.
        prediction: [rows] class indices of the largest mean probability, or mean values.
        spread: float64[rows] standard deviation over seeds (of n - 1) of the predicted class's
            probability, or of the values; NaN where there is one seed.
        probability: float64[rows, classes] mean over seeds; None for numbers.
        agreement: float64[rows] share of seeds whose own class is the prediction; None for numbers.
        entropy: float64[rows] of the mean probabilities, in nats; None for numbers.
    """

    members: np.ndarray
    prediction: np.ndarray
    spread: np.ndarray
    probability: np.ndarray | None = None
    agreement: np.ndarray | None = None
    entropy: np.ndarray | None = None


def _spread(values: np.ndarray) -> np.ndarray:
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1)


def of_classes(logits: np.ndarray) -> Ensemble:
    """The ensemble of classifiers, by the mean of their probabilities (softmax of the outputs).

    Args:
        logits: [seeds, rows, classes], at least one seed.
    """
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # outputs that are not finite stay so
        chance = np.exp(wide - wide.max(axis=-1, keepdims=True))
        chance /= chance.sum(axis=-1, keepdims=True)
        mean = chance.mean(axis=0)
        logs = np.log(np.where(mean > 0, mean, 1.0))
    members, prediction = logits.argmax(axis=-1), mean.argmax(axis=-1)
    picked = np.take_along_axis(chance, prediction[None, :, None], axis=-1)[..., 0]
    return Ensemble(
        members=members,
        prediction=prediction,
        spread=_spread(picked),
        probability=mean,
        agreement=(members == prediction).mean(axis=0),
        entropy=np.abs(-(mean * logs).sum(axis=-1)),  # not -0
    )


def of_numbers(values: np.ndarray) -> Ensemble:
    """The ensemble of regressions, by the mean of their values [seeds, rows]."""
    wide = values.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return Ensemble(members=wide, prediction=wide.mean(axis=0), spread=_spread(wide))


def scores(ensemble: Ensemble, truth: np.ndarray) -> dict[str, tuple[float, float]]:
    """The ensemble's score and the mean of its seeds' own, by metric.

    Args:
        truth: float64[rows] class indices or values; rows where it is NaN are left out (at least
            one must be known).
    """
    known = ~np.isnan(truth)
    truth, members = truth[known], ensemble.members[:, known]
    told = ensemble.prediction[known]
    if ensemble.probability is not None:
        own = (members == truth).mean(axis=1)
        return {"accuracy": (float((told == truth).mean()), float(own.mean()))}
    with np.errstate(invalid="ignore", over="ignore"):
        error, errors = told - truth, members - truth
        rmse = float(np.sqrt(np.mean(error**2))), float(np.sqrt((errors**2).mean(axis=1)).mean())
        return {"rmse": rmse, "mae": (float(np.abs(error).mean()), float(np.abs(errors).mean()))}
