"""From a finished study of the five challenges to verdicts and a confirmed recommendation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence import names
from convergence.analysis.power import SeedsNeeded
from convergence.analysis.statistics import student_mean
from convergence.analysis.two_way import mean_squares
from convergence.analysis.verdict import Claim, Verdict, decide_family
from convergence.challenges import DEFAULT, FACTORS, Asked, Comparison, Design
from convergence.history import History
from convergence.spec import Arm, RunSpec

SAME_RUN = "all seeds are the same run"
LEAD = 1.0  # standard errors by which a change must lead to be built upon; confirmation decides


def scores(history: History, arm: str) -> np.ndarray:
    """An arm's clean validation scores: [seeds, rows] where seeds share rows, else [seeds]."""
    metric = history.study.run.metric
    try:
        return history.row_scores(arm, metric)
    except ValueError:
        return history.of_arm(arm, metric, "clean")


def _distance(history: History, claim: Claim) -> tuple[np.ndarray, np.ndarray]:
    """How far the scores of pairs lie apart, against the margin.

    A pair of which both diverged says nothing; one of which one did is further apart than any two
    numbers, which is told as the control's divergence.
    """
    metric = history.study.run.metric
    first = history.of_arm(claim.treatment, metric, "clean")
    second = history.of_arm(claim.control, metric, "clean")
    if claim.treatment == claim.control:
        even = len(first) // 2 * 2
        first, second = first[0:even:2], second[1:even:2]
    apart, margin = np.abs(first - second), np.full(len(first), claim.margin)
    one = np.isnan(first) != np.isnan(second)
    margin[np.isnan(apart)] = np.nan
    return np.where(one, claim.margin, apart), margin


def _gap(history: History, arm: str) -> np.ndarray:
    """How much better an arm scores on training than on validation rows, targets as told."""
    metric = history.study.run.metric
    gap = history.of_arm(arm, metric, "train") - history.of_arm(arm, metric)
    return gap if metric in names.HIGHER_IS_BETTER else -gap


def _alike(history: History, *arms: str) -> list[np.ndarray]:
    """The arms' scores, all [seeds, rows] or – where one of them varies its rows – all [seeds]."""
    found = [scores(history, arm) for arm in arms]
    if len({one.ndim for one in found}) > 1:
        found = [history.of_arm(arm, history.study.run.metric, "clean") for arm in arms]
    return found


