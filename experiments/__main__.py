"""Lists the experiments with their questions and costs, without importing any of them."""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path

from convergence.command import first_paragraphs

_WIDTH = 80


def found(folder: Path) -> list[tuple[str, str, str]]:
    """Name, question and cost of each experiment's file; the last two come from its docstring.

    The question is the docstring's first paragraph, the cost its paragraph that begins "Cost:".
    """
    listed = []
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]):
        if path.stem.startswith("_"):
            continue
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        paragraphs = list(first_paragraphs(docstring))
        costs = [text for text in paragraphs if text.lower().startswith("cost:")]
        listed.append((name, paragraphs[0] if paragraphs else "", costs[0] if costs else ""))
    return listed


def main() -> int:
    """Prints the list; the exit status."""
    print("python -m experiments.NAME --flag=value …   (--help lists an experiment's flags)\n")
    for name, question, cost in found(Path(__file__).resolve().parent):
        print(name)
        for text in (question, cost):
            for line in textwrap.wrap(text, _WIDTH - 4):
                print(f"    {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
