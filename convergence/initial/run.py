"""The experiment on initial weights: arms, training, what the trials tell, where it is written.

``summary.json`` holds, beside ``arms`` (`laboratory.arm_table`), ``parts``, ``metric``, ``topics``:

- ``verdicts``: list of `Verdict.to_json`; ``not_applicable``: list of {id, statement, challenge,
  reason};
- ``target``: {level, start, share, span, reason}, `reaching.Target`;
- ``reached``: list of `Reached.to_json` with ``arm`` and ``outcome`` (diverged, useful, too slow:
  `reaching.outcome`), ``improving`` and ``falling`` (means over seeds of `Descents`); an arm each;
- ``grid``: {scales, rates, own: [scale, rate], cells: [{scale, rate, arm, outcome, reached,
  diverged, seeds}]}, factors of the setting's own; None if not asked;
- ``depths``: [{depth, arm, init}]; ``activations``: [{activation, arm, init}]; [] if not asked;
- ``layers``: list of `Layers.to_json`: medians over seeds, [marks][layers]; [] if not asked;
- ``surfaces``: list of `Surface.to_json`; ``barriers``: list of `Barrier.to_json`; [] if not asked;
- ``choices``, ``weighed``, ``recommendation``: as the main job's (`five`).

An interval is {estimate, low, high, level, n, method, speaks_of, warning, df}; numbers are strict
JSON: None for NaN, "inf" and "-inf".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from convergence import appraisal, confirmation
from convergence import laboratory as lab
from convergence.analysis.reaching import outcome, reached
from convergence.analysis.statistics import strict_number
from convergence.analysis.verdict import Verdict
from convergence.appraisal import Choice
from convergence.challenges import FACTORS, Asked
from convergence.challenges import Design as Choices
from convergence.data import Dataset
from convergence.flags import Options
from convergence.history import History
from convergence.initial import wanted as wants
from convergence.initial import words
from convergence.initial.claims import Descents, Question, Told, decide, descents, questions
from convergence.initial.design import BIG, DEFAULT, SAME_START, SMALL, Design, scaled
from convergence.initial.layers import Layers, looks
from convergence.initial.surface import Barrier, Land, Surface, barrier, surfaces
from convergence.models import Model, build_model
from convergence.replay import Trainer
from convergence.spec import Arm, Setting
from convergence.study import Machine, Study
from convergence.weights import LSUV

QUESTION = "Which initial weights and biases let the descent get going, and what stops it?"
FURTHER = " What leads is confirmed on unused seeds: two further arms."
MOST_PAIRED = 16  # trials whose ends are joined
UNDRAWN = (
    "No plane of a descent is drawn: no seed of the default finished, or the params are too many"
    " to be held at so many steps."
)


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that the experiment found; empty where it was not asked."""

    told: Told
    descents: Descents
    layers: list[Layers]
    surfaces: list[Surface]
    barriers: list[Barrier]
    choices: list[Choice]
    weighed: list[Choice]
    pick: Choice | None
    verdict: Verdict | None


def run(options: Options) -> None:
    """Runs the experiment; see experiments.weights."""
    wanted = wants.read(options)
    made: list[Design] = []

    def arms(dataset: Dataset) -> tuple[Arm, ...]:
        model = own_model(options.setting, dataset)
        asked = wanted
        if model.watch is None and "inits" not in options.explicit:
            asked = wanted.without(LSUV)
        made.append(asked.design(options, model.output_bias is not None))
        return made[0].arms

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        asked = questions(laboratory.study, made[0])
        return [one.claim for one in asked if isinstance(one, Question)]

    with lab.open_laboratory(options, QUESTION, arms, claims, further=FURTHER) as laboratory:
        if laboratory is None:
            return
        history = laboratory.conduct(laboratory.study, laboratory.workdir, "initial weights")
        found = findings(laboratory, history, made[0], wanted)
        rows = lab.arm_table(history, laboratory.study.run.metric, "clean")
        told = summary(laboratory, history, found, made[0], rows)
        laboratory.close(
            told,
            words.closing_text(laboratory.study.run, told, found.told, found.pick, found.verdict),
        )


def own_model(setting: Setting, dataset: Dataset) -> Model:
    """The setting's model: what its layers show, and whether its output bias is known."""
    return build_model(
        setting.model,
        dataset.shape,
        dataset.outputs,
        use_dropout=False,
        compute_dtype=setting.train.compute_dtype,
    )


def offered(made: Design) -> Choices:
    """The arms that can be recommended, as the main job's choice takes them."""
    arms = [arm.name for arm in (*made.inits, *made.biases) if arm.name != DEFAULT]
    factors = dict.fromkeys(FACTORS, ()) | {"init": tuple(arms)}
    return Choices(made.arms, factors, ())


