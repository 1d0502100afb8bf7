"""Compares two finished studies, or one with itself trained again elsewhere.

    python scripts/compare.py runs/before runs/after
    python scripts/compare.py runs/before --python=/other/env/bin/python
    python scripts/compare.py runs/before --all --python=/other/env/bin/python

Two studies: are they the same in bits, equivalent in distribution, or different
– by how much, in the metric's unit and in seed-to-seed spreads? How far do their
predictions differ, against those of two seeds? Equivalent is what lies within a
margin: one spread over the first study's seeds, or --margin.

One study: it is trained again here, in a process of its own, under the one
condition that is named; its saved params are evaluated there, too, without
training. --all tries every condition (threads, devices, precision, compiler),
prints one table and leaves it in the workdir as migration.json and in tables/.

Exit status: 0 whatever the verdict, 2 a mistake, 1 a fault of the program.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command
from convergence.errors import UserError


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("compare", __doc__ or "")
    parser.add_argument("workdir", type=Path, help="folder of a finished study")
    parser.add_argument("other", type=Path, nargs="?", help="folder of another one")
    parser.add_argument("--metric", default="", help="what to compare (default: the studies' own)")
    parser.add_argument(
        "--margin", type=float, default=0.0, help="in the metric's unit (default: one spread)"
    )
    parser.add_argument("--arm", default="", help="this arm alone")
    parser.add_argument("--other_arm", default="", help="with this arm of the other study")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser.parse_args(arguments)


def main(told: argparse.Namespace) -> None:
    """Compares and prints."""
    from convergence.comparison.compared import compare, lines
    from convergence.comparison.side import Side
    from convergence.reporting import files

    if told.margin < 0:
        raise UserError("is a difference in the metric's unit, above 0.", "margin")
    a, b = Side(told.workdir), Side(told.other)
    found = compare(a, b, told.margin, told.metric, told.arm, told.other_arm)
    if told.json:
        print(json.dumps(files.plain(found.to_json()), indent=1, ensure_ascii=False))
        return
    print("\n".join(lines(found)))


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    sys.exit(command.guarded(lambda: main(given), "compare", None, sys.argv[1:]))
