"""The loss around where descents end: planes with the descents on them, barriers between ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from convergence.analysis.bootstrap import bootstrap_t
from convergence.analysis.landscape import Plane, barriers, held_of, mesh, plane
from convergence.analysis.statistics import Interval, strict_number
from convergence.replay import Trainer
from convergence.rounding.courses import Setup
from convergence.training.compiled import Compiled
from convergence.training.landscape import flat, losses_at

SIDE = 21  # points along each axis of a plane
PATH = 21  # points on a straight path, its ends among them
STOPS = 32  # states of a descent, at most
MOST_NUMBERS = 2**25  # float32 params held at once: 128 MiB, and twice that while a plane is laid
DIGITS = 5


def _rounded(values: np.ndarray) -> Any:
    if values.ndim:
        return [_rounded(one) for one in values]
    value = float(values)
    return strict_number(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else value)


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """The loss on a plane.

    Attributes:
        title: whose plane.
        x, y: [size] axes, distances between params.
        loss: [size, size], row k at y[k].
        descents: seed → [stops, 2] its states' projections on the plane, their real losses
            [stops], and the share of the descent that the plane holds: of its squared distances
            from its own end.
        held: [2] see `Plane`.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    descents: dict[int, tuple[np.ndarray, np.ndarray, float]]
    held: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        told = {name: _rounded(getattr(self, name)) for name in ("x", "y", "loss", "held")}
        descents = [
            {
                "seed": seed,
                "places": _rounded(places),
                "losses": _rounded(losses),
                "held": _rounded(np.array(held)),
            }
            for seed, (places, losses, held) in self.descents.items()
        ]
        return {"title": self.title, "descents": descents} | told


@dataclasses.dataclass(frozen=True, eq=False)
class Barrier:
    """The straight path between the ends of pairs of trials.

    Attributes:
        what: which pairs.
        shares: [points] of the way.
        losses: [pairs, points].
        height: mean barrier over pairs, with its interval; of the training loss.
        scale: the default's descent (first loss minus last), to hold it against.
    """

    what: str
    shares: np.ndarray
    losses: np.ndarray
    height: Interval
    scale: float

    def to_json(self) -> dict[str, Any]:
        """A dict for strict JSON."""
        return {
            "what": self.what,
            "pairs": len(self.losses),
            "shares": _rounded(self.shares),
            "losses": _rounded(self.losses),
            "height": self.height.to_json(),
            "scale": strict_number(self.scale),
        }


class Land:
    """The loss at points between params, by one trial's rows.

    Args:
        trainer: of the study.
        trials: of one program; the first one's rows and loss are used.
    """

    def __init__(self, trainer: Trainer, trials: Sequence[int]) -> None:
        self.setup = Setup(trainer, tuple(trials))
        group = self.setup.group
        self.program = group.program
        population = trainer.study.population(group)
        self._device = population.device(0)
        self._shared = trainer.study.shared(population)[self._device]
        self._lane = jax.device_put(self.setup.lanes()[0], self._device)
        self._compiled: dict[tuple[int, ...], Compiled] = {}

    def params(self, state: Any, place: int) -> np.ndarray:
        """float32[params] of one trial of states [trials, ...]."""
        held = jax.tree.map(lambda a: np.asarray(a)[place], state.train.params)
        return np.asarray(flat(self.program, held), np.float32)

    def losses(
        self, state: Any, origin: np.ndarray, directions: np.ndarray, places: np.ndarray
    ) -> np.ndarray:
        """float64[points]: see `losses_at`; `state` gives the form of what models carry along."""
        carried = jax.tree.map(lambda a: np.asarray(a)[0], state.train.model_state)
        numbers = (np.asarray(a, np.float32) for a in (origin, directions, places))
        put = jax.device_put((carried, *numbers), self._device)
        given = (self._lane, self._shared, *put)
        shape = (*places.shape, len(origin))

        def run(lane: Any, shared: Any, *rest: Any) -> Any:
            return losses_at(self.program, lane, shared, *rest)

        compiled = self._compiled.setdefault(shape, Compiled(run, once=True))
        return np.asarray(compiled.on(self._device, given)(*given), np.float64)


