"""Draws the report of a study again, from the files in its folder alone.

Command:  python scripts/report.py runs/five_challenges [more folders]
Leaves:   report.html, and the tables in tables/ as Markdown and LaTeX.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence.command import DONE, FAULT, MISTAKE, Parser
from convergence.errors import UserError
from convergence.reporting.files import StorageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the reports; the exit status."""
    parser = Parser("report", __doc__ or "")
    parser.add_argument("workdir", nargs="+", help="a study's folder")
    from convergence.report import page

    status = DONE
    for folder in parser.parse_args(arguments).workdir:
        try:
            print(f"Report: {page.write(folder)}")
        except UserError as error:
            print(f"report: {error.sentence}", file=sys.stderr)
            status = MISTAKE
        except StorageError as error:
            print(f"report: {error}", file=sys.stderr)
            status = status or FAULT
    return status


if __name__ == "__main__":
    sys.exit(main())
