"""Tables in LaTeX that compile with the article class and need no package.

Each file holds one or more ``table`` environments, to be read by ``\\input``. Letters that the
default fonts of pdfLaTeX lack are told by their code points. Before the LaTeX of 2020 two signs
(' and `) need the package textcomp, and before that of 2018 accents need inputenc with utf8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from convergence.reporting import tables

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "-": "{-}",  # else two of them, as before a flag, would become a dash
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "∞": r"$\infty$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "→": r"$\to$",
    "α": r"$\alpha$",
    "δ": r"$\delta$",
    "σ": r"$\sigma$",
    "²": r"$^2$",
    "°": r"$^\circ$",
}
_FOREIGN = "ÐÞðþ"  # of Latin-1, but not of LaTeX' default fonts
_MINUS = re.compile(r"(?<![\w-])-(?=[\d∞])")
_WIDTH = 345.0  # points of a line in the article class at 10 points
_SIZES = (  # command, points of the font and of the gap beside a column, lines of a page's table
    (r"\small", 9.0, 6.0, 40),
    (r"\footnotesize", 8.0, 4.0, 46),
    (r"\scriptsize", 7.0, 2.0, 54),
)
_LETTER = 0.54  # widths of a usual letter in heights of the font
_TEXT = 20  # characters that a column of text keeps before the font is made smaller


def escape(value: Any) -> str:
    """Text that LaTeX sets as it is; a letter that its fonts lack is told by its code point.

    >>> escape("50 % of a_b"), escape("--rate=1e-3"), escape("[-0.1, 2]")
    ('50 \\\\% of a\\\\_b', '{-}{-}rate=1e{-}3', '[$-$0.1, 2]')
    """
    text = _MINUS.sub("−", tables.clean(value))
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isascii() or ("À" <= letter <= "ÿ" and letter not in _FOREIGN):
        return letter
    return f"[U+{ord(letter):04X}]"


def table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], caption: str = "", note: str = ""
) -> str:
    """Table environments with caption and rules; numbers to the right, long text wrapped.

    The font and the widths of text columns are chosen so that the table fits the article class'
    line, as far as single words do; a table that is longer than a page goes on in another.
    """
    layout = _Layout(rows, headers)
    parts = layout.parts(rows) or [[]]
    made = []
    for k, part in enumerate(parts):
        title = f"{caption} (continued)" if k else caption
        last = k == len(parts) - 1
        made += [
            r"\begin{table}[htbp]",
            rf"\centering{layout.size}\tabcolsep={layout.gap}pt\belowcaptionskip=4pt",
            *([rf"\caption{'[]' if k else ''}{{{escape(title)}}}"] if caption else []),
            rf"\begin{{tabular}}{{{layout.columns}}}",
            r"\hline",
            layout.line(headers),
            r"\hline",
            *(layout.line(row) for row in part),
            r"\hline",
            r"\end{tabular}",
            *([rf"\par\smallskip\footnotesize {escape(note)}"] if note and last else []),
            r"\end{table}",
        ]
    return "\n".join(made) + "\n"


class _Layout:
    """The font, the gap and the columns of a table that fits the line.

    Attributes:
        size: the font's command.
        gap: points at each side of a column.
        columns: the argument of the ``tabular`` environment.
    """

    def __init__(self, rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
        cells = [list(column) for column in zip(headers, *rows)]
        self.numeric = tables.numeric_columns(rows, len(headers))
        natural = [max(map(_length, column)) for column in cells]
        least = [
            have if is_number else max(_longest_word(column), min(have, _TEXT))
            for have, is_number, column in zip(natural, self.numeric, cells)
        ]
        for self.size, points, self.gap, self.lines in _SIZES:
            room = (_WIDTH - 2 * self.gap * len(headers)) / (points * _LETTER)
            if sum(least) <= room:
                break
        wanted = sum(natural) - sum(least)
        share = min(max(room - sum(least), 0) / wanted, 1.0) if wanted else 1.0
        self.widths = [few + share * (most - few) for few, most in zip(least, natural)]
        self.wrapped = [
            not is_number and width < most
            for is_number, width, most in zip(self.numeric, self.widths, natural)
        ]
        shares = [width * points * _LETTER / _WIDTH for width in self.widths]
        self.columns = "".join(
            rf"p{{{share:.3f}\linewidth}}" if wraps else "r" if is_number else "l"
            for is_number, wraps, share in zip(self.numeric, self.wrapped, shares)
        )

    def parts(self, rows: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
        """The rows of each table, in order: about equally long, none much longer than a page."""
        heights = [
            max(math.ceil(_length(cell) / max(w, 1)) for cell, w in zip(row, self.widths))
            for row in rows
        ]
        most = math.ceil(sum(heights) / max(math.ceil(sum(heights) / self.lines), 1))
        found: list[list[Sequence[str]]] = []
        used = most
        for row, height in zip(rows, heights):
            if used >= most:
                found.append([])
                used = 0
            found[-1].append(row)
            used += height
        return found

    def line(self, cells: Sequence[Any]) -> str:
        r"""A row; text that wraps is set ragged, after which only ``\tabularnewline`` ends it."""
        told = [
            # A bracket after the end of a row would be read as its argument.
            (r"\raggedright " if wraps else "") + escape(cell).replace("[", "{[}", 1)
            for cell, wraps in zip(cells, self.wrapped)
        ]
        return " & ".join(told) + (r" \tabularnewline" if any(self.wrapped) else r" \\")


def _length(cell: Any) -> int:
    """Characters as they are set."""
    return sum(8 if _letter(c).startswith("[U+") else 1 for c in tables.clean(cell))


def _longest_word(cells: Sequence[str]) -> int:
    return max((_length(word) for cell in cells for word in tables.clean(cell).split()), default=1)
