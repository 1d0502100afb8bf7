"""What the branch test found, and what a study's files hold of it.

``summary.json`` holds as ``branch`` (`BranchTest.to_json`):

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
from typing import Any

import numpy as np

from convergence.analysis.bands import band
from convergence.analysis.branches import OWN, BranchVerdict, name_of
from convergence.analysis.statistics import strict_number
from convergence.branching import counterfactual
from convergence.branching.counterfactual import Branch
from convergence.branching.growth import Grown


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
