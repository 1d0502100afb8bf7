"""Trains the branches of a run: each from the run's own state, in the executables that trained it.

A run's seeds are taken from branch point to branch point once. Where a branch leaves, its seeds go
on under the branch's row of the schedules' table, which is data to the compiled program: what they
end in has the bits of a run trained whole under the branch's schedule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, MutableMapping, Sequence

import jax
import numpy as np

from convergence.branching.counterfactual import Branch
from convergence.replay import Trainer
from convergence.training.population import Replicated
from convergence.training.state import Lane, TrialState
from convergence.training.stepper import Stepper

FACTORS, FIRST_BAD, FINGERPRINT = "factors", "first_bad", "fingerprint"


@dataclasses.dataclass(frozen=True, eq=False)
class Grown:
    """Where a branch's seeds went.

    Attributes:
        branch: which.
        scores: by metric, float32[seeds, evaluations] on validation rows; NaN where a trial had
            diverged, and before the branch left the run.
        first_bad: int32[seeds]: the first step that was not finite, or -1.
        fingerprints: uint32[seeds, 2] of the states that they ended in.
    """

    branch: Branch
    scores: dict[str, np.ndarray]
    first_bad: np.ndarray
    fingerprints: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, for a file."""
        return {
            FACTORS: self.branch.factors,
            FIRST_BAD: self.first_bad,
            FINGERPRINT: self.fingerprints,
            **self.scores,
        }

    @classmethod
    def of(cls, branch: Branch, arrays: dict[str, np.ndarray]) -> Grown | None:
        """What `arrays` told, or None where that is of another branch or not whole."""
        scores = {k: v for k, v in arrays.items() if k not in (FACTORS, FIRST_BAD, FINGERPRINT)}
        whole = {FACTORS, FIRST_BAD, FINGERPRINT} <= set(arrays) and scores
        if not whole or not np.array_equal(arrays[FACTORS], branch.factors):
            return None
        return cls(branch, scores, arrays[FIRST_BAD], arrays[FINGERPRINT])


class Kept:
    """Branches that came to their end before, by chunk of seeds and place, as arrays of one file.

    Args:
        arrays: of the file; added to as branches end.
        write: called with all arrays whenever a branch has ended.
    """

    def __init__(
        self,
        arrays: MutableMapping[str, np.ndarray] | None = None,
        write: Callable[[MutableMapping[str, np.ndarray]], None] = lambda arrays: None,
    ) -> None:
        self._arrays = {} if arrays is None else arrays
        self._write = write

    def get(self, chunk: int, place: int, branch: Branch) -> Grown | None:
        """What is known of a branch, None where nothing is."""
        head = f"{chunk}/{place}/"
        mine = {k[len(head) :]: v for k, v in self._arrays.items() if k.startswith(head)}
        return Grown.of(branch, mine)

    def put(self, chunk: int, place: int, one: Grown) -> None:
        """Keeps a branch."""
        self._arrays.update({f"{chunk}/{place}/{k}": v for k, v in one.arrays().items()})
        self._write(self._arrays)


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
        eval_steps: evaluations' steps, ascending, the arm's number of steps among them.
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
            yield self._trainer.plan.lanes(self._group, self.trials[k : k + most])

    def cost(self, branches: Sequence[Branch]) -> int:
        """Steps that training them takes, all seeds together."""
        furthest = max(branch.start for branch in branches if branch.kind != "own")
        tails = sum(self.steps - branch.start for branch in branches if branch.kind != "own")
        own = self.steps * any(branch.kind == "own" for branch in branches)
        return len(self.trials) * (furthest + tails + own)

    def grow(
        self,
        branches: Sequence[Branch],
        kept: Kept | None = None,
        progress: Callable[[int], None] = lambda steps: None,
    ) -> list[Grown]:
        """Trains branches to their end; the run as it was is trained from its first step on.

        Args:
            kept: what an earlier call came to, and where this one's is kept.
            progress: told how many further steps were taken, all seeds together.

        Returns:
            [branches], in their order.
        """
        kept = kept or Kept()
        parts: list[list[Grown]] = [[] for _ in branches]
        leaves = [0 if branch.kind == "own" else branch.start for branch in branches]
        for chunk, lanes in enumerate(self._chunks()):
            own = Stepper(self._population, lanes, self._shared)
            state, step = own.initial(), 0
            for place in sorted(range(len(branches)), key=leaves.__getitem__):
                branch, leave = branches[place], leaves[place]
                one = kept.get(chunk, place, branch)
                if one is None:
                    state = own.advance(state, step, leave).state
                    progress((leave - step) * len(lanes))
                    step = leave
                    one = self._branch(lanes, branch, state, leave)
                    kept.put(chunk, place, one)
                progress((self.steps - leave) * len(lanes))
                parts[place].append(one)
        return [_joined(part) for part in parts]

    def _branch(self, lanes: list[Lane], branch: Branch, state: TrialState, step: int) -> Grown:
        """One branch's seeds from the state that they leave the run at."""
        shared = under(self._shared, self.row, branch.factors)
        stepper = Stepper(self._population, lanes, shared)
        curves: dict[str, np.ndarray] = {}
        for k, until in enumerate(self.eval_steps):
            if until < step:
                continue
            state, step = stepper.advance(state, step, until).state, until
            for metric, values in stepper.scores(state, self.clean).items():
                empty = np.full((len(values), len(self.eval_steps)), np.nan, np.float32)
                curves.setdefault(metric, empty)[:, k] = values
        state = stepper.advance(state, step, self.steps).state
        return Grown(branch, curves, np.array(state.first_bad), stepper.fingerprints(state))


def _joined(parts: Sequence[Grown]) -> Grown:
    """A branch's chunks of seeds as one."""
    return Grown(
        parts[0].branch,
        {
            metric: np.concatenate([one.scores[metric] for one in parts])
            for metric in parts[0].scores
        },
        np.concatenate([one.first_bad for one in parts]),
        np.concatenate([one.fingerprints for one in parts]),
    )
