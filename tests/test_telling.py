"""What is said where trials are few or diverged: in the words of what is paired, grammatically."""

from __future__ import annotations

import pytest

from convergence.analysis import telling
from convergence.analysis.telling import Unit


@pytest.mark.parametrize(
    ("unit", "one", "three"),
    [
        ("seed", "1 seed", "3 seeds"),
        ("pair of twins", "1 pair of twins", "3 pairs of twins"),
        ("pair of seeds", "1 pair of seeds", "3 pairs of seeds"),
    ],
)
def test_counts(unit: Unit, one: str, three: str) -> None:
    """Protects the reader from "of 1 seeds" where one pair of seeds is meant."""
    assert (telling.counted(1, unit), telling.counted(3, unit)) == (one, three)


def test_too_few() -> None:
    """Protects the reasons: seeds are told as seeds, pairs of seeds as pairs."""
    assert telling.none_there("seed") == "there are no trials"
    assert telling.none_there("pair of seeds") == "one seed has no other to pair with"
    assert telling.one_there("seed") == telling.one_there("pair of twins") == "one seed cannot tell"
    assert telling.one_there("pair of seeds") == "one pair of seeds cannot tell"
    assert telling.too_few("seed", 0) == "no pair of trials finished in both arms"
    assert telling.too_few("seed", 1) == "only one pair of trials finished in both arms"
    assert telling.too_few("pair of seeds", 1) == "only one pair of seeds finished"
    assert telling.too_few("pair of twins", 0) == "no pair of twins finished"


def test_divergences() -> None:
    """Protects distances from a "treatment" that diverges: there are two trials of one kind."""
    assert telling.diverged("seed", 1, 0, 1, 0).startswith("of 1 seed the treatment diverged in 0")
    told = telling.diverged("pair of seeds", 4, 1, 3, 1)
    assert told.startswith("of 4 pairs of seeds one trial diverged in 2, both in 1: ")
    assert told.endswith("speak of the 1 that finished")
    assert telling.by_divergences("seed", "control diverges") == "control diverges"
    assert telling.by_divergences("pair of seeds", "control diverges") in telling.SIGNS
    told = telling.contradicted("pair of twins", "fails", 8, 1, 2)
    assert "treatment" not in told
    assert "of 8 pairs of twins one trial alone diverged in 1" in told
