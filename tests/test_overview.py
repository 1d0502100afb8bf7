"""Spreads by source and the range of learning rates, on studies whose scores are made up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.fabricated import NAN, SEEDS, WOBBLE, history

from convergence import overview


def test_spreads() -> None:
    """Protects the table of sources: each source's own arm, then what varies together."""
    found = history(
        "regression",
        lambda arm, k: 1.0 + (0.1 if arm == "only init varies" else 0.01) * WOBBLE[k, 3],
    )
    told = overview.spreads(found)
    assert [label for label, _ in told] == ["init", "order", "split", "init+order"]
    by = dict(told)
    assert by["init"].sd == pytest.approx(10 * by["order"].sd, rel=1e-6)
    assert by["init"].n == SEEDS
    assert by["init+order"].sd == pytest.approx(by["order"].sd)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_rates(task: str) -> None:
    """Protects claim 3a's line: each rate in order, and what it was at this length."""
    scores = {"rate=0.0001": 0.5, "rate=0.0003": 0.1, "rate=0.003": 0.005, "rate=0.01": 0.2}

    def error(arm: str, replica: int) -> float:
        if arm == "rate=0.1":
            return NAN if replica == 0 else 0.1
        return 0.3 + scores.get(arm, 0.0) + 1e-4 * WOBBLE[replica, 0]

    found = overview.rates(history(task, error))
    assert [rate for rate, _ in found] == pytest.approx([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1])
    words = ["too low", "too low", "useful", "useful", "too high", "diverges"]
    assert [word for _, word in found] == words
    lost = overview.rates(history(task, lambda arm, replica: NAN))
    assert {word for _, word in lost} == {"diverges"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_ranks_no_rate(seeds: int) -> None:
    """Protects from advice by one lucky curve: what diverged did so, of the rest nothing is said.

    Two seeds that are the same run are one.
    """

    def error(arm: str, replica: int) -> float:
        return NAN if arm == "rate=0.1" else 0.3 + (arm == "rate=0.0001")

    found = history("regression", error, seeds=seeds)
    same = np.zeros((len(found.trials), 2), np.uint32)
    found = dataclasses.replace(found, arrays=found.arrays | {"fingerprint": same})
    words = dict(overview.rates(found))
    assert words.pop(0.1) == "diverges"
    assert set(words.values()) == {"one seed cannot tell"}