def samples(history: History, comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Treatment and control of a comparison, as `decide_family` takes them."""
    claim = comparison.claim
    if comparison.measure == "distance":
        return _distance(history, claim)
    if comparison.measure == "gap":
        return _gap(history, claim.treatment), _gap(history, claim.control)
    if comparison.measure == "harm":
        found = _alike(history, claim.treatment, comparison.clean[0])
        other = _alike(history, claim.control, comparison.clean[1])
        return found[0] - found[1], other[0] - other[1]
    first, second = _alike(history, claim.treatment, claim.control)
    return first, second


def _as_asked(comparison: Comparison, verdict: Verdict) -> Verdict:
    """The verdict in the words of its measure.

    A distance was held against the margin, so that "beyond zero" means beyond it: a distance is
    never negative, and to show that it is above zero would show nothing.
    """
    if comparison.measure != "distance":
        return verdict
    margin, claim = comparison.claim.margin, comparison.claim
    pairs = 2 if comparison.unit == "pair of seeds" else 1  # seeds that one takes
    needed = verdict.seeds_needed
    reason = verdict.reason
    return dataclasses.replace(
        verdict,
        claim=claim,
        effect=verdict.effect + margin,
        low=max(verdict.low + margin, 0.0),
        high=verdict.high + margin,
        reason="negligible" if reason == "reversed" else reason,
        smallest_detectable=verdict.smallest_detectable + margin,
        seeds_needed=SeedsNeeded(
            *(None if n is None else pairs * n for n in (needed.to_hold, needed.to_fail))
        ),
    )


def _tested(comparison: Comparison) -> Claim:
    """The claim as it is tested: a distance is held against its margin, so none is left."""
    if comparison.measure != "distance":
        return comparison.claim
    return dataclasses.replace(comparison.claim, margin=NO_MARGIN)


def _single(history: History, comparison: Comparison) -> bool:
    """Whether all arms that a comparison reads are copies of one run each.

    Distances are taken between trials: that they are copies is what a distance of zero says.
    """
    claim = comparison.claim
    arms = {claim.treatment, claim.control, *comparison.clean} - {""}
    return comparison.measure != "distance" and all(history.copies(arm) for arm in arms)


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
        single = [_single(history, one) for one in members]
        pairs = [(p[0][:1], p[1][:1]) if alone else p for p, alone in zip(pairs, single)]
        verdicts = decide_family(
            [_tested(one) for one in members],
            [p[0] for p in pairs],
            [p[1] for p in pairs],
            units=[one.unit for one in members],
        )
        for one, verdict, alone in zip(members, verdicts, single):
            told = dataclasses.replace(verdict, reason=SAME_RUN) if alone else verdict
            found[id(one)] = _as_asked(one, told)
    return [(one, found.get(id(one))) for one in asked]


@dataclasses.dataclass(frozen=True)
class Lead:
    """An arm held against the default: seeds that finish beyond the default's, then the gain."""

    finished: int
    gain: float
    error: float

    @property
    def strong(self) -> bool:
        """Whether it leads by enough to be built upon."""
        return self.finished > 0 or (self.gain > 0 and self.gain >= LEAD * self.error)

    @property
    def rank(self) -> tuple[int, float]:
        """For choosing the best: finishing comes before scoring."""
        return self.finished, self.gain


@dataclasses.dataclass(frozen=True)
class Choice:
    """A setting held against the default on validation rows.

    Attributes:
        factor: what it changes, or ``combination``.
        arm: its name.
        changes: to the default setting.
        lead: mean paired improvement in the metric, positive is better, and its standard error,
            over seeds and rows where seeds share rows.
    """

    factor: str
    arm: str
    changes: tuple[tuple[str, Any], ...]
    lead: Lead


def _told(history: History, arm: str) -> np.ndarray:
    """Validation scores against targets as told, [seeds, rows] or [seeds]; higher is better.

    Tuning sees rows as contaminated as training; the test split is not read.
    """
    metric = history.study.run.metric
    sign = 1.0 if metric in names.HIGHER_IS_BETTER else -1.0
    if history.study.setting.data.input_noise:  # predictions are kept for clean inputs
        return sign * history.of_arm(arm, metric)
    try:
        return sign * history.row_scores(arm, metric, told=True)
    except ValueError:
        return sign * history.of_arm(arm, metric)


def _held_against(default: np.ndarray, values: np.ndarray) -> Lead | None:
    """An arm's scores (higher is better) against the default's; None where it is no candidate.

    An arm of which any seed diverged where the default's did not is none; the gain is of the pairs
    that both finish.
    """
    if default.ndim != values.ndim:
        default, values = (v.mean(axis=1) if v.ndim > 1 else v for v in (default, values))
    fine, base = (np.isfinite(v).reshape(len(v), -1).all(axis=1) for v in (values, default))
    beyond = int((fine & ~base).sum())
    if (base & ~fine).any() or (beyond == 0 and base.sum() < 2):
        return None
    gains = (values - default)[fine & base]
    if len(gains) < 2:
        # Nothing to pair with: between arms that finish, the score itself decides.
        return Lead(beyond, float(np.mean(values[fine])), 0.0)
    mean = mean_squares(gains).mean() if gains.ndim == 2 else student_mean(gains)
    return Lead(beyond, mean.estimate, mean.error)


def lead(history: History, arm: str, default: str = DEFAULT) -> Lead | None:
    """An arm held against the default on validation rows, targets as told; None for no candidate.

    An arm of which any seed diverged where the default's did not is none.
    """
    return _held_against(_told(history, default), _told(history, arm))


def choose(history: History, design: Design) -> list[Choice]:
    """For each factor its best arm on validation rows."""
    default = _told(history, DEFAULT)
    arms = {arm.name: arm for arm in design.arms}
    choices = []
    for factor in FACTORS:
        candidates = []
        for arm in design.choices[factor]:
            lead = _held_against(default, _told(history, arm))
            if lead:
                candidates.append(Choice(factor, arm, arms[arm].changes, lead))
        if candidates:
            choices.append(max(candidates, key=lambda choice: choice.lead.rank))
    return choices


def combinations(choices: Sequence[Choice]) -> tuple[Arm, ...]:
    """The settings that make the two, three, … surest of the taken changes at once."""
    taken = sorted(
        (choice for choice in choices if choice.lead.strong),
        key=lambda choice: (
            choice.lead.finished,
            choice.lead.gain / choice.lead.error if choice.lead.error else float("inf"),
        ),
        reverse=True,
    )
    arms = []
    for count in range(2, len(taken) + 1):
        changes = dict(change for choice in taken[:count] for change in choice.changes)
        name = " + ".join(choice.arm for choice in taken[:count])
        arms.append(Arm(name, tuple(sorted(changes.items()))))
    return tuple(arms)


def candidate(
    history: History, choices: Sequence[Choice], combined: History | None
) -> tuple[Choice | None, list[Choice]]:
    """The setting to confirm – the best on validation rows, single or combined – and all of them.

    Args:
        history: the study of the five challenges.
        choices: the best of each factor.
        combined: the study of `combinations`, with the same seeds; None where there was none.
    """
    found = [choice for choice in choices if choice.lead.strong]
    default = _told(history, DEFAULT)
    for arm in combined.study.arms if combined else ():
        assert combined is not None
        lead = _held_against(default, _told(combined, arm.name))
        if lead:
            found.append(Choice("combination", arm.name, arm.changes, lead))
    leading = [choice for choice in found if choice.lead.strong]
    best = max(leading, key=lambda choice: choice.lead.rank) if leading else None
    return best, found


RECOMMENDED = "recommended"
NO_MARGIN = 1e-12  # a claim's margin is above 0; this one is below any score's resolution


def confirmation_arms(changes: tuple[tuple[str, Any], ...]) -> tuple[Arm, ...]:
    """The default, and the recommended setting beside it."""
    return (Arm(DEFAULT), Arm(RECOMMENDED, changes))


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
