"""Lists the experiments with their questions and costs, without importing any of them."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

_WIDTH = 80
_HEADED = re.compile(r"[A-Z]\w+:")


def paragraph(lines: Iterable[str]) -> str:
    """The first lines up to an empty one, or to one that begins "Word:", as one line."""
    taken: list[str] = []
    for line in lines:
        if taken and (not line.strip() or _HEADED.match(line)):
            break
        taken.append(line)
    return " ".join(" ".join(taken).split())


def found(folder: Path) -> list[tuple[str, str, str]]:
    """Name, question and cost of each experiment's file, from its docstring.

    The question is the docstring's first paragraph, the cost what follows "Cost:".
    """
    listed = []
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]):
        if path.stem.startswith("_"):
            continue
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines = docstring.splitlines()
        costs = [at for at, line in enumerate(lines) if line.lower().startswith("cost:")]
        listed.append((name, paragraph(lines), paragraph(lines[costs[0] :]) if costs else ""))
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
