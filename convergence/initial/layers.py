"""Layers over training: trials taken from mark to mark in their own executables, looked into."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from convergence import names
from convergence.analysis.statistics import strict_number
from convergence.plan import Group
from convergence.replay import Trainer
from convergence.rounding.courses import Setup
from convergence.spec import Setting
from convergence.training.compiled import Compiled
from convergence.training.probe import Probe, layer_names, probe
from convergence.training.state import Lane, TrialState

BY_LAYER = ("activation", "dead", "saturated", "distinct")
BY_GROUP = ("gradient", "weight", "update")
ENDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
DIGITS = 4  # of a number in summary.json
INVISIBLE = "activations are not visible: only a Linen module's layers are told"


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """What an arm's layers did at each mark.

    Attributes:
        arm: its name.
        steps: int[marks], 0 first, the trial's length last.
        layers, groups: names of `Probe`'s axes.
        tables: by field of `Probe`, float64[seeds, marks] or [seeds, marks, layers or groups].
        note: what could not be seen, or "".
    """

    arm: str
    steps: np.ndarray
    layers: tuple[str, ...]
    groups: tuple[str, ...]
    tables: dict[str, np.ndarray]
    note: str

    @property
    def noise_scale(self) -> np.ndarray:
        """float64[seeds, marks]: rows a batch needs for a gradient as large as its noise.

        McCandlish et al., 2018, "An empirical model of large-batch training", eq. 2.8: the trace
        of a row's gradient covariance over the squared norm of the gradient; inf where that norm
        cannot be told from 0.
        """
        scatter, signal = self.tables["scatter"], self.tables["signal"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(signal > 0, scatter / signal, np.inf)

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON: medians over seeds, [marks][layers] or [marks]."""
        with np.errstate(invalid="ignore"):
            told = {name: _plain(_median(values)) for name, values in self.tables.items()}
        told["noise_scale"] = _plain(_median(self.noise_scale))
        return told | {
            "arm": self.arm,
            "steps": self.steps.tolist(),
            "layers": list(self.layers),
            "groups": list(self.groups),
            "seeds": len(self.tables["loss"]),
            "note": self.note,
        }


def _median(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, 0.5, axis=0, method="lower")  # of inf and inf, not NaN


def _plain(values: np.ndarray) -> Any:
    if values.ndim:
        return [_plain(one) for one in values]
    value = float(values)
    return strict_number(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else value)


def marks(total: int) -> tuple[int, ...]:
    """Steps 0, 1, 2, 4, … and the last one."""
    return tuple(sorted({0, total, *(2**k for k in range(total.bit_length()) if 2**k <= total)}))


def walk(setup: Setup, stops: Sequence[int]) -> Iterator[tuple[int, TrialState, TrialState]]:
    """(mark, states there, states a step later) of some trials, NumPy arrays [trials, ...]."""
    course = setup.course()
    state, at = course.initial(), 0
    for stop in sorted(stops):
        state = course.advance(state, at, stop).state if stop > at else state
        after = course.advance(state, stop, stop + 1).state
        yield stop, state, after
        state, at = state, stop


def ends_of(setting: Setting) -> tuple[float, float] | None:
    """The ends of the hidden units' range; None where it has none, or is a user's own matter."""
    if setting.model.model not in names.MODELS:
        return None
    activation = "tanh" if setting.model.model == "gru" else setting.model.activation
    return ENDS.get(activation)


class Looker:
    """Looks into the trials of one program.

    Args:
        trainer: of their study.
        group: the program's.
        ends: see `probe`.
    """

    def __init__(self, trainer: Trainer, group: Group, ends: tuple[float, float] | None) -> None:
        self.group, program = group, group.program
        population = trainer.study.population(group)
        self._device = population.device(0)
        self._shared = trainer.study.shared(population)[self._device]

        def one(lane: Lane, shared: Any, state: TrialState, after: TrialState) -> Probe:
            return probe(program, lane, shared, state, after, ends)

        self._compiled = Compiled(one, once=True)
        self.names = layer_names(program, program.algorithm.model.form(program.shape)[0])

    def __call__(self, lane: Lane, state: TrialState, after: TrialState) -> Probe:
        """What one trial's state tells, NumPy arrays."""
        put = jax.device_put((lane, state, after), self._device)
        given = (put[0], self._shared, put[1], put[2])
        told: Probe = jax.tree.map(np.asarray, self._compiled.on(self._device, given)(*given))
        return told


def look(trainer: Trainer, arm: int, trials: Sequence[int], looker: Looker) -> Layers:
    """The layers of some trials of an arm over their training.

    Args:
        trials: indices, of one arm.
    """
    setup = Setup(trainer, tuple(trials))
    lanes, plan = setup.lanes(), trainer.plan
    stops = marks(plan.arm_steps[arm])
    found: list[list[Probe]] = []
    for _, state, after in walk(setup, stops):
        found.append(
            [looker(lane, _at(state, place), _at(after, place)) for place, lane in enumerate(lanes)]
        )
    tables = {
        name: np.stack(
            [
                np.stack([np.asarray(getattr(one, name), np.float64) for one in row])
                for row in found
            ],
            axis=1,
        )
        for name in Probe._fields
    }
    layers, groups = looker.names
    unseen = looker.group.program.algorithm.model.watch is None
    note = INVISIBLE if unseen else ""
    return Layers(plan.study.arms[arm].name, np.array(stops), layers, groups, tables, note)


def _at(tree: Any, place: int) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[place], tree)


def looks(trainer: Trainer, arms: Sequence[str], seeds: int) -> list[Layers]:
    """The layers of the first seeds of some arms; programs are compiled once each.

    Args:
        arms: names, of the study; those that it does not have are left out.
        seeds: of each.
    """
    plan = trainer.plan
    place = {arm.name: index for index, arm in enumerate(plan.study.arms)}
    lookers: dict[Any, Looker] = {}
    found = []
    for name in dict.fromkeys(arms):
        if name not in place:
            continue
        arm = place[name]
        trials = [trial.index for trial in plan.trials if trial.arm == arm][:seeds]
        group = trainer.group(trials[0])
        key = (group.key, ends_of(plan.settings[arm]))
        if key not in lookers:
            lookers[key] = Looker(trainer, group, key[1])
        found.append(look(trainer, arm, trials, lookers[key]))
    return found
