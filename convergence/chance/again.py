"""Whether a trial with all its keys fixed ends in the same bits when it is trained again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from convergence.history import History
from convergence.replay import EXACT, differing
from convergence.study import Study
from convergence.training.blocks import BlockRun, Want

RERUNS = 3


@dataclasses.dataclass(frozen=True)
class Again:
    """Trials trained once more, each alone: their indices, and what differed of each."""

    trials: tuple[int, ...]
    differing: tuple[tuple[str, ...], ...]

    @property
    def same(self) -> bool:
        """Whether every record of every one had the same bits."""
        return not any(self.differing)

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        found = [
            {"trial": trial, "differs": list(names)}
            for trial, names in zip(self.trials, self.differing)
        ]
        return {"same": self.same, "records": list(EXACT), "trials": found}


def again(runner: Study, history: History, count: int = RERUNS) -> Again:
    """Trains some trials of a study once more and compares all their digests.

    They are spread evenly over the trials that took a step, twins among them.

    Args:
        runner: a study of the same spec; nothing of its workdir is touched.
        history: what the trials left.
    """
    places = np.unique(np.linspace(0, len(history.trials) - 1, count).astype(int))
    found = []
    for place in places:
        group = next(g for g in runner.plan.groups if runner.plan.trials[place] in g.trials)
        population = runner.population(group)
        lanes = runner.plan.lanes(group, (runner.plan.trials[place],))
        want = Want(clean=runner.want.clean, predictions=False)
        cadence = dataclasses.replace(runner.cadence, watched=())
        now = BlockRun(population, lanes, runner.shared(population), cadence, want).run()
        was = {name: history.arrays[name][[place]] for name in EXACT}
        found.append(tuple(differing(was, now)))
    return Again(tuple(map(int, places)), tuple(found))
