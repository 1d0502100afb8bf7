"""Tables in LaTeX that compile with the article class and no package."""

from __future__ import annotations

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
_MINUS = re.compile(r"(?<![\w-])-(?=[\d∞])")
_WIDE = 28  # characters of a text column from which on it is set as a paragraph


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
    if letter.isascii() or "À" <= letter <= "ÿ":
        return letter
    return f"[U+{ord(letter):04X}]"


def table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], caption: str = "", note: str = ""
) -> str:
    """A table environment with caption and rules; numbers to the right, long text wrapped."""
    numeric = tables.numeric_columns(rows, len(headers))
    lengths = [
        max((len(str(row[i])) for row in rows), default=0) if not numeric[i] else 0
        for i in range(len(headers))
    ]
    wide = [length > _WIDE for length in lengths]
    share = 0.62 / max(1, sum(wide))
    columns = "".join(
        "r" if is_number else f"p{{{share:.2f}\\linewidth}}" if is_wide else "l"
        for is_number, is_wide in zip(numeric, wide)
    )
    body = [
        r"\begin{table}[htbp]",
        r"\centering\small",
        *([rf"\caption{{{escape(caption)}}}"] if caption else []),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        _line(headers),
        r"\hline",
        *(_line(row) for row in rows),
        r"\hline",
        r"\end{tabular}",
        *([rf"\par\smallskip\footnotesize {escape(note)}"] if note else []),
        r"\end{table}",
    ]
    return "\n".join(body) + "\n"


def _line(cells: Sequence[Any]) -> str:
    # A bracket after \\ would be read as its argument.
    return " & ".join(escape(cell).replace("[", "{[}", 1) for cell in cells) + r" \\"
