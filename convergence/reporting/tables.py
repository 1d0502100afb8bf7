"""Numbers and tables as plain text for an 80-column terminal, and as Markdown."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 80
_GAP = "  "
_WHOLE_WORD = 14  # words up to this length are kept whole where the table can be made to fit
_NARROWEST = 8  # and columns of text are never squeezed below this
_LOOKS_NUMERIC = re.compile(r"[\s\d.,:;+\-−–∞%×±eE\[\]()<>≤≥≈~/]+|nan|inf|yes|no|")


def number(value: Any, digits: int = 3) -> str:
    """A number for people: ``digits`` significant digits, '∞' for infinity, '–' for NaN and None.

    >>> [number(x) for x in (0.97345, 1100, 1e-8, float("nan"), -float("inf"))]
    ['0.973', '1100', '1e-8', '–', '-∞']
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (hasattr(value, "dtype") and value.dtype.kind in "iu"):
        return str(int(value))
    x = float(value)
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    if x == 0:
        return "0"
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    size = int(exponent)
    if size < -4 or size > 6:
        short = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{short}e{size}"
    decimals = max(digits - 1 - size, 0)
    text = f"{x:.{decimals}f}"
    # Round whole settings such as .1 or 1e-3 read better without their zeros.
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimals(spread: float) -> int | None:
    """Decimals that show two significant digits of a spread; None where fixed point is no help."""
    if not math.isfinite(spread) or spread <= 0:
        return None
    decimals = 1 - math.floor(math.log10(spread))
    return max(decimals, 0) if -6 <= decimals <= 6 else None


def _fixed(value: float, decimals: int | None) -> str:
    if decimals is None or not math.isfinite(value):
        return number(value)
    text = f"{value:.{decimals}f}"
    # A bound must not be rounded onto the zero that it is compared with.
    return number(value, 1) if float(text) == 0 and value != 0 else text


def interval(low: float, high: float) -> str:
    """An interval, to two significant digits of its width.

    >>> interval(0.01234, 0.03456), interval(-float("inf"), 2)
    ('[0.012, 0.035]', '[-∞, 2]')
    """
    decimals = _decimals(high - low)
    return f"[{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def estimate(value: float, low: float, high: float) -> str:
    """A value with its interval, to the same decimals.

    >>> estimate(0.02, 0.01234, 0.03456)
    '0.020 [0.012, 0.035]'
    """
    return f"{_fixed(value, _decimals(high - low))} {interval(low, high)}"


def clean(text: Any) -> str:
    """Text without control characters, escape sequences and direction marks; runs of space are one.

    A name from a user's file may hold any of them, and would write over a terminal.
    """
    plain = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", str(text))
    kept = (" " if c.isspace() else c if c.isprintable() else "" for c in plain)
    return re.sub(r" +", " ", "".join(kept)).strip()


def shown(value: Any) -> str:
    """A cell: numbers as `number` shows them, anything else as clean text."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, int | float) or hasattr(value, "dtype"):
        return number(value)
    return clean(value)


def columns(text: str) -> int:
    """How many terminal columns a line takes (wide characters two, combining marks none)."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * max(width - columns(text), 0)
    return space + text if right else text + space


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns, broken at spaces where there are any."""
    lines, line = [], ""
    for word in text.split(" "):
        while columns(word) > width:  # a word that fits nowhere is cut
            room = width - columns(line) - 1 if line else width
            if line and (room < 1 or room < 4 <= width):
                lines.append(line)
                line = ""
                continue
            head = _head(word, max(room, 1))
            lines.append(f"{line} {head}" if line else head)
            word, line = word[len(head) :], ""
        if line and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line or not lines else lines


def _head(word: str, room: int) -> str:
    end = 1
    while end < len(word) and columns(word[: end + 1]) <= room:
        end += 1
    return word[:end]


def _longest_word(cells: Iterable[str]) -> int:
    return max((columns(word) for cell in cells for word in cell.split(" ")), default=1)


def _widths(cells: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> list[int]:
    """Column widths whose sum fits if any do; first whole words are kept, then only numbers."""
    by_column = list(zip(*cells))
    natural = [max(map(columns, column)) for column in by_column]
    values = [
        max(map(columns, column[1:]), default=1) if is_number else 1
        for column, is_number in zip(by_column, numeric)
    ]
    words = [min(_longest_word(column), _WHOLE_WORD) for column in by_column]
    tight = [1 if is_number else min(_NARROWEST, most) for is_number, most in zip(numeric, natural)]
    widths = natural
    for least in (words, tight):
        widths = _squeezed(natural, [max(pair) for pair in zip(values, least)], width)
        if _total(widths) <= width:
            break
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _squeezed(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Widths taken from the widest column, one by one, until they fit or all are at their least."""
    widths = list(natural)
    while _total(widths) > width:
        movable = [i for i, (have, need) in enumerate(zip(widths, least)) if have > need]
        if not movable:
            break
        widths[max(movable, key=lambda i: widths[i])] -= 1
    return widths


def text(rows: Sequence[Sequence[Any]], headers: Sequence[str], width: int = WIDTH) -> str:
    """A table of at most ``width`` columns: numbers to the right, long text wrapped.

    Where even that does not fit, each row is told as lines of ``header: value``.

    Args:
        rows: one sequence a row; numbers are formatted by `number`, anything else is text.
        headers: one for each column.
    """
    if not headers:
        return ""
    cells = [[clean(h) for h in headers], *([shown(value) for value in row] for row in rows)]
    numeric = numeric_columns(cells[1:], len(headers))
    widths = _widths(cells, numeric, width)
    if _total(widths) > width:
        return _records(cells, width)
    lines = []
    for index, row in enumerate(cells):
        parts = [_wrapped(cell, max(w, 1)) for cell, w in zip(row, widths)]
        height = max(map(len, parts))
        if index == 0:  # headers stand on the rule
            parts = [[""] * (height - len(part)) + part for part in parts]
        for at in range(height):
            line = [
                _pad(part[at] if at < len(part) else "", w, right)
                for part, w, right in zip(parts, widths, numeric)
            ]
            lines.append(_GAP.join(line).rstrip())
        if index == 0:
            lines.append(_GAP.join("─" * w for w in widths))
    return "\n".join(lines)


def _records(cells: Sequence[Sequence[str]], width: int) -> str:
    blocks = []
    for row in cells[1:]:
        lines = [_wrapped(f"{header}: {cell}", width) for header, cell in zip(cells[0], row)]
        blocks.append("\n".join(line for wrapped in lines for line in wrapped))
    return "\n\n".join(blocks)


def numeric_columns(cells: Sequence[Sequence[str]], count: int) -> list[bool]:
    """Which columns of a table hold only numbers, intervals and signs."""
    return [
        bool(cells) and all(_LOOKS_NUMERIC.fullmatch(row[i]) for row in cells) for i in range(count)
    ]


def markdown(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> str:
    """A table in Markdown, its cells escaped; numbers to the right."""
    cells = [[shown(value) for value in row] for row in rows]
    numeric = numeric_columns(cells, len(headers))
    lines = [
        _bar(escape(header) for header in headers),
        _bar("---:" if is_number else "---" for is_number in numeric),
        *(_bar(escape(cell) for cell in row) for row in cells),
    ]
    return "\n".join(lines)


def _bar(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape(value: Any) -> str:
    """Text that Markdown shows as it is: no markup, no links, no HTML, no column breaks."""
    plain = re.sub(r"([\\`*\[\]|])", r"\\\1", clean(value))
    plain = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", plain)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