def stops(total: int) -> list[int]:
    """Steps at which a descent is seen: dense at first, 0 and the last among them."""
    told = np.geomspace(1, total + 1, STOPS) - 1 if total else np.zeros(1)
    return sorted({round(float(step)) for step in told} | {0, total})


def descents(land: Land, total: int) -> tuple[Any, np.ndarray] | None:
    """The last states, and float32[trials, stops, params] of the descents.

    None where they are too many numbers to hold.
    """
    course, at = land.setup.course(), 0
    state = course.initial()
    size = len(land.params(state, 0))
    count, steps = len(land.setup.trials), stops(total)
    if size * count * len(steps) > MOST_NUMBERS:
        return None
    found = np.zeros((count, len(steps), size), np.float32)
    for k, stop in enumerate(steps):
        state = course.advance(state, at, stop).state if stop > at else state
        at = stop
        for place in range(count):
            found[place, k] = land.params(state, place)
    return state, found


def surfaces(land: Land, seeds: Sequence[int], total: int) -> list[Surface]:
    """A plane of each trial's own descent, around its end, and one of both together.

    Args:
        land: of two trials.
        seeds: theirs.
    """
    told = descents(land, total)
    if told is None or not np.isfinite(told[1]).all():
        return []
    state, points = told
    found = []
    for place, seed in enumerate(seeds):
        own = points[place].astype(np.float64)
        found.append(_surface(land, state, f"seed {seed}", plane(own, own[-1]), {seed: own}))
    if len(seeds) > 1:
        both = points.reshape(-1, points.shape[-1]).astype(np.float64)
        middle = points[:, -1].astype(np.float64).mean(axis=0)
        lines = {seed: points[k].astype(np.float64) for k, seed in enumerate(seeds)}
        title = " and ".join(f"seed {seed}" for seed in seeds)
        found.append(_surface(land, state, title, plane(both, middle), lines))
    return found


def _surface(
    land: Land, state: Any, title: str, flat_on: Plane, lines: dict[int, np.ndarray]
) -> Surface:
    x, y = mesh(flat_on.places, SIDE)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    loss = land.losses(state, flat_on.origin, flat_on.directions, grid).reshape(SIDE, SIDE)
    drawn = {}
    for seed, points in lines.items():
        places = (points - flat_on.origin) @ flat_on.directions.T
        step = np.stack(
            [land.losses(state, p, np.zeros((1, len(p))), np.zeros((1, 1))) for p in points]
        )
        drawn[seed] = (places, step[:, 0], held_of(points, flat_on.directions))
    return Surface(title, x, y, loss, drawn, flat_on.held)


def barrier(
    trainer: Trainer, trials: Sequence[int], what: str, total: int, scale: float, seed: int = 0
) -> Barrier | None:
    """The straight paths between the ends of disjoint pairs of trials: first and second, ….

    None where there is no pair that finished.

    Args:
        seed: of the bootstrap.
    """
    even = list(trials)[: len(trials) // 2 * 2]
    if not even:
        return None
    land = Land(trainer, even[:2])
    size = len(land.params(land.setup.course().initial(), 0))
    even = even[: max(2, MOST_NUMBERS // size // 2 * 2)]
    land = Land(trainer, even)
    course = land.setup.course()
    state = course.advance(course.initial(), 0, total).state
    ends = np.stack([land.params(state, place) for place in range(len(even))])
    shares = np.linspace(0.0, 1.0, PATH)
    losses = np.stack(
        [
            land.losses(state, ends[k], (ends[k + 1] - ends[k])[None], shares[:, None])
            for k in range(0, len(even), 2)
            if np.isfinite(ends[k : k + 2]).all()
        ]
        or [np.full(PATH, np.nan)]
    )
    losses = losses[np.isfinite(losses).all(axis=1)]
    if not len(losses):
        return None
    height = bootstrap_t(barriers(shares, losses), 0.95, np.random.default_rng([seed, 7]), 9_999)
    height = dataclasses.replace(height, low=max(height.low, 0.0))
    return Barrier(what, shares, losses, height, scale)
