"""Sources of randomness: which of them a setting has, and which move its seeds."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.fabricated import setting

from convergence import names
from convergence.sources import effective, sources


@pytest.mark.parametrize(
    ("changes", "moving"),
    [
        ({}, {"init", "order", "split"}),
        ({"dropout": 0.1}, {"init", "order", "split", "dropout"}),
        ({"label_noise": 0.1}, {"init", "order", "split", "corrupt"}),
        ({"model": "own.py:net"}, {"init", "order", "split", "dropout"}),
    ],
)
def test_effective(changes: dict[str, Any], moving: set[str]) -> None:
    """Protects from taking copies of one run for seeds: a source with nothing to do moves none."""
    told = setting("classification", **changes)
    assert set(effective(told, names.SOURCES)) == moving
    assert effective(told, ("order", "augment", "init")) == ("order", "init")
    assert effective(told, ()) == effective(told, ("augment", "rounding")) == ()
    assert set(sources(told)) <= moving
