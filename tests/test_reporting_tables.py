"""Tables and numbers as a terminal and Markdown show them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convergence.reporting import progress, tables, tensorboard


@pytest.mark.parametrize("module", [tables, tensorboard, progress])
def test_examples_in_docstrings(module: object) -> None:
    """Protects the documentation: its examples must be what the code does."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.97345, "0.973"),
        (0.9996, "1"),
        (99999.6, "100000"),
        (123456789.0, "1.23e8"),
        (-0.000123, "-0.000123"),
        (2.5e-5, "2.5e-5"),
        (np.float32(0.1), "0.1"),
        (np.int64(12345678), "12345678"),
        (True, "yes"),
        (np.nan, "–"),
        (None, "–"),
        (-np.inf, "-∞"),
        (-0.0, "0"),
    ],
)
def test_number(value: float, shown: str) -> None:
    """Protects readability: three significant digits, no float noise, '–' and '∞'."""
    assert tables.number(value) == shown


@given(st.floats(-1e307, 1e307))
@settings(max_examples=300, deadline=None)
def test_number_is_close(value: float) -> None:
    """Protects truth: rounding for people moves no number by more than half its third digit."""
    assert float(tables.number(value)) == pytest.approx(value, rel=5.001e-3, abs=1e-323)


def test_bounds_never_touch_zero_by_rounding() -> None:
    """Protects decisions: an interval that excludes 0 must be seen to exclude it."""
    assert tables.interval(0.0004, 0.3) == "[0.0004, 0.30]"
    assert tables.interval(-0.3, -0.0004) == "[-0.30, -0.0004]"
    assert tables.interval(0.0, 0.3) == "[0.00, 0.30]"
    assert tables.interval(float("nan"), 1) == "[–, 1]"
    assert tables.estimate(0.5, -np.inf, np.inf) == "0.5 [-∞, ∞]"


def test_alignment_and_rule() -> None:
    """Protects the look: numbers to the right, text to the left, under their headers."""
    assert tables.text([["a", 1.5], ["long name", -10]], ["arm", "x"]).splitlines() == [
        "arm          x",
        "─────────  ───",
        "a          1.5",
        "long name  -10",
    ]
    assert tables.text([], ["arm"]).splitlines() == ["arm", "───"]
    assert tables.text([], []) == ""


LONG = "the corrected interval lies beyond 0 in the claimed direction and not wholly below it"


def test_long_text_wraps_whole_words_and_numbers_stay() -> None:
    """Protects 80-column terminals without breaking numbers or words apart."""
    row = ["schedule=cosine", 0.972, tables.interval(0.97, 0.98), "holds", LONG]
    shown = tables.text([row], ["arm", "accuracy", "95 % interval", "verdict", "why"])
    assert max(map(tables.columns, shown.splitlines())) <= 80
    assert "[0.970, 0.980]" in shown
    words = shown.split()
    assert all(word in words for word in LONG.split())


@given(
    st.lists(
        st.lists(
            st.one_of(st.text(max_size=60), st.floats(), st.integers()), min_size=3, max_size=3
        ),
        max_size=4,
    ),
    st.integers(20, 90),
)
@example([[1_203_905_667_072, "", ""]], 21)  # the rest of a cut word leaves no room for the next
@settings(max_examples=200, deadline=None)
def test_any_table_fits(rows: list[list[object]], width: int) -> None:
    """Protects the terminal: whatever the names, no line is wider, and nothing writes over it."""
    shown = tables.text(rows, ["one", "two words", "three"], width)
    for line in shown.split("\n"):
        assert tables.columns(line) <= width
        assert line.isprintable()


def test_hostile_names_are_tamed() -> None:
    """Protects terminals and pages from a name that carries escapes, markup or columns."""
    hostile = "\x1b[31mred\x1b[0m\r\nnext\u202eback\x00"
    assert tables.clean(hostile) == "red nextback"
    page = tables.markdown([["a|b", "<script>", "[x](y) `c` *d* _e_ learning_rate"]], list("abc"))
    assert page.splitlines()[2] == (
        r"| a\|b | &lt;script&gt; | \[x\](y) \`c\` \*d\* \_e\_ learning_rate |"
    )


def test_markdown_alignment() -> None:
    """Protects the pages: numeric columns are marked as such, others not."""
    page = tables.markdown([["a", 1.0, "x"], ["b", float("nan"), "2"]], ["n", "v", "t"])
    assert page.splitlines()[1] == "| --- | ---: | --- |"
    assert page.splitlines()[3] == "| b | – | 2 |"
