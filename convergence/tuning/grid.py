"""Grids of learning rates: the same number of rates, equally far apart, for every arm."""

from __future__ import annotations

import math
from collections.abc import Iterable

FACTOR = 3.0  # from one rate to the next: the best of a grid lies within √3 of the best of all
LEAST = float.fromhex("0x1p-126")  # a rate below is 0 in float32
MOST = 3e38  # and one above is infinite


def factors(count: int, factor: float = FACTOR) -> tuple[float, ...]:
    """Multiples of a centre, ascending, as many below 1 as above; one more above if even.

    Above, since a rate that comes down starts best from a higher one than a constant rate does.

    >>> [round(f, 3) for f in factors(4)]
    [0.333, 1.0, 3.0, 9.0]

    Raises:
        ValueError: fewer than one, or a factor not above 1.
    """
    if count < 1 or not (math.isfinite(factor) and factor > 1):
        raise ValueError(f"a grid of {count} rates, {factor} apart")
    first = -((count - 1) // 2)
    return tuple(float(factor**k) for k in range(first, first + count))


def extended(grid: Iterable[float], low: bool, high: bool) -> tuple[float, ...]:
    """The multiples that a grid gets beyond its ends: one below, one above, as asked.

    The new ones are as far off as the ends are from their neighbours; a grid of one gets none.
    """
    known = sorted(grid)
    if len(known) < 2:
        return ()
    found = [known[0] ** 2 / known[1]] if low else []
    return (*found, *([known[-1] ** 2 / known[-2]] if high else ()))


def rates(centre: float, grid: Iterable[float]) -> tuple[float, ...]:
    """The grid's rates around a centre, ascending, rounded to two significant digits.

    What is told is what is trained, so that a flag repeats it.

    Raises:
        ValueError: a rate that float32 cannot hold, or the centre is not above 0.
    """
    found = tuple(float(f"{centre * one:.2g}") for one in sorted(grid))
    if not all(LEAST <= rate <= MOST for rate in found):
        raise ValueError(f"rates around {centre:g} leave the range of float32")
    return found
