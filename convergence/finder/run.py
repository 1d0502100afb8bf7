"""The experiment that looks for a learning rate: studies, what they tell, and where it is written.

The workdir's own study is the first search (all rates, the ramps, at half of --steps); ``wider1``
and ``wider2`` go beyond its range where it does not do, ``fine`` is the second search,
``rate_free`` trains the rate-free optimisers, ``confirmation`` holds the found rate against the
default.

``summary.json`` holds, beside ``arms``, ``verdicts`` and ``recommendation`` (as in every study):

- ``finding``: `Found.to_json`: {verdict, sentence, rate, low, high, horizon, length, seeds,
  divergence, divergence_low, divergence_high, margin, growth, optima: [[steps, rate]], searched,
  help}; what there is no number for is None;
- ``first_search``, ``second_search``: [{rate, loss, low, high, lost, diverged, seeds}]: mean
  training loss of each rate with its 95 % interval over seeds, None where a seed diverged; the
  share of the best descent that it loses;
- ``rates``: [{rate, was}]: too low, useful, too high or diverges, by that loss;
- ``rules``: [`Judged.to_json`]; ``rate_free``: [{optimizer, loss, lost}], [] where not asked;
- ``metric``: what the confirmation compares.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convergence import confirmation
from convergence import laboratory as lab
from convergence.analysis.lr_finder import FOUND, Found, find
from convergence.analysis.verdict import Verdict
from convergence.data import Dataset
from convergence.finder import claims as asked
from convergence.finder import rules, studies, words
from convergence.finder.grid import described, grid_table
from convergence.finder.wanted import Wanted, read
from convergence.flags import Options
from convergence.spec import Arm
from convergence.training.blocks import Want

QUESTION = "From which learning rate should training start?"
FURTHER = " A second search about the best rate, and a confirmation at the horizon, come on top."


def run(options: Options) -> None:
    """Runs the experiment; see experiments.lr_finder."""
    wanted = read(options)
    half = wanted.length // 2

    def arms(dataset: Dataset) -> tuple[Arm, ...]:
        return studies.first_arms(wanted.rates)

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        return list(asked.claims(half, np.array(wanted.rates)))

    base = {"steps": half, "schedule": "constant", "warmup": 0}
    with lab.open_laboratory(options, QUESTION, arms, claims, base, FURTHER) as laboratory:
        if laboratory is None:
            return
        told = investigate(laboratory, wanted)
        laboratory.close(told, words.closing_text(laboratory, told, options))


def investigate(laboratory: lab.Laboratory, wanted: Wanted) -> dict[str, Any]:
    """Searches, judges every rule, confirms what was found; the summary."""
    history = laboratory.conduct(
        laboratory.study, laboratory.workdir, "first search", Want(predictions=False)
    )
    half = wanted.length // 2
    coarse = studies.runs_of(history, wanted.rates, half)
    coarse = studies.widened(laboratory, coarse, wanted.automatic)
    fine = studies.second(laboratory, coarse, wanted.length)
    found = find(coarse, fine, np.random.default_rng(laboratory.study.run.seed), wanted.horizon)
    ramps = studies.ramps_of(history)
    judge = rules.judge_of(coarse, fine)
    judged = rules.literal_rules(coarse, judge) + rules.published_rules(ramps, judge)
    free: list[dict[str, Any]] = []
    if fine is not None and found.verdict == FOUND:
        judged.insert(0, rules.ours(coarse, fine, judge))
        if wanted.rivals:
            trained = studies.free(laboratory, wanted.length)
            free = rules.free_table(trained, fine, found.rate)
    verdict = _confirmed(laboratory, found)
    claims = asked.claims(half, np.array(wanted.rates))
    return {
        "arms": lab.arm_table(history, laboratory.study.run.metric, "clean"),
        "metric": laboratory.study.run.metric,
        "finding": found.to_json(),
        "first_search": grid_table(coarse),
        "second_search": grid_table(fine) if fine is not None else [],
        "rates": described(coarse),
        "rules": [one.to_json() for one in judged],
        "rate_free": free,
        "verdicts": [one.to_json() for one in asked.decide(coarse, judge, claims)],
        "recommendation": recommendation(found, verdict),
    }


def _changes(found: Found) -> tuple[tuple[str, float], ...]:
    return (("learning_rate", float(f"{found.rate:.3g}")),)


def _confirmed(laboratory: lab.Laboratory, found: Found) -> Verdict | None:
    """The found rate against the default at the horizon, on unused seeds; None where none is."""
    default = laboratory.study.setting.train.learning_rate
    if found.verdict != FOUND or _changes(found)[0][1] == default:
        return None
    return confirmation.confirm(laboratory, _changes(found), base={"steps": found.horizon})


def recommendation(found: Found, verdict: Verdict | None) -> dict[str, Any]:
    """The summary's part on the rate that was put to the test."""
    changes = _changes(found) if found.verdict == FOUND else ()
    name = f"learning_rate={changes[0][1]:g}" if changes else None
    return confirmation.summary(name, changes, verdict)
