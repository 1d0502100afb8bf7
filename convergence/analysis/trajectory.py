"""The first steps of a few trials from a common state, and how two such courses lie to each other.

Distances are taken leaf by leaf: a fault in the biases alone would drown in the kernels' rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
OFFSETS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """Params of n trials at k steps each.

    Attributes:
        trials: int64[n], their indices in the study.
        starts: int64[n]: the step of the state that each trial is compared from.
        offsets: int64[k], steps from there, from 0 upwards.
        done: int64[n, k]: steps that the trial had done; fewer than asked where it had ended.
        leaves: paths of the L leaves of the params.
        values: float32[n, k, size], one a leaf.
        sketches: float32[n, marks, 64] at steps 0, 1, 2, 4, … of the run.
        first: int64[n], the first step whose loss or gradient differed from that of the run it
            was held against, -1 where none did or it was held against none.
    """

    trials: Array
    starts: Array
    offsets: Array
    done: Array
    leaves: tuple[str, ...]
    values: tuple[Array, ...]
    sketches: Array
    first: Array

    def there(self) -> Array:
        """bool[n, k]: where the trial was still running."""
        return np.asarray(self.done == self.starts[:, None] + self.offsets)

    def arrays(self) -> dict[str, Array]:
        """All of it by name, for an NPZ file."""
        names = {f"leaf {k:04}": value for k, value in enumerate(self.values)}
        fields = ("trials", "starts", "offsets", "done", "sketches", "first")
        plain = {name: getattr(self, name) for name in fields}
        return plain | names | {"leaves": np.array(self.leaves, dtype=np.str_)}

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Trajectory:
        """From `arrays`.

        Raises:
            ValueError: something is missing or of another form.
        """
        try:
            leaves = tuple(map(str, arrays["leaves"]))
            values = tuple(arrays[f"leaf {k:04}"] for k in range(len(leaves)))
            whole = {
                name: arrays[name] for name in ("trials", "starts", "offsets", "done", "first")
            }
            found = cls(**whole, leaves=leaves, values=values, sketches=arrays["sketches"])
        except KeyError as error:
            raise ValueError(f"a trajectory without {error.args[0]!r}") from error
        form = (len(found.trials), len(found.offsets))
        forms = [found.done.shape, *(value.shape[:2] for value in values)]
        if any(one != form for one in forms) or any(v.dtype != np.float32 for v in values):
            raise ValueError("a trajectory whose arrays do not fit together")
        return found


def fits(a: Trajectory, b: Trajectory) -> str:
    """Why two trajectories cannot be compared, or nothing."""
    if a.leaves != b.leaves:
        return "their params have other leaves"
    if any(x.shape[2:] != y.shape[2:] for x, y in zip(a.values, b.values)):
        return "their params have other shapes"
    same = [np.array_equal(getattr(a, n), getattr(b, n)) for n in ("starts", "offsets")]
    return "" if all(same) and len(a.trials) == len(b.trials) else "they tell of other steps"


def first_differing(a: Array, b: Array) -> Array:
    """int64[n]: the first step whose loss or gradient norm differs in bits, -1 where none does.

    Args:
        a, b: float32[n, steps, 2], traces of the same trials; compared as far as both reach.
    """
    length = min(a.shape[1], b.shape[1])
    words = [np.ascontiguousarray(one[:, :length], np.float32).view(np.uint32) for one in (a, b)]
    differs = (words[0] != words[1]).any(axis=2)
    return np.where(differs.any(axis=1), differs.argmax(axis=1), -1) if length else -np.ones(len(a))


def distances(a: Trajectory, b: Trajectory) -> Array:
    """float64[n, k, L]: Euclidean distances leaf by leaf.

    NaN where a had ended or is not finite; infinite where only b had or is: no finite distance
    would tell that one of two runs has broken off.

    Raises:
        ValueError: they cannot be compared (`fits`).
    """
    why = fits(a, b)
    if why:
        raise ValueError(why)
    found = []
    for x, y in zip(a.values, b.values):
        flat = (*x.shape[:2], -1)
        own = a.there() & np.isfinite(x).reshape(flat).all(axis=2)
        other = b.there() & np.isfinite(y).reshape(flat).all(axis=2)
        with np.errstate(invalid="ignore", over="ignore"):
            apart = (y.astype(np.float64) - x).reshape(flat)
            length = np.sqrt((apart * apart).sum(axis=2))
        found.append(np.where(own, np.where(other, length, np.inf), np.nan))
    return np.stack(found, axis=2)


def unit(a: Trajectory) -> Array:
    """float64[n, k, L]: the length of one unit in the last place of each element of a leaf."""
    squares = []
    for x in a.values:
        last = np.spacing(np.abs(x)).astype(np.float64)
        squares.append((last * last).reshape(*x.shape[:2], -1).sum(axis=2))
    return np.sqrt(np.stack(squares, axis=2))


@dataclasses.dataclass(frozen=True, eq=False)
class Envelope:
    """What repeated rounding alone does to the trials of a trajectory.

    Attributes:
        distance: float64[n, draws, k, L], leaf by leaf.
        unit: float64[n, k, L], see `unit`.
        sketch: float64[n, draws, marks], distances of sketches.
        amplitude: of the last bits' moves, in units in the last place.
        told: where the amplitude comes from.
    """

    distance: Array
    unit: Array
    sketch: Array
    amplitude: float
    told: str

    def of(self, trials: Array) -> Envelope:
        """That of some trials alone, by their places or flags."""
        some = {name: getattr(self, name)[trials] for name in ("distance", "unit", "sketch")}
        return dataclasses.replace(self, **some)


def sketches_apart(a: Trajectory, b: Trajectory) -> Array:
    """float64[n, marks]: distances of two trajectories' sketches, NaN where none was taken."""
    taken = (a.sketches != 0).any(axis=2) & (b.sketches != 0).any(axis=2)
    apart = np.linalg.norm(b.sketches.astype(np.float64) - a.sketches, axis=2)
    return np.where(taken, apart, np.nan)


def envelope_of(a: Trajectory, draws: list[Trajectory], amplitude: float, told: str) -> Envelope:
    """The envelope that runs with repeated rounding span around a."""
    apart = [sketches_apart(a, one) for one in draws]
    return Envelope(
        distance=np.stack([distances(a, one) for one in draws], axis=1),
        unit=unit(a),
        sketch=np.stack(apart, axis=1),
        amplitude=amplitude,
        told=told,
    )
