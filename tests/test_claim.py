"""Claims: what is fixed before training survives, and is checked."""

from __future__ import annotations

import json
import math

import pytest
from helpers.claims import claim

from convergence.analysis.claim import Claim


def test_claims_survive_the_manifest() -> None:
    """Protects what was fixed before training."""
    one = claim("equivalence", -1, 0.25)
    assert Claim.from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(TypeError):
        Claim.from_json(one.to_json() | {"colour": "red"})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "better"},
        {"direction": 0},
        {"margin": 0.0},
        {"margin": math.nan},
        {"margin": math.inf},
    ],
)
def test_claims_are_checked(change: dict) -> None:
    """Protects from a claim that no data could decide."""
    with pytest.raises(ValueError, match="claim"):
        Claim.from_json(claim().to_json() | change)
