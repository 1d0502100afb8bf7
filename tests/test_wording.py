"""How arms and verdicts are told: warnings by their claims' ids."""

from __future__ import annotations

import dataclasses

from helpers.claims import SPREAD, decide

from convergence import wording
from convergence.analysis.verdict import Verdict


def told(id: str, statement: str, *warnings: str) -> Verdict:
    """A verdict on a claim of this id, with these warnings."""
    verdict = decide(5 + SPREAD)
    claim = dataclasses.replace(verdict.claim, id=id, statement=statement)
    return dataclasses.replace(verdict, claim=claim, warnings=warnings)


def test_a_warning_of_many_claims_takes_one_line() -> None:
    """Protects the closing text: a warning names its claims by id, and says how many they are."""
    verdicts = [told("1b", "zero is worse", "few seeds"), told("2c", "it harms", "few seeds")]
    verdicts += [told("1b", f"{init} serves as well", "few seeds") for init in "abcdef"]
    assert wording.warnings_text(verdicts) == "note: few seeds (8 claims: 1b, 2c)"


def test_a_warning_of_one_claim_names_it() -> None:
    """Protects readers: where one claim is meant, it is told in full; each warning once."""
    verdicts = [told("1b", "zero is worse", "few seeds", "a tail"), told("2c", "it harms")]
    assert wording.warnings_text(verdicts).splitlines() == [
        "note: few seeds (1b zero is worse)",
        "note: a tail (1b zero is worse)",
    ]
    assert wording.warnings_text([]) == ""
