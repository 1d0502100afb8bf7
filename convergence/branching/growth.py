"""Trains the branches of a run: each from the run's own state, in the executables that trained it.

A run's seeds are taken from branch point to branch point once. Where a branch leaves, its seeds go
on under the branch's row of the schedules' table, which is data to the compiled program: what they
end in has the bits of a run trained whole under the branch's schedule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from convergence.branching.counterfactual import Branch
from convergence.plan import Trial
from convergence.replay import Trainer
from convergence.training.population import Replicated
from convergence.training.state import Lane, TrialState
from convergence.training.stepper import Stepper


@dataclasses.dataclass(frozen=True, eq=False)
class Grown:
    """Where a branch's seeds went.

    Attributes:
        branch: which.
        scores: by metric, float32[seeds, evaluations] on validation rows; NaN where a trial had
            diverged, and before the branch left the run.
        first_bad: int32[seeds]: the first step that was not finite, or -1.
        state: NumPy arrays [seeds, ...] where they ended.
    """

    branch: Branch
    scores: dict[str, np.ndarray]
    first_bad: np.ndarray
    state: TrialState


def under(shared: Replicated, row: int, factors: np.ndarray) -> Replicated:
    """What all trials read, with another course of the rate in a row of the schedules' table."""
    found = {}
    for device, one in shared.items():
        shapes = np.array(one.shapes)
        shapes[row, : len(factors)] = factors
        found[device] = one._replace(shapes=jax.device_put(shapes, device))
    return found


class Grower:
    """Takes the seeds of one arm from branch point to branch point.

    Args:
        trainer: of the arm's study.
        arm: its index.
        eval_steps: int[evaluations], ascending, the arm's number of steps among them.
        clean: score against clean targets.
    """

    def __init__(
        self, trainer: Trainer, arm: int, eval_steps: Sequence[int], clean: bool = False
    ) -> None:
        plan = trainer.plan
        self.trials = tuple(trial for trial in plan.trials if trial.arm == arm)
        self.steps = plan.arm_steps[arm]
        self.row = plan.schedule_of_arm[arm]
        self.factors = np.array(plan.shapes[self.row, : self.steps])
        self.eval_steps = tuple(int(step) for step in eval_steps if step <= self.steps)
        self.clean = clean
        self._trainer = trainer
        self._group = trainer.group(self.trials[0].index)
        self._population = trainer.population(self.trials[0].index)
        self._shared = trainer.study.shared(self._population)

    def _chunks(self) -> Iterator[list[Lane]]:
        """The seeds' inputs, as many at a time as a block takes."""
        most = self._population.lanes
        for k in range(0, len(self.trials), most):
            mine: tuple[Trial, ...] = self.trials[k : k + most]
            yield self._trainer.plan.lanes(self._group, mine)

    def grow(
        self, branches: Sequence[Branch], grown: Callable[[Branch, Grown], None] | None = None
    ) -> list[Grown]:
        """Trains branches to their end; the run as it was is one that never leaves it.

        Args:
            grown: told of each chunk of seeds of each branch that has come to its end.

        Returns:
            [branches], in their order.
        """
        parts: list[list[Grown]] = [[] for _ in branches]
        order = sorted(range(len(branches)), key=lambda k: branches[k].start)
        for lanes in self._chunks():
            own = Stepper(self._population, lanes, self._shared)
            state, step = own.initial(), 0
            for place in order:
                branch = branches[place]
                state, step = own.advance(state, step, branch.start).state, branch.start
                one = self._branch(lanes, branch, state)
                parts[place].append(one)
                if grown:
                    grown(branch, one)
        return [_joined(part) for part in parts]

    def _branch(self, lanes: list[Lane], branch: Branch, state: TrialState) -> Grown:
        """One branch's seeds from the state that they leave the run at."""
        shared = under(self._shared, self.row, branch.factors)
        stepper = Stepper(self._population, lanes, shared)
        if branch.kind == "own":  # scored on its whole way
            state, step = stepper.initial(), 0
        else:
            step = branch.start
        curves: dict[str, np.ndarray] = {}
        for k, until in enumerate(self.eval_steps):
            if until < step:
                continue
            state, step = stepper.advance(state, step, until).state, until
            for metric, values in stepper.scores(state, self.clean).items():
                empty = np.full((len(values), len(self.eval_steps)), np.nan, np.float32)
                curves.setdefault(metric, empty)[:, k] = values
        return Grown(branch, curves, np.array(state.first_bad), state)


def _joined(parts: Sequence[Grown]) -> Grown:
    """A branch's chunks of seeds as one."""
    if len(parts) == 1:
        return parts[0]
    scores = {
        metric: np.concatenate([one.scores[metric] for one in parts]) for metric in parts[0].scores
    }
    first_bad = np.concatenate([one.first_bad for one in parts])
    state = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(one.state for one in parts))
    return Grown(parts[0].branch, scores, first_bad, state)
