"""A course of the rate in a CSV file: what it means, and what is told of one that is wrong."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence import ratefile
from convergence.errors import UserError
from convergence.schedules import shape


def put(folder: Path, text: str | bytes, name: str = "rates.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_each_value_holds_from_its_row_on(tmp_path: Path) -> None:
    """Protects the meaning of rows: steps of the run, the first value before, the last after."""
    path = put(tmp_path, "step,factor\n2,1\n4,.5\n\n6,0.1\n900,7\n")
    assert np.array_equal(shape(path, 8), np.float32([1, 1, 1, 1, 0.5, 0.5, 0.1, 0.1]))
    risen = shape(path, 8, warmup=3)
    assert np.array_equal(risen[3:], shape(path, 8)[3:])
    np.testing.assert_allclose(risen[:3], [0.25, 0.5, 0.75])
    assert shape(path, 0).shape == (0,)


def test_lines_and_epochs(tmp_path: Path) -> None:
    """Protects the two words of the heading: straight lines, and epochs with decimals."""
    path = put(tmp_path, "\ufeffEpoch, Factor ,linear\r\n0,0\r\n0.5,1,\r\n2,0\r\n", "a.CSV")
    vector = shape(path, 9, steps_per_epoch=4)
    np.testing.assert_allclose(vector[[0, 1, 2, 5, 8]], [0, 0.5, 1, 0.5, 0], atol=1e-7)
    with pytest.raises(UserError, match="--schedule: the file counts epochs"):
        shape(path, 6)


def test_rates_are_shares_of_their_largest(tmp_path: Path) -> None:
    """Protects absolute rates: their largest is the peak, so the product is what was written."""
    path = put(tmp_path, "step,rate\n0,.002\n3,.02\n5,.004\n")
    peak = ratefile.peak_rate(path)
    assert peak == 0.02
    np.testing.assert_allclose(peak * shape(path, 6), [0.002] * 3 + [0.02] * 2 + [0.004], rtol=1e-6)
    assert ratefile.peak_rate(put(tmp_path, "step,factor\n0,3\n", "b.csv")) is None
    assert ratefile.peak_rate("cosine") is None


WRONG = {
    "empty": ("", "it is empty; the first line must be step,factor"),
    "blank": ("\n\n \n", "it is empty; the first line must be"),
    "no heading": ("0,1\n5,.1\n", "line 1: '0,1' is not a heading; the first line must be"),
    "one column": ("step\n5\n", "line 1: 'step' is not a heading"),
    "another column": ("step,lr\n5,1\n", "line 1: 'step,lr' is not a heading"),
    "another word": ("step,rate,cubic\n5,1\n", "line 1: 'step,rate,cubic' is not a heading"),
    "semicolons": ("step;rate\n5;1\n", "line 1: 'step;rate' is not a heading"),
    "no rows": ("step,rate\n", "no row follows the heading"),
    "text": ("step,rate\n0,1\n\n5,high\n", "line 4: 'high' is not a number; write a rate"),
    "nothing": ("step,rate\n0,1\n,2\n", "line 3: '' is not a number; write a step"),
    "negative": ("step,factor\n0,-1\n", "line 2: factor -1 must be a number from 0"),
    "nan": ("step,rate\n0,nan\n", "line 2: rate nan must be a number from 0"),
    "infinite": ("step,rate\n0,1\n7,1e39\n", "line 3: rate 1e39 must be a number from 0"),
    "backwards": ("step,rate\n0,1\n9,1\n8,2\n", "line 4: step 8 must be larger than 9"),
    "the same": ("epoch,rate\n1,1\n1,2\n", "line 3: epoch 1 must be larger than 1"),
    "half a step": ("step,rate\n0,1\n8.5,2\n", "line 3: step 8.5 must be a whole number"),
    "too many": ("step,rate\n0,1,2\n", "line 2: '0,1,2' has 3 values; write two"),
    "too few": ("step,rate\n0\n", "line 2: '0' has 1 values; write two"),
    "all zero": ("step,rate\n0,0\n5,0\n", "every rate is 0; one must be larger"),
    "not text": (b"\xff\xfe\x00s", "it is not text in UTF-8"),
    "quotes": ('step,rate\n0,"1\n', "it is not CSV"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_told(how: str, tmp_path: Path) -> None:
    """Protects users of a malformed file: the file, the line, and what would be right."""
    text, words = WRONG[how]
    path = put(tmp_path, text)
    with pytest.raises(UserError) as caught:
        shape(path, 100)
    assert str(caught.value).startswith(f"--schedule: {path}")
    assert words in str(caught.value)


def test_files_that_are_not_there_or_too_large(tmp_path: Path) -> None:
    """Protects from tracebacks and from reading without bound."""
    with pytest.raises(UserError, match=r"--schedule: .*none\.csv: there is no such file"):
        shape(str(tmp_path / "none.csv"), 10)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="there is no such file"):
        shape(str(tmp_path / "folder.csv"), 10)
    path = put(tmp_path, b"step,rate\n" + b" " * ratefile.LARGEST)
    with pytest.raises(UserError, match="larger than 10 MiB"):
        shape(path, 10)


ROWS = st.lists(st.tuples(st.integers(0, 400), st.floats(0, 100, width=32)), min_size=1, max_size=8)
FIXTURE = [HealthCheck.function_scoped_fixture]


@settings(suppress_health_check=FIXTURE)
@given(rows=ROWS, linear=st.booleans())
def test_any_good_file_is_its_rows(
    rows: list[tuple[int, float]], linear: bool, tmp_path: Path
) -> None:
    """Protects the reader: at each row's step its value, between rows what the heading says."""
    steps = sorted({step for step, _ in rows})
    values = [value for _, (_, value) in zip(steps, rows)]
    text = f"step,factor{',linear' * linear}\n"
    text += "".join(f"{step},{value!r}\n" for step, value in zip(steps, values))
    vector = shape(put(tmp_path, text), 300)
    assert np.isfinite(vector).all()
    for t in range(300):
        after = [k for k, step in enumerate(steps) if step >= t]
        before = [k for k, step in enumerate(steps) if step <= t]
        low, high = (before or [0])[-1], (after or [len(steps) - 1])[0]
        bounds = sorted([values[low], values[high]])
        if linear:
            assert np.float32(bounds[0]) * (1 - 1e-6) <= vector[t]
            assert vector[t] <= np.float32(bounds[1]) * (1 + 1e-6)
        else:
            assert vector[t] == np.float32(values[low])


@settings(suppress_health_check=FIXTURE)
@given(st.one_of(st.binary(max_size=60), st.text(string.printable, max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    """Protects from files that are anything: a sentence or a course, never another error."""
    for head in (b"", b"step,rate\n"):
        path = put(tmp_path, head + content)
        try:
            vector = shape(path, 20)
        except UserError as error:
            said = str(error)
        else:
            said = "--schedule: " * bool(np.isfinite(vector).all() and (vector >= 0).all())
        assert said.startswith("--schedule: ")
