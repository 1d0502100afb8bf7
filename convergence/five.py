"""The main job, from options to the closing table; `challenges` and `appraisal` are its parts."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from convergence import appraisal, challenges, spec
from convergence import laboratory as lab
from convergence.analysis.verdict import Verdict
from convergence.challenges import TOPICS, Asked, Comparison, Design
from convergence.data import Dataset
from convergence.flags import Options
from convergence.history import History
from convergence.reporting import provenance, tables
from convergence.spec import StudySpec
from convergence.study import resolve
from convergence.training.blocks import Want

QUESTION = "Which of the five challenges does training on this data meet, and what should change?"
FEWEST_TO_CONFIRM = 16  # seeds of the confirmation, at least, unless the study has very few
Told = Sequence[tuple[Comparison | Asked, Verdict | None]]


def run(options: Options) -> None:
    """Runs the whole main job; see experiments.five_challenges."""
    made: list[Design] = []

    def arms(dataset: Dataset) -> Sequence[spec.Arm]:
        made.append(challenges.design(options.setting, dataset))
        return made[0].arms

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        asked = challenges.comparisons(laboratory.study, made[0], laboratory.dataset.task)
        return [one.claim for one in asked if isinstance(one, Comparison)]

    with lab.open_laboratory(options, QUESTION, arms, claims) as laboratory:
        if laboratory is None:
            return
        design = made[0]
        history = laboratory.conduct(laboratory.study, laboratory.workdir, "five challenges")
        asked = challenges.comparisons(laboratory.study, design, laboratory.dataset.task)
        told = appraisal.decide(history, asked)
        choices = appraisal.choose(history, design)
        changes = appraisal.recommended(choices, design)
        verdict = confirmation(laboratory, changes) if changes else None
        text = closing_text(laboratory, history, told, choices, changes, verdict)
        flag_lines = [f"--{name}={flag_value(value)}" for name, value in sorted(changes.items())]
        if verdict and verdict.decision == "holds":
            base = options.flagfile_text()
            laboratory.workdir.write_text("recommended.txt", base + "\n".join(flag_lines) + "\n")
        laboratory.close(summary(history, told, choices, changes, verdict), text)


def confirmation(laboratory: lab.Laboratory, changes: dict[str, Any]) -> Verdict:
    """Trains the default and the recommended setting with unused seeds; reads the test split."""
    study, run = laboratory.study, laboratory.study.run
    seeds = 2 * run.num_seeds if run.num_seeds < 4 else max(run.num_seeds, FEWEST_TO_CONFIRM)
    fresh = dataclasses.replace(
        run, first_replica=run.first_replica + run.num_seeds, num_seeds=seeds
    )
    asked = StudySpec(
        f"{study.name}/confirmation",
        "Does the recommended setting beat the default on unused seeds and the test split?",
        study.setting,
        fresh,
        appraisal.confirmation_arms(changes),
        context=study.arms,
    )
    asked = resolve(spec.validate(asked), laboratory.dataset)
    child = laboratory.workdir.child(
        "confirmation",
        spec.to_json(asked),
        provenance.collect(laboratory.dataset.digest),
        allow_drift=laboratory.options.allow_drift,
        claims=[appraisal.confirmation_claim(asked.run).to_json()],
    )
    with child:
        history = laboratory.conduct(asked, child, "confirmation", Want(test=True))
        verdict = appraisal.confirm(history)
        rows = lab.arm_table(history, run.metric, "test")
        child.write_json("summary.json", {"arms": rows, "verdicts": [verdict.to_json()]})
        if not child.finished:
            child.mark("finished")
        child.remove_blocks()
    return verdict


def flag_value(value: Any) -> str:
    """A field's value as its flag takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return shlex.quote(f"{value:.6g}" if isinstance(value, float) else str(value))


def _line(one: Comparison | Asked, verdict: Verdict | None) -> tuple[str, str, str, str]:
    if isinstance(one, Asked) or verdict is None:
        assert isinstance(one, Asked)
        return (f"{one.id} {one.statement}", "–", "–", f"not applicable ({one.reason})")
    return lab.verdict_line(verdict)


