"""What a user of the learning-rate finder asks for: its own flags, read and checked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from convergence.errors import UserError
from convergence.flags import Options

LOW, HIGH = 2.0**-14, 2.0**3  # where the search begins if the user does not say
FEWEST_STEPS = 16
MOST_RATES = 256
LEAST, MOST = float.fromhex("0x1p-126"), float.fromhex("0x1p126")  # of float32, about

EXTRA = {
    "low": (0.0, "lowest learning rate tried (0: found by itself)"),
    "high": (0.0, "highest learning rate tried (0: found by itself)"),
    "rates": (0, "how many rates from --low to --high (0: a factor of 2 apart)"),
    "horizon": (0, "steps of the run that the rate is meant for (0: of the search's runs)"),
    "rivals": (True, "also train the rate-free optimisers"),
}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The finder's own flags.

    Attributes:
        rates: of the first search, ascending.
        automatic: whether the range may be widened.
        length: steps of the second search's runs; the first take half as many.
        horizon: steps of the run that the rate is meant for.
        rivals: whether the rate-free optimisers are trained beside it.
    """

    rates: tuple[float, ...]
    automatic: bool
    length: int
    horizon: int
    rivals: bool


def _bound(options: Options, flag: str, default: float) -> float:
    value = float(options.extra[flag])
    if value == 0:
        return default
    if not (math.isfinite(value) and LEAST <= value <= MOST):
        raise UserError(f"{value:g} is out of range; must be above 0 and finite.", flag)
    return value


def _rates(options: Options) -> tuple[float, ...]:
    low, high = _bound(options, "low", LOW), _bound(options, "high", HIGH)
    if options.extra["low"] and not options.extra["high"]:
        high = max(high, low * 1024)
    if options.extra["high"] and not options.extra["low"]:
        low = min(low, high / 1024)
    if high < 4 * low:
        raise UserError(
            f"{high:g} is not four times {low:g}: there is nothing to compare in between.", "high"
        )
    count = options.extra["rates"] or round(math.log2(high / low)) + 1
    if not 3 <= count <= MOST_RATES:
        raise UserError(f"{count} is out of range; must be between 3 and {MOST_RATES}.", "rates")
    return tuple(float(f"{rate:.6g}") for rate in np.geomspace(low, high, count))


def read(options: Options) -> Wanted:
    """The finder's own flags.

    Raises:
        UserError: one of them, or the length of the runs, makes no sense here.
    """
    train, horizon = options.setting.train, int(options.extra["horizon"])
    if train.epochs:
        raise UserError("does not fit here: a search's runs are counted in --steps.", "epochs")
    if train.steps < FEWEST_STEPS:
        raise UserError(
            f"{train.steps} is out of range; a search's runs take {FEWEST_STEPS} steps or more.",
            "steps",
        )
    if horizon and horizon < train.steps:
        raise UserError(
            f"{horizon} is shorter than the search's own runs; give at least {train.steps}, or"
            " fewer --steps.",
            "horizon",
        )
    if train.learning_rate == 0:
        raise UserError("must be above 0 here: the found rate is held against it.", "learning_rate")
    return Wanted(
        _rates(options),
        automatic=not (options.extra["low"] or options.extra["high"]),
        length=train.steps,
        horizon=horizon or train.steps,
        rivals=bool(options.extra["rivals"]),
    )
