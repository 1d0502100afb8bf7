"""The verdict on each training curve: at rest, still improving, stuck, swinging or gone.

    python scripts/judge.py runs/train
    python scripts/judge.py some/log_directory --tag=loss --html=curves.html
    python scripts/judge.py losses.csv --step=step --value=train_loss,val_acc

PATH is a study's folder, a TensorBoard log directory of any framework (with its
sub-folders), or a CSV, Parquet or NPZ file. Scores are told from losses by
their names; what was guessed is said.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command
from convergence.errors import UserError


def parsed(arguments: Sequence[str]) -> Any:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("judge", __doc__ or "")
    parser.add_argument("path", nargs="+", help="folder or file with curves")
    parser.add_argument("--tag", default="", help="only curves whose tag holds one of these")
    parser.add_argument("--step", default="", help="column of steps (CSV, Parquet, NPZ)")
    parser.add_argument("--value", default="", help="columns of values (CSV, Parquet, NPZ)")
    parser.add_argument(
        "--higher_is_better",
        default=None,
        help="tags that are better when higher ('' for none; default: by their names)",
    )
    parser.add_argument(
        "--held_out", default="", help="tags that are of held-out data (besides val, test, eval)"
    )
    parser.add_argument(
        "--alone", action="store_true", help="judge no curve by others of its tag (other tasks?)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--html", default="", help="draw the curves on a page, into this file")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals' draws (default 0)")
    return parser.parse_args(arguments)


def main(told: Any) -> None:
    """Reads, judges, prints, and draws if asked to."""
    from convergence import judged

    if told.html and not Path(told.html).expanduser().parent.is_dir():
        raise UserError(f"there is no folder {Path(told.html).parent}.", "html")
    found = judged.judge_paths(
        told.path,
        tag=_names(told.tag),
        step=told.step,
        value=_names(told.value),
        higher=None if told.higher_is_better is None else _names(told.higher_is_better),
        held_out=_names(told.held_out),
        seed=told.seed,
        alone=told.alone,
    )
    if told.json:
        print(json.dumps(judged.to_json(found), indent=1, allow_nan=False))
    else:
        print(judged.table(found))
    for line in found.notes:
        command.say(line)
    if told.html:
        from convergence.report import curves_page

        command.say(f"Page: {curves_page.write(told.html, found)}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    sys.exit(command.guarded(lambda: main(given), "judge", None, sys.argv[1:]))
