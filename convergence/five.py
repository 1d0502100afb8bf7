"""The main job, from options to the closing table; `challenges` and `appraisal` are its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from convergence import appraisal, challenges, confirmation, overview, spec, wording
from convergence import laboratory as lab
from convergence.analysis.telling import counted
from convergence.analysis.verdict import Verdict
from convergence.appraisal import Choice
from convergence.challenges import TOPICS, Asked, Comparison, Design
from convergence.data import Dataset
from convergence.flags import Options
from convergence.history import History
from convergence.reporting import tables
from convergence.training.blocks import Want

QUESTION = "Which of the five challenges does training on this data meet, and what should change?"
FURTHER = " What leads is then combined, and the best confirmed: up to a third more."
Told = Sequence[tuple[Comparison | Asked, Verdict | None]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """All that the main job found.

    Attributes:
        history: the study of the five challenges.
        told: every claim with its verdict.
        choices: the best arm of each factor.
        weighed: the changes that led, alone and combined.
        pick: the one that was put to the test, or None.
        verdict: on the pick, by unused seeds and the test split.
    """

    history: History
    told: Told
    choices: Sequence[Choice]
    weighed: Sequence[Choice]
    pick: Choice | None
    verdict: Verdict | None


def run(options: Options) -> None:
    """Runs the whole main job; see experiments.five_challenges."""
    made: list[Design] = []

    def arms(dataset: Dataset) -> Sequence[spec.Arm]:
        made.append(challenges.design(options.setting, dataset, options.run.vary))
        return made[0].arms

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        asked = challenges.comparisons(laboratory.study, made[0], laboratory.dataset.task)
        return [one.claim for one in asked if isinstance(one, Comparison)]

    with lab.open_laboratory(options, QUESTION, arms, claims, further=FURTHER) as laboratory:
        if laboratory is None:
            return
        outcome = investigate(laboratory, made[0])
        told = summary(outcome)
        laboratory.close(told, closing_text(laboratory, outcome, told))


def investigate(laboratory: lab.Laboratory, design: Design) -> Outcome:
    """The comparisons, the combinations of what led in them, and the confirmation of the best."""
    history = laboratory.conduct(laboratory.study, laboratory.workdir, "five challenges")
    asked = challenges.comparisons(laboratory.study, design, laboratory.dataset.task)
    told = appraisal.decide(history, asked)
    choices = appraisal.choose(history, design)
    combined = None
    arms = appraisal.combinations(choices)
    if arms:
        question = "Do the changes that led alone lead together?"
        combined = confirmation.nested(
            laboratory, "combination", question, arms, laboratory.study.run, Want()
        )
    pick, weighed = appraisal.candidate(history, choices, combined)
    verdict = None
    if pick:
        verdict = confirmation.confirm(laboratory, pick.changes)
    return Outcome(history, told, choices, weighed, pick, verdict)


def _line(one: Comparison | Asked, verdict: Verdict | None) -> tuple[str, str, str, str]:
    if isinstance(one, Asked) or verdict is None:
        assert isinstance(one, Asked)
        return wording.asked_line(one.id, one.statement, one.reason)
    return wording.verdict_line(verdict)


def claims_text(told: Told, primary: bool) -> str:
    """The table of the primary claims, or of the others, with its legend."""
    lines, verdicts = [], []
    for one, verdict in told:
        first = verdict is not None and verdict.claim.family == challenges.PRIMARY
        if first == primary:
            lines.append(_line(one, verdict))
            verdicts += [verdict] if verdict else []
    if not lines:
        return ""
    return f"{tables.text(lines, wording.HEADERS)}\n{wording.legend(verdicts)}"


def recommendation_text(outcome: Outcome) -> str:
    """What to change, and whether it stood the test."""
    pick, verdict = outcome.pick, outcome.verdict
    if not outcome.choices:
        return (
            "Nothing can be recommended: no setting could be held against the default\n"
            "(too few seeds, or its trials diverged)."
        )
    if pick is None or verdict is None:
        return (
            "Recommended: keep the default setting. No change led it on validation rows by\n"
            "a standard error (seeds and rows); nothing was confirmed, no test row was read."
        )
    return confirmation.told(pick.changes, verdict)


def closing_text(laboratory: lab.Laboratory, outcome: Outcome, told: Mapping[str, Any]) -> str:
    """The tables that end the main job, the primary one last before the recommendation.

    Args:
        told: the study's `summary`.
    """
    run, rows = laboratory.study.run, told["arms"]
    verdicts = [v for _, v in outcome.told if v] + ([outcome.verdict] if outcome.verdict else [])
    combined = [one for one in told["weighed"] if one["factor"] == "combination"]
    gains = wording.choice_lines([*told["choices"], *combined])
    notes = [*wording.arm_notes(rows), wording.warnings_text(verdicts)]
    best = "Best of each factor and what leads combined: gain over the default, validation\n"
    higher = "higher" if laboratory.higher_is_better else "lower"
    parts = [
        f"Arms: {run.metric} on clean validation rows (intervals speak of seeds)\n"
        + wording.arm_text(rows),
        f"Spread of {run.metric} over seeds, by what varies\n"
        + tables.text(wording.spread_lines(told["spread"]), wording.SPREAD_HEADERS),
        rates_text(outcome),
        "Further claims, corrected within each challenge\n"
        + claims_text(outcome.told, primary=False),
        best + tables.text(gains, wording.CHOICE_HEADERS) if gains else "",
        "\n".join(note for note in notes if note),
        f"The five challenges on {laboratory.dataset.name}: {run.metric} ({higher} is better),"
        f" margin {tables.number(run.margin)}, {counted(run.num_seeds, 'seed')}\n"
        + claims_text(outcome.told, primary=True),
        recommendation_text(outcome),
    ]
    return "\n\n".join(part for part in parts if part)


def rates_text(outcome: Outcome) -> str:
    """One line on the range of learning rates (claim 3a): too low, useful, too high, diverging."""
    words: dict[str, list[str]] = {}
    for rate, word in overview.rates(outcome.history):
        words.setdefault(word, []).append(tables.number(rate))
    told = "; ".join(f"{word}: {', '.join(rates)}" for word, rates in words.items())
    return f"Learning rates at this length – {told}"


def _plain(choice: Choice) -> dict[str, Any]:
    return dataclasses.asdict(choice) | {"leads": choice.lead.strong}


def summary(outcome: Outcome) -> dict[str, Any]:
    """summary.json: all that the tables say, for machines."""
    history, verdict = outcome.history, outcome.verdict
    asked = [dataclasses.asdict(one) for one, _ in outcome.told if isinstance(one, Asked)]
    spreads = overview.spreads(history)
    return {
        "arms": lab.arm_table(history, history.study.run.metric, "clean"),
        "rates": [{"rate": rate, "was": word} for rate, word in overview.rates(history)],
        "spread": [{"varies": label} | dataclasses.asdict(s) for label, s in spreads],
        "topics": {str(number): topic for number, topic in TOPICS.items()},
        "verdicts": [v.to_json() for _, v in outcome.told if v],
        "not_applicable": asked,
        "choices": [_plain(choice) for choice in outcome.choices],
        "weighed": [_plain(choice) for choice in outcome.weighed],
        "recommendation": confirmation.summary(
            outcome.pick.arm if outcome.pick else None,
            outcome.pick.changes if outcome.pick else (),
            verdict,
        ),
    }
