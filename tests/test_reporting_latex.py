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
    assert not set("ÐÞðþ") & set(told)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_text(text: str) -> None:
    """Protects the document: no name ends the table, starts a command or an unknown letter."""
    check(text)


def test_hostile_names() -> None:
    """Protects it from names made to break it."""
    for name in (*HOSTILE, r"\input{/etc/passwd}", "$$", r"a & b \\ c", "100 %", "Þórr"):
        check(name)


def test_a_table() -> None:
    """Protects the form: numbers to the right, rules, a caption, and no package's command."""
    made = latex.table([["a_b", "-0.1"], ["[x]", "2"]], ["arm", "effect"], "5 %", "note")
    assert made.splitlines() == [
        r"\begin{table}[htbp]",
        r"\centering\small\tabcolsep=6.0pt\belowcaptionskip=4pt",
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


WORDS = st.lists(st.text("ab_", min_size=1, max_size=9), min_size=1, max_size=20).map(" ".join)


@given(st.lists(st.tuples(WORDS, st.just("0.1 [0.0, 0.2]"), WORDS), min_size=1, max_size=90))
@settings(max_examples=60, deadline=None)
def test_no_wider_or_longer_than_a_page(rows: list[tuple[str, str, str]]) -> None:
    """Protects the page: by the widths assumed the line is kept, and every row is in some table."""
    made = latex.table(rows, ["arm", "effect", "verdict"], "title", "note")
    wide = [float(share) for share in re.findall(r"p\{([\d.]+)\\linewidth\}", made)]
    tables = made.count(r"\begin{table}")
    assert sum(wide) <= tables
    assert made.count("0.1 {[}0.0, 0.2]") == len(rows)
    assert made.count("(continued)") == tables - 1
    assert made.count("footnotesize note") == 1
    for part in made.split(r"\end{table}"):
        assert part.count("0.1 {[}") <= 55


def test_long_text_is_ragged() -> None:
    """Protects reading: a column that wraps is a paragraph, and its rows end as one must."""
    long = "a claim of many words " * 6
    made = latex.table([[long, "1", long], ["b", "2", "c"]], ["claim", "effect", "verdict"])
    assert re.search(r"\{tabular\}\{p\{0\.\d+\\linewidth\}rp\{0\.\d+\\linewidth\}\}", made)
    assert r"\raggedright b & 2 & \raggedright c \tabularnewline" in made
