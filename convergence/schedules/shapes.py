"""The named schedules: factors of the peak rate by progress, some with a number of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from convergence import names
from convergence.errors import UserError, unknown_name

Vector = np.ndarray

DROPS = ((0.5, 0.1), (0.75, 0.01))  # drop: from this progress on, this factor
TRIANGLE_LOW = 0.1  # triangular swings between a tenth and 1
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1 / 25e4


@dataclasses.dataclass(frozen=True)
class Number:
    """The number that may follow a schedule's name, as in ``cosine_restarts:4``.

    Attributes:
        default: its value where none is given.
        low, high: what it may be, both included.
        what: what it says.
        whole: it must be a whole number.
    """

    default: float
    low: float
    high: float
    what: str
    whole: bool = False

    def read(self, text: str, name: str) -> float:
        """The number in a text; raises UserError where it is none or out of range."""
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if self.low <= value <= self.high and not (self.whole and value % 1):
            return value
        kind = "a whole number" if self.whole else "a number"
        raise UserError(
            f"'{name}:{text}' needs {self.what} after the colon: {kind} from {self.low:g} to "
            f"{self.high:g}, such as {name}:{self.default:g}.",
            "schedule",
        )


@dataclasses.dataclass(frozen=True)
class Shape:
    """A named schedule: progress in [0, 1) and its number to a factor in [0, 1]."""

    factors: Callable[[Vector, float], Vector]
    number: Number | None = None


def _constant(p: Vector, _: float) -> Vector:
    return np.ones_like(p)


def _cosine(p: Vector, _: float = 0.0) -> Vector:
    return 0.5 * (1.0 + np.cos(np.pi * p))


def _drop(p: Vector, _: float) -> Vector:
    factors = np.ones_like(p)
    for start, factor in DROPS:
        factors[p >= start] = factor
    return factors


def _one_cycle(p: Vector, peak: float) -> Vector:
    up = _cosine(p / peak)  # from 1 down to 0
    down = _cosine((p - peak) / (1.0 - peak))
    return np.where(
        p < peak,
        1.0 - (1.0 - ONE_CYCLE_START) * up,
        ONE_CYCLE_END + (1.0 - ONE_CYCLE_END) * down,
    )


def _triangular(p: Vector, cycles: float) -> Vector:
    height = 1.0 - np.abs(2.0 * (p * cycles % 1.0) - 1.0)
    return TRIANGLE_LOW + (1.0 - TRIANGLE_LOW) * height


CYCLES = Number(3, 1, 1000, "the number of cycles", whole=True)

# inverse_sqrt alone needs the step count of the warm-up and is made in `named`, as are drops at
# every so many steps or epochs.
BY_PROGRESS: dict[str, Shape] = {
    "constant": Shape(_constant),
    "linear": Shape(lambda p, _: 1.0 - p),
    "cosine": Shape(_cosine),  # Loshchilov & Hutter, 2017, eq. 5 without restarts
    # The same, in cycles of equal length.
    "cosine_restarts": Shape(lambda p, cycles: _cosine(p * cycles % 1.0), CYCLES),
    "exponential": Shape(
        lambda p, end: end**p, Number(0.01, 1e-12, 1, "the factor at which it ends")
    ),
    # 1 / (1 + k p), which ends at a tenth.
    "time_based": Shape(
        lambda p, k: 1.0 / (1.0 + k * p), Number(9, 0, 1e6, "the k of 1/(1 + k progress)")
    ),
    "drop": Shape(_drop),  # at half and three quarters, as in He et al., 2016, for CIFAR-10
    "polynomial": Shape(lambda p, power: (1.0 - p) ** power, Number(2, 0.01, 100, "the degree")),
    # Smith & Topin, 2018, with cosine flanks.
    "one_cycle": Shape(_one_cycle, Number(0.3, 0.01, 0.99, "the share of steps before the peak")),
    "triangular": Shape(_triangular, CYCLES),  # Smith, 2017
    # Warm-up, stable, decay: Hu et al., 2024; linear over the last fifth.
    "wsd": Shape(
        lambda p, share: np.minimum(1.0, (1.0 - p) / share),
        Number(0.2, 0.001, 1, "the share of steps in the final descent"),
    ),
    "plateau": Shape(_constant),  # `plateau.plateau_close` lowers the rate as it runs
}
SCALE = Number(100, 1, 1e9, "the steps after which the squared rate is halved")


def _inverse_sqrt(steps: int, warmup: int, scale: float) -> Vector:
    """``sqrt(s / (s + t))``, s the warm-up's length or a twentieth of the steps (Vaswani, 2017)."""
    scale = scale or float(warmup) or max(1.0, steps / 20)
    return np.sqrt(scale / (scale + np.arange(steps)))


def _dropping(text: str, steps: int, steps_per_epoch: int) -> Vector:
    """``drop:EVERY*FACTOR``: after every so many steps (``10e``: epochs) times that factor."""
    every_text, star, factor_text = text.partition("*")
    epochs = every_text.strip().endswith("e")
    try:
        every, factor = int(every_text.strip().removesuffix("e")), float(factor_text)
    except ValueError:
        every, factor = 0, np.nan
    if not star or every < 1 or not 0 <= factor <= 1:
        raise UserError(
            f"'drop:{text}' needs how often and by what after the colon, such as drop:500*0.5 "
            "(every 500 steps half) or drop:10e*0.1 (every 10 epochs a tenth).",
            "schedule",
        )
    if epochs and steps_per_epoch <= 0:
        raise UserError(f"'drop:{text}' counts epochs, whose length is not known here.", "schedule")
    return factor ** (np.arange(steps) // (every * (steps_per_epoch if epochs else 1)))


def named(text: str, steps: int, warmup: int, steps_per_epoch: int) -> Vector:
    """float64[max(0, steps - warmup)]: factors after the warm-up, of ``NAME`` or ``NAME:NUMBER``.

    Raises:
        UserError: unknown name, or a number that it does not take.
    """
    name, colon, told = text.partition(":")
    length = max(0, steps - warmup)
    if name not in names.SCHEDULES:
        raise unknown_name(name, names.SCHEDULES, "schedule", "schedule")
    if name == "drop" and colon:  # steps are the run's, with and without warm-up
        return _dropping(told, steps, steps_per_epoch)[min(warmup, steps) :]
    if name == "inverse_sqrt":
        return _inverse_sqrt(length, warmup, SCALE.read(told, name) if colon else 0.0)
    shape = BY_PROGRESS[name]
    if colon and shape.number is None:
        raise UserError(f"{name} takes no number; leave out {colon + told!r}.", "schedule")
    number = shape.number.default if shape.number else 0.0
    if colon and shape.number:
        number = shape.number.read(told, name)
    return shape.factors(np.arange(length) / max(1, length), number)
