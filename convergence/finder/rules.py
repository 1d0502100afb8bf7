"""Every rule's suggestion and what it loses, on the runs of one search.

A seed's suggestion is judged by the other seeds' runs at that rate, so that no rule is praised for
having seen the luck it is judged by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from convergence.analysis.lr_finder import Runs, literal, published
from convergence.analysis.lr_finder.optimum import Optima, joined
from convergence.analysis.lr_finder.regret import left_out, lost
from convergence.analysis.statistics import strict_number

NOTCHES = (2.0, 3.0, 10**0.5, 10.0)
BACK = (1, 2)
LENGTHS = (0.25, 1.0)  # of the first search's runs


@dataclasses.dataclass(frozen=True)
class Judged:
    """One rule over seeds.

    Attributes:
        kind: ``literal``, ``published`` or ``ours``.
        rule: its name.
        suggested: [seeds] rates, NaN for none.
        lost: [seeds] shares of the best descent that they lose, 1 where none is suggested.
    """

    kind: str
    rule: str
    suggested: np.ndarray
    lost: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """The row of a table, as plain JSON values."""
        there = self.suggested[np.isfinite(self.suggested)]
        median = float(np.median(there)) if there.size else float("nan")
        return {
            "kind": self.kind,
            "rule": self.rule,
            "median": strict_number(median),
            "lowest": strict_number(float(there.min()) if there.size else median),
            "highest": strict_number(float(there.max()) if there.size else median),
            "suggests": int(there.size),
            "seeds": len(self.suggested),
            "lost_mean": strict_number(float(self.lost.mean())),
            "lost_worst": strict_number(float(self.lost.max())),
        }


def notches(rates: np.ndarray) -> list[float]:
    """The factors by which the literal rule raises the rate: 2, or the grid's if it is coarser,
    and all of `NOTCHES` above."""
    first = max(NOTCHES[0], float(np.exp(np.diff(np.log(rates)).max())))
    return [first, *(one for one in NOTCHES if one > 1.01 * first)]


def literal_name(notch: float, back: int, criterion: str, steps: int) -> str:
    """What the literal rule is called with these choices."""
    return f"×{notch:.3g} until ‘{criterion}’, {steps} steps, {back} back"


def judge_of(coarse: Runs, fine: Runs | None) -> Runs:
    """The runs that suggestions are judged by: of both searches, as long as the first's."""
    return joined(coarse, fine, coarse.length)


def literal_rules(coarse: Runs, judge: Runs) -> list[Judged]:
    """The rule as people tell it, with every size of notch, length of run and criterion."""
    found = []
    for share in LENGTHS:
        cut = coarse.cut(max(2, round(share * coarse.length)))
        for criterion in literal.CRITERIA:
            for notch in notches(coarse.rates):
                for back in BACK:
                    rates = literal.suggestions(cut, notch, back, criterion)
                    name = literal_name(notch, back, criterion, cut.length)
                    found.append(_judged("literal", name, rates, judge))
    return found


def published_rules(ramps: Mapping[str, np.ndarray], judge: Runs) -> list[Judged]:
    """The published rules along their packages' own ramps."""
    found = []
    for rule, (package, _) in published.RULES.items():
        rates = np.array([published.suggestion(rule, losses) for losses in ramps[package]])
        found.append(_judged("published", rule, rates, judge))
    return found


def ours(coarse: Runs, fine: Runs, judge: Runs) -> Judged:
    """The optimum of one half of our search's seeds, judged on the other half.

    Of a single seed, both halves are itself.
    """
    seeds = len(coarse.loss)
    halves = [np.arange(seeds)[k::2] for k in range(2)] if seeds > 1 else [np.arange(1)] * 2
    rates, shares = np.empty(seeds), np.empty(seeds)
    means = np.minimum(judge.mean(), judge.levels()[:, None])
    best = Optima(coarse, fine, np.array([judge.length]))
    for own, other in (halves, halves[::-1]):
        rate = best.of(own)
        start = float(judge.levels()[other].mean())
        rates[other] = rate[0]
        shares[other] = lost(judge.rates, means[other].mean(axis=0), start, rate)[0]
    return Judged("ours", "this search, half its seeds", rates, shares)


def _judged(kind: str, rule: str, rates: np.ndarray, judge: Runs) -> Judged:
    return Judged(kind, rule, rates, left_out(judge.rates, judge.mean(), judge.levels(), rates))


def free_table(free: Mapping[str, Runs], fine: Runs, rate: float) -> list[dict[str, Any]]:
    """What rate-free optimisers lose of the descent that the best rate of the search makes.

    Shares may be negative: an optimiser may do better than the study's own at any rate.
    """
    means = np.minimum(fine.mean(), fine.levels()[:, None])
    start, best = float(fine.levels().mean()), float(means.mean(axis=0).min())
    descent = max(start - best, 1e-30)
    own = float(lost(fine.rates, means.mean(axis=0), start, np.array([rate]))[0])
    rows = [{"optimizer": "this search's rate", "loss": best + own * descent, "lost": own}]
    for name, runs in free.items():
        loss = np.minimum(runs.mean()[:, 0], runs.levels())
        share = (loss - means.min(axis=1)) / descent
        rows.append({"optimizer": name, "loss": float(loss.mean()), "lost": float(share.mean())})
    return [{key: strict_number(value) for key, value in row.items()} for row in rows]
