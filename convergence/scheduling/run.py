"""The experiment on schedules: tuning, comparison, confirmation, and where it is written.

The tuning is a study of its own in the folder ``tuning`` (``tuning-2``, … for extensions of the
grids); the comparison is the main study, with the rates it chose (the manifest keeps what was
asked for as ``asked``). ``summary.json`` holds, beside ``arms`` (`laboratory.arm_table`),
``choices`` and ``recommendation``:

- ``parts``, ``budgets``, ``own`` (steps of the user's own setting), ``reference``, ``optimizer``;
- ``options``: list of {part, option, arms: {steps: arm}};
- ``tuning``: {rounds, cells: [{part, option, steps, rate, rates, scores, finished, seeds, edge}]}:
  mean metric on validation rows at each rate tried; edge: "low" or "high" where the best lies at
  an end of the grid;
- ``verdicts``: list of `Verdict.to_json`; ``compounds``: list of `Compound.to_json`;
- ``branch``: as `branching.outcome` says, None if not asked;
- ``alike``: list of {steps, options}: schedules that are one vector at that budget, optimisers
  that end in the same bits.

Numbers are strict JSON: None for NaN, "inf" and "-inf".
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convergence import confirmation, spec
from convergence import laboratory as lab
from convergence.appraisal import decide
from convergence.branching import run as branching
from convergence.branching import words as telling
from convergence.challenges import Comparison
from convergence.data import Dataset
from convergence.flags import Options
from convergence.plan import Plan
from convergence.reporting import manifest
from convergence.scheduling import compounds, words
from convergence.scheduling import design as designs
from convergence.scheduling import wanted as wants
from convergence.scheduling.advice import Advice, advise
from convergence.scheduling.design import Design
from convergence.scheduling.options import BRANCH
from convergence.scheduling.tune import Tuning, tune
from convergence.spec import Arm, StudySpec
from convergence.study import resolve

QUESTION = "Should the learning rate come down during training, and along which schedule?"
TITLE = "comparison"


def run(options: Options) -> None:
    """Runs the experiment; see experiments.schedules."""
    wanted = wants.read(options)
    if wanted.parts == (BRANCH,):
        branching.run(options)
        return
    options = wants.with_own_budget(options, wanted)
    made: list[Design] = []

    branches = BRANCH in wanted.parts

    def arms(dataset: Dataset) -> tuple[Arm, ...]:
        if branches:
            branching.check_run(options, dataset)
        made.append(wanted.design(options.setting, own_steps(options, dataset)))
        return made[0].compared({})

    def claims(laboratory: lab.Laboratory) -> list[Any]:
        return claimed(laboratory, made[0]) + (
            branching.branch_claims(laboratory) if branches else []
        )

    def further() -> str:
        return words.before(made[0], wanted.tuning_seeds, options.run.num_seeds)

    with lab.open_laboratory(options, QUESTION, arms, claims, further=further) as laboratory:
        if laboratory is None:
            return
        investigate(laboratory, made[0], wanted.tuning_seeds, branches)


def own_steps(options: Options, dataset: Dataset) -> int:
    """Steps of the user's own setting, which may be given in epochs."""
    alone = StudySpec(options.name, QUESTION, options.setting, options.run)
    return Plan(resolve(spec.validate(alone), dataset), dataset).total_steps


def claimed(laboratory: lab.Laboratory, design: Design) -> list[designs.Claim]:
    """The claims of this study."""
    direction = 1 if laboratory.higher_is_better else -1
    return designs.claims(design, laboratory.study.run, direction)


def investigate(
    laboratory: lab.Laboratory, design: Design, tuning_seeds: int, branches: bool = False
) -> None:
    """Tunes, compares, decides, recommends, and writes it all down."""
    tuning = tune(laboratory, design, tuning_seeds)
    settle(laboratory, design, tuning)
    history = laboratory.conduct(laboratory.study, laboratory.workdir, TITLE)
    told = decide(history, [Comparison(one) for one in claimed(laboratory, design)])
    verdicts = [verdict for _, verdict in told if verdict]
    whole = compounds.found(design, verdicts)
    advice = advise(laboratory, history, design, tuning)
    tested = branching.branch_part(laboratory) if branches else None
    branched = tested.verdict.branches if tested else ()
    rows = lab.arm_table(history, laboratory.study.run.metric, "clean")
    alike = designs.alike(design, history)
    summary = {
        "arms": rows,
        "parts": list(dict.fromkeys(option.part for option in design.options)),
        "budgets": list(design.budgets),
        "own": design.own,
        "reference": design.reference,
        "optimizer": design.optimizer,
        "options": [
            {
                "part": option.part,
                "option": option.name,
                "arms": {str(steps): option.arm_name(steps) for steps in design.budgets},
            }
            for option in design.options
        ],
        "tuning": tuning.to_json(design),
        "verdicts": [verdict.to_json() for verdict in (*verdicts, *branched)],
        "branch": tested.to_json() if tested else None,
        "compounds": [one.to_json() for one in whole],
        "alike": alike,
        **advice.summary(),
    }
    text = words.closing_text(laboratory.study.run, summary, verdicts, whole)
    if tested:
        text += f"\n\n{telling.closing_text(tested)}"
    laboratory.close(summary, f"{text}\n\n{recommended(advice)}")


def settle(laboratory: lab.Laboratory, design: Design, tuning: Tuning) -> None:
    """Makes the tuned rates those of the study that is about to run, and writes them down."""
    arms = design.compared(tuning.rates)
    study = dataclasses.replace(laboratory.study, arms=arms)
    laboratory.study = resolve(spec.validate(study), laboratory.dataset)
    extra = {"extra": dict(laboratory.options.extra)} if laboratory.options.extra else {}
    workdir = laboratory.workdir
    workdir.update(**manifest.settled(workdir.manifest, spec.to_json(laboratory.study) | extra))


def recommended(advice: Advice) -> str:
    """What to change, and whether it stood the test."""
    if advice.pick is None or advice.verdict is None:
        return words.nothing_to_recommend(advice.choices)
    return confirmation.told(advice.pick.changes, advice.verdict)
