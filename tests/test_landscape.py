"""Planes that hold descents, and barriers between ends."""

from __future__ import annotations

import numpy as np
import pytest

from convergence.analysis.landscape import barriers, held_of, mesh, plane


def test_a_flat_descent_lies_in_its_plane() -> None:
    """Protects the projection: points of a plane are told where they are, distances kept."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(50, 2)))[0].T
    origin = rng.normal(size=50)
    points = origin + rng.normal(size=(9, 2)) @ axes
    told = plane(points, origin)
    np.testing.assert_allclose(told.places @ told.directions, points - origin, atol=1e-10)
    assert told.held.sum() == pytest.approx(1)
    assert told.held[0] >= told.held[1]
    np.testing.assert_allclose(told.directions @ told.directions.T, np.eye(2), atol=1e-10)
    assert held_of(points, told.directions) == pytest.approx(1)
    away = rng.normal(size=(9, 50))
    assert held_of(away, told.directions) < 0.3


def test_a_straight_descent_has_one_direction() -> None:
    """Protects degenerate descents: a line, or a point, gives no direction out of nothing."""
    line = np.arange(4.0)[:, None] * np.ones((1, 3))
    told = plane(line, line[-1])
    assert np.all(told.directions[1] == 0)
    assert told.held[0] == pytest.approx(1)
    still = plane(np.ones((3, 4)), np.ones(4))
    assert not still.places.any()
    x, y = mesh(still.places, 5)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()


def test_barriers() -> None:
    """Protects the barrier: none under a convex loss, the bump's height above the line else."""
    shares = np.linspace(0, 1, 5)
    convex = (shares - 0.3) ** 2
    bump = np.array([1.0, 1.0, 4.0, 1.0, 3.0])
    np.testing.assert_allclose(barriers(shares, np.stack([convex, bump])), [0.0, 2.0])
