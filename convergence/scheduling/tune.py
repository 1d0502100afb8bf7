"""The tuning: every option at every budget is given the best of the same number of rates.

Its seeds are not those of the comparison. Where the best rate of any option lies at an end of its
grid, the grids of all are extended there, so that none was given more tries than another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from convergence import confirmation
from convergence.history import History
from convergence.laboratory import Laboratory
from convergence.scheduling.design import Cell, Design
from convergence.training.blocks import Want
from convergence.tuning import grid
from convergence.tuning.choice import Choice, beyond, choose

NAME = "tuning"
QUESTION = "Which of the same number of learning rates is best for each arm, at each budget?"


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What the tuning chose.

    Attributes:
        choices: for each option and budget.
        rounds: 1, and one more for each extension of the grids.
    """

    choices: Mapping[Cell, Choice]
    rounds: int

    @property
    def rates(self) -> dict[Cell, float]:
        """The chosen rates."""
        return {cell: choice.rate for cell, choice in self.choices.items()}

    def to_json(self, design: Design) -> dict[str, Any]:
        """``tuning`` of summary.json."""
        return {
            "rounds": self.rounds,
            "cells": [
                {"part": option.part, "option": option.name, "steps": steps}
                | self.choices[option.name, steps].to_json()
                for option, steps in design.cells
            ],
        }


def tune(laboratory: Laboratory, design: Design, seeds: int) -> Tuning:
    """Trains the grids and chooses.

    Args:
        seeds: of the tuning: the replicas that follow those of the comparison.
    """
    # A run of TensorBoard for each rate of each arm would bury the comparison's.
    quiet = dataclasses.replace(
        laboratory, options=dataclasses.replace(laboratory.options, tensorboard=False)
    )
    run = laboratory.study.run
    unused = dataclasses.replace(
        run,
        first_replica=run.first_replica + run.num_seeds,
        num_seeds=seeds,
        save_params="none",
    )
    values: dict[Cell, dict[float, np.ndarray]] = {}
    factors, new, rounds = design.factors, design.factors, 0
    while True:
        rounds += 1
        name = NAME if rounds == 1 else f"{NAME}-{rounds}"
        arms = design.tuned(new)
        history = confirmation.nested(quiet, name, QUESTION, arms, unused, Want())
        _collect(values, history, design, new)
        choices = {
            cell: choose(list(found), list(found.values()), laboratory.higher_is_better)
            for cell, found in values.items()
        }
        new = _next(design, factors, choices) if rounds <= design.extensions else ()
        if not new:
            return Tuning(choices, rounds)
        factors = (*factors, *new)


def _collect(
    values: dict[Cell, dict[float, np.ndarray]],
    history: History,
    design: Design,
    factors: tuple[float, ...],
) -> None:
    """Adds a round's scores on validation rows, targets as told: [seeds], NaN where diverged."""
    metric, at = history.study.run.metric, iter(history.arm_names)
    for option, steps in design.cells:
        for rate in design.rates(option, factors):
            cell = values.setdefault((option.name, steps), {})
            cell[rate] = history.of_arm(next(at), metric)


def _next(
    design: Design, factors: tuple[float, ...], choices: Mapping[Cell, Choice]
) -> tuple[float, ...]:
    """The multiples by which all grids are extended; none where no best lies at an end."""
    low, high = beyond(list(choices.values()))
    new = grid.extended(factors, low, high)
    try:
        for option in design.options:
            design.rates(option, new)
    except ValueError:  # float32 ends here
        return ()
    return new
