"""The branch test as a part of an experiment: the setting's run, its branches, and the verdict.

`branch_part` trains the run and its branches, and gives what ``summary.json`` holds as ``branch``
(`BranchTest.to_json`):

- ``schedule``, ``steps``, ``warmup``, ``point`` (the step before which the rate comes down; the
  number of steps where it never does), ``gradual`` (whether it comes down from its start on),
  ``metric``, ``margin``, ``split``, ``seeds``;
- ``verdict``: `BranchVerdict.to_json`: {verdict, reason, best, seeds_needed, branches: [...]}, a
  verdict on each branch's claim to end better than the run as it was;
- ``eval_steps``, and ``ways``, the run as it was first, then its branches in the order of the
  verdicts: [{name, kind, point, start, diverged, low, median, high, curve}]: quantiles over seeds
  of the metric at the end (10th, 50th, 90th percentile; the extremes of fewer than five seeds), and
  ``curve``: {low, median, high} at ``eval_steps``, None before the branch left the run.

``branches.npz`` holds each way's scores of all seeds at ``eval_steps``, its factors of the peak
rate, and the fingerprints that its trials ended in: those of the run trained whole under them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convergence import laboratory as lab
from convergence import names, spec
from convergence.analysis.bands import band
from convergence.analysis.branches import OWN, BranchVerdict, claim_of, judge_branches, name_of
from convergence.analysis.claim import Claim
from convergence.analysis.statistics import strict_number
from convergence.branching import counterfactual
from convergence.branching.counterfactual import Branch
from convergence.branching.growth import Grower, Grown, Kept
from convergence.data import Dataset
from convergence.errors import UserError
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


@dataclasses.dataclass(frozen=True, eq=False)
class BranchTest:
    """What the branches of a run tell.

    Attributes:
        schedule, steps, warmup: of the run.
        metric, margin, split: what is compared.
        eval_steps: int[evaluations].
        grown: the run as it was, then its branches.
        verdict: on the run.
    """

    schedule: str
    steps: int
    warmup: int
    metric: str
    margin: float
    split: str
    eval_steps: tuple[int, ...]
    grown: tuple[Grown, ...]
    verdict: BranchVerdict

    @property
    def own(self) -> Branch:
        """The run as it was."""
        return self.grown[0].branch

    def finals(self) -> np.ndarray:
        """float64[ways, seeds] of the metric at the end; NaN where a trial diverged."""
        return np.array([one.scores[self.metric][:, -1] for one in self.grown], np.float64)

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: see the head of this file."""
        return {
            "schedule": self.schedule,
            "steps": self.steps,
            "warmup": self.warmup,
            "point": self.own.point,
            "gradual": counterfactual.gradual(self.own.factors, self.warmup),
            "metric": self.metric,
            "margin": self.margin,
            "split": self.split,
            "seeds": self.finals().shape[1],
            "eval_steps": list(self.eval_steps),
            "verdict": self.verdict.to_json(),
            "ways": [self._way(one) for one in self.grown],
        }

    def _way(self, one: Grown) -> dict[str, Any]:
        branch, curve = one.branch, one.scores[self.metric].astype(np.float64)
        lines = dict(zip(("low", "median", "high"), band(curve)))
        own = branch.kind == "own"
        return {
            "name": OWN if own else name_of(branch.kind, branch.point, self.steps),
            "kind": branch.kind,
            "point": branch.point,
            "start": branch.start,
            "diverged": int((~np.isfinite(curve[:, -1])).sum()),
            **{name: strict_number(float(line[-1])) for name, line in lines.items()},
            "curve": {
                name: [strict_number(float(value)) for value in line]
                for name, line in lines.items()
            },
        }


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
    if setting.train.schedule == "plateau":
        raise UserError(
            "reduce on plateau lowers the rate where the loss tells it to, not at a step that"
            " could be moved; give another schedule to branch from.",
            "schedule",
        )
    context = tuple(dict.fromkeys((*study.arms, *study.context)))
    told = StudySpec(study.name, QUESTION, setting, study.run, (Arm(OWN),), context)
    one = resolve(spec.validate(told), dataset)
    plan = Plan(one, dataset)
    factors = plan.shapes[plan.schedule_of_arm[0], : plan.arm_steps[0]]
    return one, list(counterfactual.branches(factors, setting.train.warmup))


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
