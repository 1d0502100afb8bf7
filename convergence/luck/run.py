"""The experiment on randomness: arms, training, what the trials tell, and where it is written.

``summary.json`` holds, beside ``arms`` (`laboratory.arm_table`), ``parts`` and ``metric``:

- ``verdicts``: list of `Verdict.to_json`; ``not_applicable``: list of {id, statement, challenge,
  reason};
- ``again``: {same, records, trials: [{trial, differs}], models: {source: {trials, models}}}: trials
  trained once more, bits compared; how many different models the draws of each source are;
- ``sources``: list of `SourceSpread.to_json`, the last one of all sources together; [] if not
  asked. ``none_is_harmless``: a sentence, or "";
- ``crossed``: {inits, orders, init, order}, the last two with the `Crossed` parts (alone, others,
  together, total, effect, share, total_share) as intervals; None if not asked;
- ``twins``: `Twins.to_json`: {rates: [...], own, steps, share, threshold, growth_threshold,
  fastest, best, threshold_over_fastest, envelope}; None if not asked. ``envelope``: {rate, steps,
  amplitude, low, median, high}, what rounding at every step does at the own rate, or None. Each
  of ``rates``: {rate, arm, twin, growth: {rate, slopes, windows, healed, passing, pairs, trials},
  relative, relative_step, bit_sd, seed_sd, ratio, moved, churn, seed_churn, pairs, trials, train,
  metric, distance: {low, median, high}: quartiles at ``steps``}. Every pair's distances are in
  ``twins.npz``;
- ``consistency``: {field, doses: [{dose, arm, mean, sd, low, high, n, trials, warning}], slope,
  seeds, trials}; None if not asked;
- ``seeds_needed``: {sd, sd_of_difference, neighbour, neighbour_factor, correlation, power, alpha,
  cap, differences: [{difference, paired, unpaired}]}, counts {estimate, low, high}, None above the
  cap; None if not asked.

An interval is {estimate, low, high, level, n, method, speaks_of, warning, df}; numbers are strict
JSON: None for NaN, "inf" and "-inf".
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convergence import laboratory as lab
from convergence.challenges import Asked
from convergence.chance.again import Again, again
from convergence.chance.claims import Question, questions
from convergence.chance.consistency import Consistency, consistency
from convergence.chance.decisions import Told, decide
from convergence.chance.design import Design
from convergence.chance.seeds import SeedsNeeded, seeds_needed
from convergence.chance.sources import (
    InitByOrder,
    SourceSpread,
    by_source,
    init_by_order,
    none_is_harmless,
)
from convergence.chance.twins import Twins, twins
from convergence.data import Dataset
from convergence.flags import Options
from convergence.history import History
from convergence.luck import wanted as wants
from convergence.luck import words
from convergence.luck.envelope import Repeated, repeated
from convergence.plan import Plan
from convergence.spec import Arm
from convergence.study import Machine, Study
from convergence.training.blocks import Want

QUESTION = "How much of this result is luck, whose luck is it, and does one rounding error matter?"


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that the experiment found; None (or empty) where it was not asked."""

    told: Told
    again: Again
    sources: list[SourceSpread]
    crossed: InitByOrder | None
    twins: Twins | None
    envelope: Repeated | None
    consistency: Consistency | None
    seeds: SeedsNeeded | None


def run(options: Options) -> None:
    """Runs the experiment; see experiments.randomness."""
    wanted = wants.read(options)
    options = wants.with_lanes(options, wanted)
    made: list[Design] = []

    def arms(dataset: Dataset) -> tuple[Arm, ...]:
        made.append(wanted.design(options, dataset.task))
        return made[0].arms

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        return [one.claim for one in asked(laboratory, made[0]) if isinstance(one, Question)]

    with lab.open_laboratory(options, QUESTION, arms, claims) as laboratory:
        if laboratory is None:
            return
        want = Want(twins=bool(made[0].rates))
        history = laboratory.conduct(laboratory.study, laboratory.workdir, "randomness", want)
        found = findings(laboratory, history, made[0], wanted.grids)
        rows = lab.arm_table(history, laboratory.study.run.metric, "clean")
        laboratory.close(
            summary(laboratory, found, rows, wanted.parts),
            words.closing_text(laboratory.study.run, rows, **_told(found)),
        )


def _told(found: Findings) -> dict[str, Any]:
    """What is told in words: the envelope is for a figure alone."""
    return {name: value for name, value in vars(found).items() if name != "envelope"}


def asked(laboratory: lab.Laboratory, made: Design) -> list[Question | Asked]:
    """The claims of this study."""
    plan = Plan(laboratory.study, laboratory.dataset)
    rows = len(plan.view(0, int(plan.replicas[0])).train)
    per_epoch = rows // laboratory.study.setting.train.batch_size
    return questions(laboratory.study, made, plan.total_steps, per_epoch)


def findings(laboratory: lab.Laboratory, history: History, made: Design, grids: int) -> Findings:
    """What the trials tell; a few of them are trained once more."""
    direction = 1 if laboratory.higher_is_better else -1
    runner = Study(
        laboratory.study,
        laboratory.dataset,
        machine=Machine.here(laboratory.options.workers),
        populations=laboratory.populations,
    )
    told_twins = twins(history, made, direction, grids) if made.rates else None
    return Findings(
        told=decide(history, asked(laboratory, made)),
        again=again(runner, history, made),
        sources=by_source(history, made, direction) if made.alone else [],
        crossed=init_by_order(history, made),
        twins=told_twins,
        envelope=repeated(runner, history, told_twins) if told_twins else None,
        consistency=consistency(history, made) if made.doses else None,
        seeds=seeds_needed(history, made) if made.own else None,
    )


def summary(
    laboratory: lab.Laboratory, found: Findings, rows: list[dict[str, Any]], parts: tuple[str, ...]
) -> dict[str, Any]:
    """summary.json, as the head of this file says."""

    def plain(one: Any) -> Any:
        return one.to_json() if one is not None else None

    return {
        "arms": rows,
        "parts": list(parts),
        "metric": laboratory.study.run.metric,
        "topics": {"4": "sources"},
        "verdicts": [verdict.to_json() for _, verdict in found.told if verdict],
        "not_applicable": [
            dataclasses.asdict(one) for one, _ in found.told if isinstance(one, Asked)
        ],
        "again": found.again.to_json(),
        "sources": [one.to_json() for one in found.sources],
        "none_is_harmless": none_is_harmless(found.sources) if found.sources else "",
        "crossed": plain(found.crossed),
        "twins": found.twins.to_json() | {"envelope": plain(found.envelope)}
        if found.twins
        else None,
        "consistency": plain(found.consistency),
        "seeds_needed": plain(found.seeds),
    }
