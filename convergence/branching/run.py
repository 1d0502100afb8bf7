"""The branch test as a part of an experiment and alone: the run, its branches, and the verdict.

``summary.json`` holds it as ``branch``: see the head of `branching.outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convergence import laboratory as lab
from convergence import names, spec
from convergence.analysis.branches import OWN, claim_of, judge_branches
from convergence.analysis.claim import Claim
from convergence.branching import counterfactual, words
from convergence.branching.counterfactual import Branch
from convergence.branching.growth import Grower, Kept
from convergence.branching.outcome import BranchTest
from convergence.data import Dataset
from convergence.errors import UserError
from convergence.flags import Options
from convergence.plan import Plan
from convergence.replay import Trainer
from convergence.reporting import files
from convergence.reporting.progress import Progress
from convergence.spec import Arm, StudySpec
from convergence.study import Machine, Study, resolve

FILE = "branches.npz"
QUESTION = "Was the learning rate lowered too early, held too long, or lowered in time?"
DEFAULT = "drop"  # of a setting whose rate is constant, where the question is not about holding it
Changes = Mapping[str, Any]


def changes_of(setting: spec.Setting) -> dict[str, Any]:
    """What gives the run in question where nothing is named: `drop` for a constant rate."""
    return {"schedule": DEFAULT} if setting.train.schedule == "constant" else {}


def laid_out(
    study: StudySpec, dataset: Dataset, changes: Changes
) -> tuple[StudySpec, list[Branch]]:
    """The run in question as a study of one arm, and its ways.

    It runs, where it can, in the programs of the study that it is taken from.

    Raises:
        UserError: the loss decides when its rate comes down, or it is too short to be branched.
    """
    setting = study.setting.changed(dict(changes))
    context = tuple(dict.fromkeys((*study.arms, *study.context)))
    told = StudySpec(study.name, QUESTION, setting, study.run, (Arm(OWN),), context)
    one = resolve(spec.validate(told), dataset)
    return one, ways_of(Plan(one, dataset), 0)


def ways_of(plan: Plan, arm: int) -> list[Branch]:
    """An arm's run as it was, then its branches; raises UserError as `laid_out`."""
    train = plan.settings[arm].train
    if train.schedule == "plateau":
        raise UserError(
            "reduce on plateau lowers the rate where the loss tells it to, not at a step that"
            " could be moved; give another schedule to branch from.",
            "schedule",
        )
    factors = plan.shapes[plan.schedule_of_arm[arm], : plan.arm_steps[arm]]
    return list(counterfactual.branches(factors, train.warmup))


def claims_of(study: StudySpec, ways: Sequence[Branch]) -> list[Claim]:
    """The claims of a run's branches, one each."""
    direction = 1 if study.run.metric in names.HIGHER_IS_BETTER else -1
    return [
        claim_of(
            way.kind,
            way.point,
            len(way.factors),
            metric=study.run.metric,
            margin=study.run.margin,
            direction=direction,
        )
        for way in ways
        if way.kind != "own"
    ]


def branch_claims(laboratory: lab.Laboratory, changes: Changes | None = None) -> list[Claim]:
    """The claims that `branch_part` decides, for the manifest.

    Args:
        changes: as there.
    """
    study = laboratory.study
    changes = changes_of(study.setting) if changes is None else changes
    return claims_of(*laid_out(study, laboratory.dataset, changes))


def branch_part(laboratory: lab.Laboratory, changes: Changes | None = None) -> BranchTest:
    """Trains the run in question and its branches, and judges it; leaves ``branches.npz``.

    What is there of the branches of an earlier, interrupted call is not trained again.

    Args:
        changes: to the study's setting, that make the run in question: its schedule, its rate.
            Default: none, or `DEFAULT` for a schedule where the rate is constant.

    Raises:
        UserError: as `laid_out`.
    """
    study = laboratory.study
    changes = changes_of(study.setting) if changes is None else changes
    one, ways = laid_out(study, laboratory.dataset, changes)
    runner = Study(
        one,
        laboratory.dataset,
        machine=Machine.here(laboratory.options.workers),
        populations=laboratory.populations,
    )
    path = laboratory.workdir.path(FILE)
    kept = Kept(_read(path), lambda arrays: laboratory.workdir.write_npz(FILE, arrays))
    with Progress("branches") as bar:
        return judged(Trainer(runner), ways, kept, bar)


def check_run(options: Options, dataset: Dataset) -> None:
    """Raises UserError where the test cannot be asked of the run that the flags give."""
    if options.run.num_seeds < 2:
        raise UserError("must be at least 2 here: one seed says nothing about spread.", "num_seeds")
    if options.run.twin:
        raise UserError("has no part in this experiment; see experiments.randomness.", "twin")
    base = options.setting.changed(changes_of(options.setting))
    alone = StudySpec(options.name, QUESTION, base, options.run)
    laid_out(spec.validate(alone), dataset, {})


def run(options: Options) -> None:
    """Runs the branch test alone, on the setting's own run: an experiment with one arm."""
    changes = changes_of(options.setting)

    def arms(dataset: Dataset) -> tuple[Arm, ...]:
        check_run(options, dataset)  # what cannot be asked is told before a folder is touched
        return (Arm(OWN),)

    with lab.open_laboratory(
        *(options, QUESTION, arms),
        claims=lambda laboratory: branch_claims(laboratory, {}),
        base=changes,
        further=f" The branches take up to {len(counterfactual.SHARES)} times as long again.",
    ) as laboratory:
        if laboratory is None:
            return
        history = laboratory.conduct(laboratory.study, laboratory.workdir, OWN)
        told = branch_part(laboratory, {})
        rows = lab.arm_table(history, told.metric, "clean")
        verdicts = [one.to_json() for one in told.verdict.branches]
        summary = {"arms": rows, "verdicts": verdicts, "branch": told.to_json()}
        laboratory.close(summary, words.closing_text(told))


def _read(path: Any) -> dict[str, np.ndarray]:
    try:
        return files.read_npz(path)
    except (FileNotFoundError, files.CorruptFile):
        return {}


def judged(
    trainer: Trainer,
    ways: Sequence[Branch],
    kept: Kept | None = None,
    bar: Progress | None = None,
    arm: int = 0,
) -> BranchTest:
    """Trains an arm's ways and judges it.

    Args:
        trainer: of its study.
        ways: the run as it was, then its branches.
        kept: as `Grower.grow`.
        bar: shown how far it is.
        arm: its index.
    """
    plan = trainer.plan
    run, setting = plan.study.run, plan.settings[arm]
    grower = Grower(trainer, arm, trainer.study.cadence.eval_steps(), plan.contaminated)
    total, done = grower.cost(ways), 0

    def progress(steps: int) -> None:
        nonlocal done
        done = min(done + steps, total)
        if bar:
            bar.update(done, total)

    grown = grower.grow(ways, kept, progress)
    claims = claims_of(plan.study, ways)
    finals = np.array([one.scores[run.metric][:, -1] for one in grown], np.float64)
    return BranchTest(
        schedule=setting.train.schedule,
        steps=grower.steps,
        warmup=setting.train.warmup,
        metric=run.metric,
        margin=run.margin,
        split="clean validation rows" if grower.clean else "validation rows",
        eval_steps=grower.eval_steps,
        grown=tuple(grown),
        verdict=judge_branches(claims, finals[1:], finals[0]),
    )
