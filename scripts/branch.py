"""Was a run's learning rate lowered too early, held too long, or in time?

    python scripts/branch.py runs/train
    python scripts/branch.py runs/schedules --arm=schedule=drop --json=branch.json

FOLDER holds a finished study. The seeds of one of its arms are trained again
and, from several points on their way, go on with the rate lowered earlier and
held longer, to the same number of steps. The study's metric and margin on
validation rows decide. Nothing is written into the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command, userfile
from convergence.errors import UserError


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("branch", __doc__ or "")
    parser.add_argument("folder", type=Path, help="folder of a finished study")
    parser.add_argument("--arm", default="", help="which of its arms, where it has several")
    parser.add_own_files()
    parser.add_argument("--json", default="", help="also write what was found to this file")
    parser.add_argument(
        "--platform", default="auto", choices=command.PLATFORMS, help="where to run"
    )
    return parser.parse_args(arguments)


def main(told: argparse.Namespace) -> None:
    """Trains, judges and prints."""
    command.check_platform(told.platform)
    from convergence import compilation_cache
    from convergence import laboratory as lab
    from convergence.branching import words
    from convergence.branching.folder import of_folder
    from convergence.reporting import files

    if told.json and not Path(told.json).parent.is_dir():
        raise UserError(f"there is no folder {Path(told.json).parent}.", "json")
    compilation_cache.enable(say=command.say)
    found = of_folder(told.folder, told.arm, userfile.given(told))
    print(lab.narrow(words.closing_text(found)))
    if told.json:
        content = json.dumps(found.to_json(), indent=2, allow_nan=False)
        files.write_text(Path(told.json), content + "\n")


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    sys.exit(command.guarded(lambda: main(given), "branch", None, sys.argv[1:]))
