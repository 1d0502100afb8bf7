"""A learning rate's course in a CSV file: read and checked, without JAX.

The first line says what the two columns are: ``step`` or ``epoch``, then ``factor`` (of the peak
rate) or ``rate`` (absolute), and, if values are to be joined by straight lines, ``linear``::

    step,rate,linear
    0,0.001
    500,0.01
    2000,0

Without that word each value holds from its row on. Before the first row its value holds too, after
the last the last one's; rows beyond a run are not reached. Epochs may have decimals.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from convergence.errors import UserError

SUFFIX = ".csv"
LARGEST = 10 * 2**20  # bytes
LARGEST_VALUE = 3.4e38  # of float32
Wrong = Callable[..., UserError]
HEADER = "the first line must be step,factor or step,rate or the same with epoch, then ,linear if"


@dataclasses.dataclass(frozen=True, eq=False)
class RateFile:
    """What such a file says.

    Attributes:
        places: float64[rows], steps or epochs, increasing.
        values: float64[rows], 0 or more.
        epochs: places are epochs.
        absolute: values are rates, not factors.
        linear: values are joined by straight lines.
    """

    places: np.ndarray
    values: np.ndarray
    epochs: bool
    absolute: bool
    linear: bool

    @property
    def peak(self) -> float:
        """The largest value."""
        return float(self.values.max())

    def factors(self, steps: int, steps_per_epoch: int) -> np.ndarray:
        """float64[steps]: the factor of the peak rate at each step (rates: over their largest).

        Raises:
            UserError: it counts epochs, whose length is not known.
        """
        if self.epochs and steps_per_epoch <= 0:
            raise UserError("the file counts epochs, whose length is not known here.", "schedule")
        places = self.places * (steps_per_epoch if self.epochs else 1)
        values = self.values / self.peak if self.absolute else self.values
        at = np.arange(steps, dtype=np.float64)
        if self.linear:
            return np.interp(at, places, values)
        return values[np.maximum(np.searchsorted(places, at, side="right") - 1, 0)]


def is_named_by(text: str) -> bool:
    """Whether a schedule's text names such a file."""
    return text.lower().endswith(SUFFIX)


def read(text: str) -> RateFile:
    """The file of a path.

    Raises:
        UserError: naming the file, the row and what would be right.
    """
    path = Path(text).expanduser()

    def wrong(why: str, row: int = 0) -> UserError:
        return UserError(f"{path}{f', line {row}' if row else ''}: {why}", "schedule")

    lines = _lines(path, wrong)
    if not lines:
        raise wrong(f"it is empty; {HEADER} values are to be joined by lines.")
    header = [cell.strip().lower() for cell in lines[0][1]]
    known = header[0] in ("step", "epoch") and header[1:2] in (["factor"], ["rate"])
    if not known or header[2:] not in ([], ["linear"]):
        raise wrong(
            f"{','.join(header)!r} is not a heading; {HEADER} values are to be joined by lines.",
            lines[0][0],
        )
    if len(lines) == 1:
        raise wrong("no row follows the heading; write one such as 0,1.")
    table = np.empty((len(lines) - 1, 2))
    last = -1.0
    for k, (row, cells) in enumerate(lines[1:]):
        table[k] = _row(cells, header, row, wrong)
        if table[k, 0] <= last:
            raise wrong(
                f"{header[0]} {table[k, 0]:g} must be larger than {last:g}, the one before.", row
            )
        last = table[k, 0]
    if header[1] == "rate" and not table[:, 1].any():
        raise wrong("every rate is 0; one must be larger.")
    return RateFile(
        table[:, 0], table[:, 1], header[0] == "epoch", header[1] == "rate", len(header) == 3
    )


def peak_rate(text: str) -> float | None:
    """The largest rate of a schedule's file that holds rates; None for any other schedule."""
    told = read(text) if is_named_by(text) else None
    return told.peak if told and told.absolute else None


def _lines(path: Path, wrong: Wrong) -> list[tuple[int, list[str]]]:
    """Line number and cells of all lines that are not empty."""
    try:
        if not path.is_file():
            raise wrong("there is no such file.")
        if path.stat().st_size > LARGEST:
            raise wrong(f"it is larger than {LARGEST // 2**20} MiB; keep fewer rows.")
        content = path.read_bytes().decode("utf-8-sig")
        reader = csv.reader(content.splitlines(), strict=True)
        return [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except UnicodeDecodeError as error:
        raise wrong("it is not text in UTF-8; save it as CSV.") from error
    except csv.Error as error:
        raise wrong(f"it is not CSV ({error}).") from error
    except OSError as error:
        raise wrong(f"it cannot be read ({error.strerror}).") from error


def _row(cells: list[str], header: list[str], row: int, wrong: Wrong) -> tuple[float, float]:
    """Place and value of a row."""
    if len(cells) != 2 and (len(cells) != len(header) or cells[2].strip()):
        raise wrong(f"{','.join(cells)!r} has {len(cells)} values; write two.", row)
    found = []
    for name, cell in zip(header, cells[:2]):
        try:
            value = float(cell)
        except ValueError:
            raise wrong(f"{cell.strip()!r} is not a number; write a {name}.", row) from None
        if not 0 <= value <= LARGEST_VALUE:
            raise wrong(f"{name} {cell.strip()} must be a number from 0 to 3.4e38.", row)
        if name == "step" and value % 1:
            raise wrong(f"step {cell.strip()} must be a whole number.", row)
        found.append(value)
    return found[0], found[1]
