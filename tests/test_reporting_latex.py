"""Tables in LaTeX: whatever a cell holds is set as text, with the article class alone."""

from __future__ import annotations

import re

from helpers.made import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.reporting import latex

COMMAND = re.compile(r"\\(?:[A-Za-z]+\{\}|[{}$&#%_])|\$(?:\\[a-z]+|\^2|\^\\circ|-)\$|\{-\}")
LEFT = re.compile(r"[\\{}$&#%_^~<>|]")


def check(text: str) -> None:
    """Without our own commands, nothing is left that LaTeX would read as more than text."""
    told = latex.escape(text)
    assert not LEFT.search(COMMAND.sub("", told)), told
    assert all(letter.isascii() or "À" <= letter <= "ÿ" for letter in told)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_text(text: str) -> None:
    """Protects the document: no name ends the table, starts a command or an unknown letter."""
    check(text)


def test_hostile_names() -> None:
    """Protects it from names made to break it."""
    for name in (*HOSTILE, r"\input{/etc/passwd}", "$$", r"a & b \\ c", "100 %"):
        check(name)


def test_a_table() -> None:
    """Protects the form: numbers to the right, rules, a caption, and no package's command."""
    made = latex.table([["a_b", "-0.1"], ["[x]", "2"]], ["arm", "effect"], "5 %", "note")
    assert made.splitlines() == [
        r"\begin{table}[htbp]",
        r"\centering\small",
        r"\caption{5 \%}",
        r"\begin{tabular}{lr}",
        r"\hline",
        r"arm & effect \\",
        r"\hline",
        r"a\_b & $-$0.1 \\",
        r"{[}x] & 2 \\",
        r"\hline",
        r"\end{tabular}",
        r"\par\smallskip\footnotesize note",
        r"\end{table}",
    ]
