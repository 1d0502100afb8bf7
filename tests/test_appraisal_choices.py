"""From scores to advice: the best of each factor, what leads combined, and its confirmation."""

from __future__ import annotations

import dataclasses

import pytest
from helpers.fabricated import NAN, decision, errors, history, jitter, study

from convergence import appraisal
from convergence.analysis.verdict import Claim
from convergence.appraisal import Choice, Lead
from convergence.challenges import DEFAULT, FACTORS
from convergence.history import History
from convergence.spec import Arm


def chosen(found: History, task: str = "regression") -> dict[str, Choice]:
    _, made = study(task, found.study.run.num_seeds)
    choices = appraisal.choose(found, made)
    assert [c.factor for c in choices] == [f for f in FACTORS if f in {c.factor for c in choices}]
    return {choice.factor: choice for choice in choices}


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_best_of_each_factor(task: str) -> None:
    """Protects advice: of each factor the arm that scores best, whichever way the metric goes."""
    off = {"init=orthogonal": -0.1, "init=he_normal": -0.05, "wide": 0.1, "narrow": 0.05}
    base = 1.0 if task == "regression" else 0.4
    best = chosen(history(task, errors(off, base)), task)
    assert set(best) == set(FACTORS)
    assert best["init"].arm == "init=orthogonal"
    assert best["init"].changes == (("init", "orthogonal"),)
    assert best["init"].lead.gain == pytest.approx(0.1, abs=0.03)
    assert best["init"].lead.strong
    assert best["capacity"].arm == "narrow"
    assert best["capacity"].lead.gain < 0
    assert not best["capacity"].lead.strong


def test_tuning_sees_what_was_told() -> None:
    """Protects the held-out discipline: choices are by targets as told, never by clean ones."""
    clean = errors({"init=orthogonal": -0.3})
    found = history("regression", clean, told=errors({"init=he_normal": -0.3}), input_noise=0.1)
    _, made = study("regression", input_noise=0.1)
    best = {c.factor: c.arm for c in appraisal.choose(found, made)}
    assert best["init"] == "init=he_normal"
    spoiled = history("regression", errors({}), fooled=("init=he_normal",), outliers=0.3)
    _, made = study("regression", outliers=0.3)
    told = {c.factor: c for c in appraisal.choose(spoiled, made)}["init"]
    assert told.arm == "init=he_normal"
    assert told.lead.strong


def test_arms_that_diverge_are_no_candidates() -> None:
    """Protects advice from a setting that is best when it finishes, and does not always."""

    def error(arm: str, replica: int) -> float:
        if arm == "init=orthogonal":
            return NAN if replica == 3 else 0.5
        return 1.0 + jitter(arm, replica)

    assert chosen(history("regression", error))["init"].arm != "init=orthogonal"


def test_a_default_that_diverges() -> None:
    """Protects users in trouble: what finishes is recommended over a default that does not."""

    def error(arm: str, replica: int) -> float:
        if arm == "rate=0.0001":
            return 2.0 + jitter(arm, replica)
        if arm == "rate=0.0003":
            return 3.0 + jitter(arm, replica)
        if arm == "rate=0.003":
            return NAN if replica < 3 else 0.5 + jitter(arm, replica)  # better, but not always
        return NAN if replica < 6 or arm != DEFAULT else 1.0

    best = chosen(history("regression", error))
    assert set(best) == {"rate"}
    assert best["rate"].arm == "rate=0.0001"
    assert best["rate"].lead.finished == 6
    assert best["rate"].lead.strong
    nothing = history("regression", lambda arm, replica: NAN)
    assert chosen(nothing) == {}
    lone = history("regression", errors({}), seeds=1)
    assert chosen(lone) == {}


def lead(
    factor: str, arm: str, gain: float, error: float = 0.1, finished: int = 0, **changes: object
) -> Choice:
    return Choice(factor, arm, tuple(sorted(changes.items())), Lead(finished, gain, error))