def findings(
    laboratory: lab.Laboratory, history: History, made: Design, wanted: wants.Wanted
) -> Findings:
    """What the trials tell; some of them are taken through their steps once more."""
    goal = descents(history, wanted.reach)
    runner = Study(
        laboratory.study,
        laboratory.dataset,
        machine=Machine.here(laboratory.options.workers),
        populations=laboratory.populations,
    )
    trainer = Trainer(runner)
    choices = [one for one in appraisal.choose(history, offered(made)) if one.factor == "init"]
    pick, weighed = appraisal.candidate(history, choices, None)
    verdict = confirmation.confirm(laboratory, pick.changes) if pick else None
    planes = _surfaces(trainer, history) if "surface" in made.parts else []
    if "surface" in made.parts and not planes:
        laboratory.workdir.messages.append(UNDRAWN)
    return Findings(
        told=decide(history, goal, questions(laboratory.study, made)),
        descents=goal,
        layers=looks(trainer, looked_at(made), wanted.probed) if "layers" in made.parts else [],
        surfaces=planes,
        barriers=_barriers(trainer, history, goal) if "barrier" in made.parts else [],
        choices=choices,
        weighed=weighed,
        pick=pick,
        verdict=verdict,
    )


def looked_at(made: Design) -> list[str]:
    """Arms whose layers are looked at: the default, starts that go wrong, and the deepest."""
    told = [DEFAULT, "init=zeros", scaled(BIG), scaled(SMALL)]
    told += [arms[0].name for arms in made.activations.values()]
    if made.depths:
        told += [arm.name for arm in made.depths[max(made.depths)]]
    return told


def _finished(history: History, arm: str) -> list[int]:
    return [int(trial) for trial in history.rows_of(arm) if not history.diverged[trial]]


def _surfaces(trainer: Trainer, history: History) -> list[Surface]:
    trials = _finished(history, DEFAULT)[:2]
    if not trials:
        return []
    seeds = [history.trials[trial].replica for trial in trials]
    return surfaces(Land(trainer, trials), seeds, history.trials[trials[0]].steps)


def _barriers(trainer: Trainer, history: History, told: Descents) -> list[Barrier]:
    found = []
    for arm, what in ((DEFAULT, "two seeds"), (SAME_START, "same start, other orders")):
        if arm not in history.arm_names:
            continue
        trials = _finished(history, arm)[:MOST_PAIRED]
        ends = told.ends[history.rows_of(DEFAULT)]
        scale = told.goal.start - float(np.nanmedian(ends)) if np.isfinite(ends).any() else np.nan
        steps = history.trials[trials[0]].steps if trials else 0
        one = barrier(trainer, trials, what, steps, scale)
        found += [one] if one else []
    return found


def _reached(history: History, told: Descents) -> list[dict[str, Any]]:
    rows = []
    for arm in history.arm_names:
        index = history.rows_of(arm)
        row: dict[str, Any] = {
            "arm": arm,
            "outcome": outcome(told.first[index], told.rose[index]),
            **reached(told.first[index]).to_json(),
        }
        for name in ("improving", "falling"):
            values = getattr(told, name)[index]
            fine = values[np.isfinite(values)]
            row[name] = strict_number(float(fine.mean()) if len(fine) else np.nan)
        rows.append(row)
    return rows


def _grid(history: History, told: Descents, made: Design) -> dict[str, Any] | None:
    if not made.grid:
        return None
    cells = []
    for (scale, rate), arm in made.grid.items():
        index = history.rows_of(arm.name)
        first, rose = told.first[index], told.rose[index]
        cells.append(
            {
                "scale": scale,
                "rate": rate,
                "arm": arm.name,
                "outcome": outcome(first, rose),
                "reached": int(np.isfinite(first).sum()),
                "diverged": int(rose.sum()),
                "seeds": len(index),
            }
        )
    setting = history.study.setting
    return {
        "scales": sorted({scale for scale, _ in made.grid}),
        "rates": sorted({rate for _, rate in made.grid}),
        "own": [setting.model.init_scale, setting.train.learning_rate],
        "cells": cells,
    }


def _plain(choice: Choice) -> dict[str, Any]:
    return dataclasses.asdict(choice) | {"leads": choice.lead.strong}


def summary(
    laboratory: lab.Laboratory,
    history: History,
    found: Findings,
    made: Design,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """summary.json, as the head of this file says."""
    study, goal = laboratory.study, found.descents.goal

    def named(arm: Arm) -> str:
        return str(study.arm_setting(arm).model.init)

    return {
        "arms": rows,
        "parts": list(made.parts),
        "metric": study.run.metric,
        "topics": {"1": "weights"},
        "verdicts": [verdict.to_json() for _, verdict in found.told if verdict],
        "not_applicable": [
            dataclasses.asdict(one) for one, _ in found.told if isinstance(one, Asked)
        ],
        "target": {f.name: strict_number(getattr(goal, f.name)) for f in dataclasses.fields(goal)},
        "reached": _reached(history, found.descents),
        "grid": _grid(history, found.descents, made),
        "depths": [
            {"depth": depth, "arm": arm.name, "init": named(arm)}
            for depth, arms in made.depths.items()
            for arm in arms
        ],
        "activations": [
            {"activation": activation, "arm": arm.name, "init": named(arm)}
            for activation, arms in made.activations.items()
            for arm in arms
        ],
        "layers": [one.to_json() for one in found.layers],
        "surfaces": [one.to_json() for one in found.surfaces],
        "barriers": [one.to_json() for one in found.barriers],
        "choices": [_plain(choice) for choice in found.choices],
        "weighed": [_plain(choice) for choice in found.weighed],
        "recommendation": confirmation.summary(
            found.pick.arm if found.pick else None,
            found.pick.changes if found.pick else (),
            found.verdict,
        ),
    }
