"""Planes that hold a descent, and barriers on the straight path between two ends."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """The plane that holds most of some points' variance (principal components).

    Li et al., 2018, "Visualizing the loss landscape of neural nets", section 7: of a descent's own
    points, because random directions hold nearly nothing of it.

    Attributes:
        origin: [params] the point that lies at (0, 0).
        directions: [2, params] orthonormal; zero where the points do not reach that far.
        places: [points, 2] the points' projections.
        held: [2] each direction's share of the points' squared distance from the origin.
    """

    origin: Array
    directions: Array
    places: Array
    held: Array


def plane(points: Array, origin: Array) -> Plane:
    """The plane through an origin that the points are nearest to.

    Args:
        points: [points, params].
        origin: [params].
    """
    away = np.asarray(points, np.float64) - origin
    values, vectors = np.linalg.eigh(away @ away.T)  # few points of many params
    order = np.argsort(values)[::-1][:2]
    total = max(float(values.clip(0).sum()), 1e-300)
    directions = np.zeros((2, away.shape[1]))
    for k, at in enumerate(order):
        if values[at] > 1e-12 * total:
            directions[k] = away.T @ vectors[:, at] / np.sqrt(values[at])
    held = np.zeros(2)
    held[: len(order)] = values[order].clip(0) / total
    return Plane(np.asarray(origin, np.float64), directions, away @ directions.T, held)


def held_of(points: Array, directions: Array) -> float:
    """The share of a descent that a plane holds, of its squared distances from its last point.

    Args:
        points: [stops, params].
        directions: [2, params] orthonormal.
    """
    away = points - points[-1]
    whole = float((away**2).sum())
    return float(((away @ directions.T) ** 2).sum()) / whole if whole > 0 else 1.0


def mesh(places: Array, size: int, room: float = 0.25) -> tuple[Array, Array]:
    """Axes [size] and [size] of a grid over the places, with room around them."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.maximum(high - low, 1e-3 * max(float((high - low).max()), 1e-12))
    x, y = (np.linspace(low[k] - room * span[k], high[k] + room * span[k], size) for k in range(2))
    return x, y


def barriers(shares: Array, losses: Array) -> Array:
    """[pairs] by how much the straight path rises above the line between the losses at its ends.

    Frankle et al., 2020, "Linear mode connectivity and the lottery ticket hypothesis": the error
    barrier; of the loss here. It is at least 0, which the ends have.

    Args:
        shares: [points] of the way, from 0 to 1.
        losses: [pairs, points] at these points.
    """
    line = losses[:, :1] * (1 - shares) + losses[:, -1:] * shares
    told: Array = np.max(losses - line, axis=1)
    return told
