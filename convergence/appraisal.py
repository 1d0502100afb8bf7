"""From a finished study of the five challenges to verdicts and a confirmed recommendation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence import names
from convergence.analysis.spread import Spread, spread
from convergence.analysis.statistics import student_mean
from convergence.analysis.verdict import Claim, Verdict, decide_family
from convergence.challenges import DEFAULT, FACTORS, Asked, Comparison, Design, sources
from convergence.history import History
from convergence.spec import Arm, RunSpec

STRONG_ENOUGH = 2.0  # standard errors by which a choice must lead before it is recommended


def scores(history: History, arm: str) -> np.ndarray:
    """An arm's clean validation scores: [seeds, rows] where seeds share rows, else [seeds]."""
    metric = history.study.run.metric
    try:
        return history.row_scores(arm, metric)
    except ValueError:
        return history.of_arm(arm, metric, "clean")


def _distance(history: History, claim: Claim) -> tuple[np.ndarray, np.ndarray]:
    """How far scores of pairs lie apart, against no distance at all."""
    metric = history.study.run.metric
    if claim.treatment == claim.control:
        values = history.of_arm(claim.treatment, metric, "clean")
        even = len(values) // 2 * 2
        apart = np.abs(values[0:even:2] - values[1:even:2])
    else:
        first = history.of_arm(claim.treatment, metric, "clean")
        apart = np.abs(first - history.of_arm(claim.control, metric, "clean"))
    return apart, np.zeros_like(apart)


def _gap(history: History, arm: str) -> np.ndarray:
    """How much better an arm scores in training (targets as told) than on clean validation rows."""
    metric = history.study.run.metric
    gap = history.of_arm(arm, metric, "train") - history.of_arm(arm, metric, "clean")
    return gap if metric in names.HIGHER_IS_BETTER else -gap


def samples(history: History, comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Treatment and control of a comparison, as `decide_family` takes them."""
    claim = comparison.claim
    if comparison.measure == "distance":
        return _distance(history, claim)
    if comparison.measure == "gap":
        return _gap(history, claim.treatment), _gap(history, claim.control)
    first, second = scores(history, claim.treatment), scores(history, claim.control)
    if first.ndim != second.ndim:  # one of the arms varies its rows
        metric = history.study.run.metric
        first = history.of_arm(claim.treatment, metric, "clean")
        second = history.of_arm(claim.control, metric, "clean")
    return first, second


def decide(
    history: History, asked: Sequence[Comparison | Asked]
) -> list[tuple[Comparison | Asked, Verdict | None]]:
    """Every claim with its verdict, in the given order; None for one that could not be asked.

    Claims are corrected within their family: the primary ones together, the others by challenge.
    """
    families: dict[str, list[Comparison]] = {}
    for one in asked:
        if isinstance(one, Comparison):
            families.setdefault(one.claim.family, []).append(one)
    found: dict[int, Verdict] = {}
    for members in families.values():
        pairs = [samples(history, one) for one in members]
        verdicts = decide_family(
            [one.claim for one in members], [p[0] for p in pairs], [p[1] for p in pairs]
        )
        found |= {id(one): verdict for one, verdict in zip(members, verdicts)}
    return [(one, found.get(id(one))) for one in asked]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The best arm of one factor on validation rows, held against the default.

    Attributes:
        gain: mean paired improvement in the metric, positive is better.
        error: its standard error over seeds.
        taken: whether it leads by enough to be recommended.
    """

    factor: str
    arm: str
    gain: float
    error: float
    taken: bool


def choose(history: History, design: Design) -> list[Choice]:
    """For each factor its best arm, by validation scores against targets as the user gave them.

    Tuning sees targets as contaminated as training; the test split is not read. An arm of which
    any seed diverged where the default's did not is no candidate.
    """
    metric = history.study.run.metric
    sign = 1 if metric in names.HIGHER_IS_BETTER else -1
    base = history.of_arm(DEFAULT, metric)
    choices = []
    for factor in FACTORS:
        candidates = []
        for arm in design.choices[factor]:
            values = history.of_arm(arm, metric)
            if np.any(np.isnan(values) & ~np.isnan(base)):
                continue
            gains = sign * (values - base)
            gains = gains[np.isfinite(gains)]
            if np.isnan(base).any() and not np.isnan(values).any():
                candidates.append(Choice(factor, arm, float("inf"), 0.0, True))
            elif len(gains) > 1:
                mean = student_mean(gains)
                strong = mean.estimate > 0 and mean.estimate >= STRONG_ENOUGH * mean.error
                candidates.append(Choice(factor, arm, mean.estimate, mean.error, strong))
        if candidates:
            choices.append(max(candidates, key=lambda choice: choice.gain))
    return choices


def recommended(choices: Sequence[Choice], design: Design) -> dict[str, Any]:
    """The changes to the default setting that all taken choices make together."""
    arms = {arm.name: arm for arm in design.arms}
    changes: dict[str, Any] = {}
    for choice in choices:
        if choice.taken:
            changes |= dict(arms[choice.arm].changes)
    return changes


RECOMMENDED = "recommended"


def confirmation_arms(changes: dict[str, Any]) -> tuple[Arm, ...]:
    """The default, and the recommended setting beside it."""
    return (Arm(DEFAULT), Arm(RECOMMENDED, tuple(sorted(changes.items()))))


def confirmation_claim(run: RunSpec) -> Claim:
    """That the recommended setting is better on test rows, by seeds not used before."""
    direction = 1 if run.metric in names.HIGHER_IS_BETTER else -1
    return Claim(
        id="confirmation",
        statement="the recommended setting beats the default on test rows",
        treatment=RECOMMENDED,
        control=DEFAULT,
        kind="superiority",
        direction=direction,
        metric=run.metric,
        margin=run.margin,
        family="confirmation",
    )


def confirm(history: History) -> Verdict:
    """The verdict on the recommended setting, for other seeds and other rows."""
    metric = history.study.run.metric
    treatment = history.row_scores(RECOMMENDED, metric, test=True)
    control = history.row_scores(DEFAULT, metric, test=True)
    return decide_family([confirmation_claim(history.study.run)], [treatment], [control])[0]


def spreads(history: History) -> list[tuple[str, Spread]]:
    """The spread of the metric over seeds when each source varies alone, and all that vary do."""
    metric = history.study.run.metric
    arms = [(f"only {s} varies", s) for s in sources(history.study.setting)]
    found = [(label, history.of_arm(arm, metric, "clean")) for arm, label in arms]
    varied = "+".join(s for s in history.study.run.vary if s in sources(history.study.setting))
    found.append((varied or "nothing", history.of_arm(DEFAULT, metric, "clean")))
    return [(label, spread(values)) for label, values in found]
