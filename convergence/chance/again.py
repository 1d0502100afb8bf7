"""The same model again? With all keys fixed, bit for bit; and with one source varying."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergence.chance.design import TOGETHER, Design
from convergence.history import History
from convergence.replay import EXACT, Trainer, differing
from convergence.study import Study

RERUNS = 3


@dataclasses.dataclass(frozen=True)
class Again:
    """What is the same model again.

    Attributes:
        trials: indices of trials that were trained once more, each alone, keys and all as before.
        differing: of each, the records with other bits.
        models: source → trials of an arm in which it alone varies (or all do, see `TOGETHER`), and
            how many different models they are: predictions with other bits.
    """

    trials: tuple[int, ...]
    differing: tuple[tuple[str, ...], ...]
    models: dict[str, tuple[int, int]]

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
        models = {
            source: {"trials": trials, "models": models}
            for source, (trials, models) in self.models.items()
        }
        return {"same": self.same, "records": list(EXACT), "trials": found, "models": models}


def models(history: History, made: Design) -> dict[str, tuple[int, int]]:
    """How many different models the trials of each source's first arm are: see `Again`."""
    arms = {source: arms[0].name for source, arms in made.alone.items()}
    arms |= {TOGETHER: made.together.name} if made.together else {}
    found = {}
    for source, arm in arms.items():
        table: Sequence[np.ndarray] = history.arrays["predictions"][history.rows_of(arm)]
        found[source] = (len(table), len({line.tobytes() for line in table}))
    return found


def again(runner: Study, history: History, made: Design, count: int = RERUNS) -> Again:
    """Trains some trials of a study once more and compares all their digests.

    They are spread evenly over all trials.

    Args:
        runner: a study of the same spec; nothing of its workdir is touched.
        history: what the trials left.
    """
    places = np.unique(np.linspace(0, len(history.trials) - 1, count).astype(int))
    trainer, found = Trainer(runner), []
    cadence = dataclasses.replace(runner.cadence, watched=())
    for place in map(int, places):
        was = {name: history.arrays[name][[place]] for name in EXACT}
        found.append(tuple(differing(was, trainer.run([place], cadence))))
    return Again(tuple(map(int, places)), tuple(found), models(history, made))