def claims_text(told: Told, primary: bool) -> str:
    """The table of the primary claims, or of the others."""
    lines = []
    for one, verdict in told:
        first = verdict is not None and verdict.claim.family == challenges.PRIMARY
        if first == primary:
            lines.append(_line(one, verdict))
    return tables.text(lines, ("claim", "effect", "interval", "verdict"))


def _setting_text(changes: dict[str, Any]) -> str:
    return " ".join(f"--{name}={flag_value(value)}" for name, value in sorted(changes.items()))


def recommendation_text(
    laboratory: lab.Laboratory,
    choices: Sequence[appraisal.Choice],
    changes: dict[str, Any],
    verdict: Verdict | None,
) -> str:
    """What to change, and whether it stood the test."""
    if verdict is None:
        return (
            "Recommended: keep the default setting; no single change led it by two standard"
            " errors on validation rows, so nothing was confirmed and the test split was not read."
        )
    metric = laboratory.study.run.metric
    effect = tables.estimate(verdict.effect, verdict.low, verdict.high)
    told = (
        f"{metric} {effect} against the default, {verdict.n} unused seeds × test rows"
        f" (interval: {verdict.speaks_of})"
    )
    if verdict.decision == "holds":
        return f"Recommended, confirmed: {_setting_text(changes)}\n  {told}"
    why = f"{verdict.decision}{f', {verdict.reason}' if verdict.reason else ''}"
    return (
        f"Withdrawn ({why}): {_setting_text(changes)}\n  {told}\n"
        "  It led on validation rows but was not confirmed; keep the default setting."
    )


def closing_text(
    laboratory: lab.Laboratory,
    history: History,
    told: Told,
    choices: Sequence[appraisal.Choice],
    changes: dict[str, Any],
    verdict: Verdict | None,
) -> str:
    """The tables that end the main job, the primary one last before the recommendation."""
    run = laboratory.study.run
    rows = lab.arm_table(history, run.metric, "clean")
    verdicts = [v for _, v in told if v] + ([verdict] if verdict else [])
    spreads = [
        (label, tables.number(s.sd), tables.interval(s.low, s.high), s.n)
        for label, s in appraisal.spreads(history)
    ]
    gains = [
        (c.factor, c.arm, tables.number(c.gain), tables.number(c.error), "yes" if c.taken else "no")
        for c in choices
    ]
    parts = [
        f"Arms: {run.metric} on clean validation rows (intervals speak of seeds)\n"
        + lab.arm_text(rows),
        f"Spread of {run.metric} over seeds, by what varies\n"
        + tables.text(spreads, ("varies", "sd", "95 % interval", "n")),
        "Further claims, corrected within each challenge\n" + claims_text(told, primary=False),
        "Best of each factor on validation rows (gain over the default)\n"
        + tables.text(gains, ("factor", "arm", "gain", "std. error", "taken")),
        lab.warnings_text(verdicts),
        f"The five challenges on {laboratory.dataset.name}: {run.metric}, margin"
        f" {tables.number(run.margin)}, {run.num_seeds} seeds\n" + claims_text(told, primary=True),
        recommendation_text(laboratory, choices, changes, verdict),
    ]
    return "\n\n".join(part for part in parts if part)


def summary(
    history: History,
    told: Told,
    choices: Sequence[appraisal.Choice],
    changes: dict[str, Any],
    verdict: Verdict | None,
) -> dict[str, Any]:
    """summary.json: all that the tables say, for machines."""
    metric = history.study.run.metric
    asked = [dataclasses.asdict(one) for one, _ in told if isinstance(one, Asked)]
    return {
        "arms": lab.arm_table(history, metric, "clean"),
        "spread": [
            {"varies": label} | dataclasses.asdict(s) for label, s in appraisal.spreads(history)
        ],
        "topics": {str(number): topic for number, topic in TOPICS.items()},
        "verdicts": [v.to_json() for _, v in told if v],
        "not_applicable": asked,
        "choices": [dataclasses.asdict(choice) for choice in choices],
        "recommendation": {
            "changes": changes,
            "decision": verdict.decision if verdict else "nothing to confirm",
            "verdict": verdict.to_json() if verdict else None,
        },
    }
