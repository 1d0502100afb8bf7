"""Verdicts on spreads: trials made up so that the answer is known."""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import numpy as np
import pytest
from test_chance import VARY, made, setting

from convergence import data, spec
from convergence.analysis.verdict import Verdict
from convergence.challenges import Asked
from convergence.chance.claims import Question, growth_margin, questions
from convergence.chance.decisions import decide
from convergence.chance.design import Design
from convergence.chance.twins import ratios
from convergence.plan import Plan
from convergence.spec import RunSpec, StudySpec
from convergence.study import resolve

SEEDS = 24


@cache
def laid() -> tuple[Design, Plan]:
    """A small study, which is not trained."""
    told, base = made("classification"), setting("classification")
    dataset = data.load(base.data)
    study = StudySpec("r", "?", base, RunSpec(num_seeds=SEEDS, vary=VARY), told.arms)
    return told, Plan(resolve(spec.validate(study), dataset), dataset)


class Fake:
    """A history that tells values laid down by the test: arm → [seeds]."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.plan = laid()[1]
        self.study = self.plan.study
        self.values = values

    def of_arm(self, arm: str, metric: str, split: str = "validation") -> np.ndarray:
        """As `History.of_arm`."""
        return self.values[arm]


@cache
def asked() -> dict[tuple[str, str], Question]:
    """The claims of the study, by id and measure."""
    told, plan = laid()
    found = questions(plan.study, told, 100, 8)
    return {(one.claim.id, one.measure): one for one in found if isinstance(one, Question)}


def verdict(question: Question, values: dict[str, np.ndarray]) -> Verdict:
    """The verdict on one claim by made-up values."""
    ((_, found),) = decide(Fake(values), [question])  # type: ignore[arg-type]
    assert found is not None
    return found


def spread(id: str, measure: str) -> Question:
    return asked()[id, measure]


def normal(seed: int, sd: float, count: int = SEEDS) -> np.ndarray:
    return np.asarray(0.9 + sd * np.random.default_rng(seed).normal(size=count))


@pytest.mark.parametrize(("sd", "decision"), [(0.05, "holds"), (0.001, "fails"), (0.0, "fails")])
def test_a_spread_against_the_margin(sd: float, decision: str) -> None:
    """Protects 4a and 4e: a spread above δ holds, one below it or none at all fails."""
    question = spread("4e", "spread")
    found = verdict(question, {question.arms[0]: normal(1, sd)})
    assert (found.decision, found.reason) == (decision, "negligible" * (decision == "fails"))
    assert found.effect == pytest.approx(sd, rel=0.4, abs=1e-12)
    assert found.low <= found.effect <= found.high
    assert (found.low > 0.01) == (decision == "holds")
    assert found.claim.margin == 0.01


def test_a_bit_against_margin_and_seed() -> None:
    """Protects 4b: twins that are new seeds move the result as far, close ones do not."""
    arm, twin = asked()["4b", "bit"].arms[0], asked()["4b", "bit"].against[0]
    one = normal(2, 0.05)
    for other, decision in ((normal(3, 0.05), "holds"), (one + 1e-4 * normal(4, 1.0), "fails")):
        for measure in ("bit", "as a seed"):
            found = verdict(asked()["4b", measure], {arm: one, twin: other})
            assert found.decision == decision
    told = verdict(asked()["4b", "as a seed"], {arm: one, twin: normal(3, 0.05)})
    assert told.effect == pytest.approx(1, abs=0.3)
    flat = verdict(
        asked()["4b", "as a seed"], {arm: np.full(SEEDS, 0.9), twin: np.full(SEEDS, 0.9)}
    )
    assert (flat.decision, flat.reason) == ("undecided", "there is no spread to hold it against")


def test_a_bit_that_moves_one_pair_in_many() -> None:
    """Protects 4b where almost no bit matters: one pair that differs decides nothing."""
    arm, twin = asked()["4b", "bit"].arms[0], asked()["4b", "bit"].against[0]
    one = normal(2, 0.05)
    other = one.copy()
    other[3] += 0.004
    for measure, reason in (("bit", "negligible"), ("as a seed", "less than a seed does")):
        found = verdict(asked()["4b", measure], {arm: one, twin: other})
        assert (found.decision, found.reason) == ("fails", reason)
        assert 0 <= found.low <= found.effect <= found.high < 0.5 * found.claim.margin
    other[5:] += 0.3 * np.where(np.arange(SEEDS - 5) % 2, 1, -1)
    held = verdict(asked()["4b", "bit"], {arm: one, twin: other})
    assert held.decision == "holds"


def test_a_rise_with_the_dose() -> None:
    """Protects 4c: spreads that grow by more than δ hold, equal ones fail, falling ones fail."""
    question = spread("4c", "rise")
    base = normal(5, 1.0) - 0.9
    for last, decision, reason in (
        (0.05, "holds", ""),
        (0.0101, "fails", "negligible"),
        (0.0, "fails", "reversed"),
    ):
        values = dict(zip(question.arms, (0.9 + 0.01 * base, 0.9 + last * base)))
        found = verdict(question, values)
        assert (found.decision, found.reason) == (decision, reason)
        sd = base.std(ddof=1)
        assert found.effect == pytest.approx((last - 0.01) * sd, abs=0.2 * abs(last - 0.01) * sd)


def test_the_first_epoch_against_all() -> None:
    """Protects 4g: an order that is forgotten leaves less spread; one that stays leaves as much."""
    question = spread("4g", "first")
    arms = (*question.arms, *question.against)
    same = {arm: normal(6, 0.03) for arm in arms}
    found = verdict(question, same)
    assert found.decision == "fails"
    assert found.effect == pytest.approx(0, abs=1e-9)
    less = same | {arm: 0.9 + 0.2 * (same[arm] - 0.9) for arm in question.arms}
    found = verdict(question, less)
    assert found.decision == "holds"
    assert found.effect == pytest.approx(0.8, abs=1e-9)
    assert found.claim.margin == pytest.approx(0.2)


def test_diverged_seeds_are_counted_not_averaged() -> None:
    """Protects spreads from NaN: seeds that diverged are left out, and said."""
    question = spread("4e", "spread")
    values = normal(7, 0.05)
    values[[0, 5]] = np.nan
    found = verdict(question, {question.arms[0]: values})
    assert (found.n, found.seeds) == (SEEDS - 2, SEEDS)
    assert any("2 of 24 seeds diverged" in warning for warning in found.warnings)
    gone = verdict(question, {question.arms[0]: np.full(SEEDS, np.nan)})
    assert (gone.decision, gone.reason) == ("not applicable", "every trial diverged")
    few = verdict(question, {question.arms[0]: np.where(np.arange(SEEDS) < 2, values, np.nan)})
    assert few.decision == "undecided"


def test_false_decisions_are_rare() -> None:
    """Protects the level: where a spread is δ exactly, one in twenty is decided, at most."""
    question = spread("4e", "spread")
    rng = np.random.default_rng(8)
    decided, trials = 0, 200
    for _ in range(trials):
        values = {question.arms[0]: 0.9 + 0.01 * rng.normal(size=SEEDS)}
        decided += verdict(question, values).decision != "undecided"
    assert decided / trials <= 0.10  # .05, and two and a half standard errors


def test_which_claims_are_asked() -> None:
    """Protects the list: a claim per source and part; what cannot be asked says why."""
    told, plan = laid()
    found = questions(plan.study, told, 100, 8)
    ids = [one.id if isinstance(one, Asked) else one.claim.id for one in found]
    assert ids == ["4a"] * 5 + ["0a", "4g"] + ["4b"] * 3 + ["4c", "4e"]
    reasons = [one.reason for one in found if isinstance(one, Asked)]
    assert len(reasons) == 2
    assert "--dropout" in reasons[0]
    short = [o for o in questions(plan.study, told, 8, 8) if isinstance(o, Asked)]
    assert any("first epoch" in one.reason for one in short)
    doses = dataclasses.replace(told, doses={0.3: told.doses[0.3], 0.5: told.doses[0.0]})
    missing = [o for o in questions(plan.study, doses, 100, 8) if isinstance(o, Asked)]
    assert any("no dose of 0" in one.reason for one in missing)
    assert growth_margin(100) == pytest.approx(math.log(10) / 100)


def test_ratios_leave_out_what_tells_nothing() -> None:
    """Protects the threshold: no ratio where seeds do not differ, or most pairs diverged."""
    one, other = np.ones((3, 8)), np.ones((3, 8))
    one[1], other[1] = normal(9, 0.1, 8), normal(10, 0.1, 8)
    one[2], other[2] = one[1], other[1]
    one[2, :5] = np.nan
    found = ratios(one, other)
    assert np.isnan(found[[0, 2]]).all()
    assert 0.3 < found[1] < 2
