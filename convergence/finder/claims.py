"""Claims 1a and 3a, on the shares of the best descent that rates and rules lose."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder import Runs
from convergence.analysis.lr_finder.literal import ENDS_HIGHER
from convergence.analysis.lr_finder.regret import left_out
from convergence.analysis.verdict import Claim, Verdict, decide_family
from convergence.finder.rules import literal_name, literal_rules, notches

MARGIN = 0.05  # of the best descent: what is worth acting on
METRIC = "share of the descent lost"
BEST = "best rate of the grid"
LOWEST, HIGHEST = "lowest rate", "highest rate"


def claims(length: int, rates: np.ndarray) -> list[Claim]:
    """The claims of a search whose first runs take so many steps.

    Args:
        rates: of the first search: no notch is finer than they are apart.
    """
    notch = notches(rates)[0]
    told = []
    for back, words in ((1, "one notch"), (2, "two notches")):
        told.append(
            Claim(
                "3a",
                f"raising the rate by {notch:.3g} until runs diverge, then {words} back, finds a"
                " start as good as the best of a grid",
                literal_name(notch, back, ENDS_HIGHER, length),
                BEST,
                "non-inferiority",
                -1,
                METRIC,
                MARGIN,
                "3a",
                3,
            )
        )
    for rate, words in ((LOWEST, "takes forever"), (HIGHEST, "is shredded")):
        told.append(
            Claim(
                "1a",
                f"at the {rate} of the range the work {words}",
                rate,
                BEST,
                "superiority",
                1,
                METRIC,
                MARGIN,
                "1a",
                1,
            )
        )
    return told


def decide(coarse: Runs, judge: Runs, told: list[Claim]) -> list[Verdict]:
    """The verdicts on `claims`: shares lost, seed by seed, against none.

    Args:
        coarse: the first search.
        judge: the runs that a suggestion is judged by: `rules.judge_of`.
        told: as `claims` gives them.
    """
    seeds = len(coarse.loss)
    literal = {one.rule: one.lost for one in literal_rules(coarse, judge)}
    ends = {LOWEST: coarse.rates[0], HIGHEST: coarse.rates[-1]}
    found = []
    for family in dict.fromkeys(claim.family for claim in told):
        members = [claim for claim in told if claim.family == family]
        values = [
            literal[claim.treatment]
            if claim.treatment in literal
            else left_out(
                judge.rates, judge.mean(), judge.levels(), np.full(seeds, ends[claim.treatment])
            )
            for claim in members
        ]
        found += decide_family(members, values, [np.zeros(seeds)] * len(members))
    return found
