"""From a finished study of the five challenges to verdicts and a confirmed recommendation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence import names
from convergence.analysis.spread import Spread, spread
from convergence.analysis.statistics import student_mean
from convergence.analysis.two_way import mean_squares
from convergence.analysis.verdict import Claim, Verdict, decide_family
from convergence.challenges import DEFAULT, FACTORS, Asked, Comparison, Design, sources
from convergence.history import History
from convergence.spec import Arm, RunSpec

LEAD = 1.0  # standard errors by which a change must lead to be built upon; confirmation decides


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
    """A setting held against the default on validation rows.

    Attributes:
        factor: what it changes, or ``combination``.
        arm: its name.
        changes: to the default setting.
        gain: mean paired improvement in the metric, positive is better.
        error: its standard error, over seeds and rows where seeds share rows.
        taken: whether it leads by enough to be built upon.
    """

    factor: str
    arm: str
    changes: tuple[tuple[str, Any], ...]
    gain: float
    error: float
    taken: bool


def _told(history: History, arm: str) -> np.ndarray:
    """Validation scores against targets as told, [seeds, rows] or [seeds]; higher is better.

    Tuning sees targets as contaminated as training; the test split is not read.
    """
    metric = history.study.run.metric
    sign = 1.0 if metric in names.HIGHER_IS_BETTER else -1.0
    try:
        return sign * history.row_scores(arm, metric, told=True)
    except ValueError:
        return sign * history.of_arm(arm, metric)


def _held_against(default: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """Gain over the default and its standard error; None where there is nothing to recommend.

    An arm of which any seed diverged where the default's did not is no candidate.
    """
    if default.ndim != values.ndim:
        default, values = (v.mean(axis=1) if v.ndim > 1 else v for v in (default, values))
    fine, base = (np.isfinite(v).reshape(len(v), -1).all(axis=1) for v in (values, default))
    if (base & ~fine).any() or not fine.any():
        return None
    if (fine & ~base).any():  # it finishes where the default diverges
        return float("inf"), 0.0
    gains = (values - default)[fine & base]
    if len(gains) < 2:
        return None
    mean = mean_squares(gains).mean() if gains.ndim == 2 else student_mean(gains)
    return mean.estimate, mean.error


def choose(history: History, design: Design) -> list[Choice]:
    """For each factor its best arm on validation rows."""
    default = _told(history, DEFAULT)
    arms = {arm.name: arm for arm in design.arms}
    choices = []
    for factor in FACTORS:
        candidates = []
        for arm in design.choices[factor]:
            found = _held_against(default, _told(history, arm))
            if found:
                gain, error = found
                taken = gain > 0 and gain >= LEAD * error
                candidates.append(Choice(factor, arm, arms[arm].changes, gain, error, taken))
        if candidates:
            choices.append(max(candidates, key=lambda choice: choice.gain))
    return choices


def combinations(choices: Sequence[Choice]) -> tuple[Arm, ...]:
    """The settings that make the two, three, … surest of the taken changes at once."""
    taken = sorted(
        (choice for choice in choices if choice.taken),
        key=lambda choice: choice.gain / choice.error if choice.error else float("inf"),
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
    found = [choice for choice in choices if choice.taken]
    default = _told(history, DEFAULT)
    for arm in combined.study.arms if combined else ():
        assert combined is not None
        held = _held_against(default, _told(combined, arm.name))
        if held:
            gain, error = held
            taken = gain > 0 and gain >= LEAD * error
            found.append(Choice("combination", arm.name, arm.changes, gain, error, taken))
    leading = [choice for choice in found if choice.taken]
    return (max(leading, key=lambda choice: choice.gain) if leading else None), found


RECOMMENDED = "recommended"


def confirmation_arms(choice: Choice) -> tuple[Arm, ...]:
    """The default, and the recommended setting beside it."""
    return (Arm(DEFAULT), Arm(RECOMMENDED, choice.changes))


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