def test_combinations() -> None:
    """Protects the search from everything at once: the surest changes first, one more each time."""
    choices = [
        lead("init", "a", 0.3, 0.1, init="orthogonal"),
        lead("loss", "b", 0.05, 0.1, loss="mae"),  # leads by less than its error
        lead("rate", "c", 1.0, 0.5, learning_rate=0.1),
        lead("schedule", "d", 0.1, 0.01, schedule="cosine"),
        lead("decay", "e", -1.0, 0.1, weight_decay=0.1),
    ]
    found = appraisal.combinations(choices)
    assert [arm.name for arm in found] == ["d + a", "d + a + c"]
    assert dict(found[1].changes) == {
        "schedule": "cosine",
        "init": "orthogonal",
        "learning_rate": 0.1,
    }
    assert found[0].changes == tuple(sorted(found[0].changes))
    assert appraisal.combinations(choices[:2]) == ()
    sure = lead("loss", "f", -5.0, 0.0, finished=2, loss="huber")
    assert appraisal.combinations([*choices, sure])[0].name == "f + d"
    exact = lead("loss", "g", 0.1, 0.0, loss="huber")
    assert appraisal.combinations([*choices, exact])[0].name == "g + d"


@pytest.mark.parametrize(
    ("gain", "error", "finished", "strong"),
    [
        (0.1, 0.1, 0, True),
        (0.099, 0.1, 0, False),
        (0.0, 0.0, 0, False),
        (1e-9, 0.0, 0, True),
        (-1.0, 0.1, 1, True),
        (-0.1, 0.0, 0, False),
    ],
)
def test_what_counts_as_leading(gain: float, error: float, finished: int, strong: bool) -> None:
    """Protects the rule that is told: a lead of one standard error, or seeds that finish."""
    assert Lead(finished, gain, error).strong == strong


def test_the_candidate() -> None:
    """Protects the confirmation: one setting is put to the test, the best of alone and combined."""
    base = history("regression", errors({"init=orthogonal": -0.1, "schedule=cosine": -0.2}))
    _, made = study("regression")
    choices = appraisal.choose(base, made)
    alone, weighed = appraisal.candidate(base, choices, None)
    assert alone
    assert alone.arm == "schedule=cosine"
    assert all(choice.lead.strong for choice in weighed)
    arms = appraisal.combinations(choices)
    assert dict(arms[0].changes) == {"schedule": "cosine", "init": "orthogonal"}
    for gain, expected in ((-0.5, "combination"), (-0.1, "schedule"), (0.4, "schedule")):
        combined = history("regression", errors({arms[0].name: gain}), arms=arms[:1])
        pick, weighed = appraisal.candidate(base, choices, combined)
        assert pick
        assert pick.factor == expected
        assert ("combination" in {c.factor for c in weighed}) is True
    finishing = lead("rate", "x", -3.0, 0.0, finished=1, learning_rate=0.1)
    pick, _ = appraisal.candidate(base, [*choices, finishing], None)
    assert pick == finishing  # finishing comes before scoring
    flat = history("regression", lambda arm, replica: 1.0)
    assert appraisal.candidate(flat, appraisal.choose(flat, made), None) == (None, [])


def test_confirmation() -> None:
    """Protects the last word: the recommended arm against the default on test rows, in pairs."""
    choice = lead("init", "a", 0.3, init="orthogonal")
    arms = appraisal.confirmation_arms(choice.changes)
    assert arms == (Arm(DEFAULT), Arm("recommended", choice.changes))
    for off, expected in (
        (-0.2, ("holds", "")),
        (0.2, ("fails", "reversed")),
        (0.0, ("fails", "negligible")),
    ):
        found = history("regression", errors({"recommended": off}), test=True, arms=arms)
        verdict = appraisal.confirm(found)
        assert decision(verdict) == expected
        assert verdict.speaks_of == "seeds and rows"
        assert verdict.comparisons == 1
    claim = appraisal.confirmation_claim(found.study.run)
    assert isinstance(claim, Claim)
    assert (claim.direction, claim.margin) == (-1, found.study.run.margin)
    up = appraisal.confirmation_claim(dataclasses.replace(found.study.run, metric="r2"))
    assert up.direction == 1
