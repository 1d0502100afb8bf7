"""Claims 1a and 3a, on the shares of the best descent that rates and rules lose."""

from __future__ import annotations

import numpy as np

from convergence.analysis.lr_finder import Runs
from convergence.analysis.lr_finder.literal import ENDS_HIGHER
from convergence.analysis.lr_finder.regret import left_out
from convergence.analysis.verdict import Claim, Verdict, decide_family
from convergence.finder.rules import Judged, literal_name

MARGIN = 0.05  # of the best descent: what is worth acting on
METRIC = "share of the descent lost"
NOTCH = 2.0
BEST = "best rate of the grid"
LOWEST, HIGHEST = "lowest rate", "highest rate"


def claims(length: int) -> list[Claim]:
    """The claims of a search whose first runs take so many steps."""
    told = []
    for back, words in ((1, "one notch"), (2, "two notches")):
        told.append(
            Claim(
                "3a",
                f"Raising the rate until runs diverge, then {words} of 2 back, finds a start as good"
                " as the best of a grid",
                literal_name(NOTCH, back, ENDS_HIGHER, length),
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
                f"At the {rate} of the range the work {words}",
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


def decide(coarse: Runs, judged: list[Judged]) -> list[Verdict]:
    """The verdicts on `claims`: shares lost, seed by seed, against none."""
    told = claims(coarse.length)
    seeds = len(coarse.loss)
    by_rule = {one.rule: one.lost for one in judged}
    found = []
    for family in dict.fromkeys(claim.family for claim in told):
        members = [claim for claim in told if claim.family == family]
        values = []
        for claim in members:
            if claim.treatment in by_rule:
                values.append(by_rule[claim.treatment])
                continue
            rate = coarse.rates[0 if claim.treatment == LOWEST else -1]
            share = left_out(coarse.rates, coarse.mean(), coarse.starts, np.full(seeds, rate))
            values.append(share)
        found += decide_family(members, values, [np.zeros(seeds)] * len(members))
    return found
