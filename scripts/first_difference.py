"""Says where two runs part: the first differing step, what differs there, and why.

    python scripts/first_difference.py runs/a runs/b
    python scripts/first_difference.py runs/a runs/b --trial=3
    python scripts/first_difference.py runs/a runs/b --trial_a=a/0 --trial_b=b/0
    python scripts/first_difference.py runs/a

Two studies: of the first trials that differ, or of those that are named. One
study: one of its trials, and the same trained here now.

Fingerprints, chains and sketches that both left give the narrowest interval;
within it both runs are trained again from their manifests, step by step, from
the newest checkpoint that was kept (--keep_checkpoints when training) or, where
none was, from the start. At the step where they part, B is given A's batch,
labels, keys, hyperparameters, schedule, weights … one at a time: the swap that
takes the difference away shows the cause. Where the records of a run are not
what its manifest gives here, the interval is all that can be said.

Exit status: 0 they do not differ, 1 they do, 2 a mistake.
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
    parser = command.Parser("first_difference", __doc__ or "")
    parser.add_argument("a", type=Path, help="folder of a finished study")
    parser.add_argument("b", type=Path, nargs="?", help="another one; default: A, trained now")
    parser.add_argument("--trial", default="", help="index of a trial, or ARM/SEED, of both")
    parser.add_argument("--trial_a", default="", help="the same, of A alone")
    parser.add_argument("--trial_b", default="", help="the same, of B alone")
    parser.add_own_files()
    parser.add_argument("--json", default="", help="also write what was found to this file")
    parser.add_argument(
        "--platform", default="auto", choices=command.PLATFORMS, help="where to run"
    )
    return parser.parse_args(arguments)


def main(told: argparse.Namespace) -> int:
    """Compares and prints; the exit status."""
    command.check_platform(told.platform)
    from convergence import compilation_cache
    from convergence.difference import finding, sides, telling
    from convergence.reporting import files

    if told.json and not Path(told.json).parent.is_dir():
        raise UserError(f"there is no folder {Path(told.json).parent}.", "json")
    if told.trial and (told.trial_a or told.trial_b):
        raise UserError("contradicts --trial_a and --trial_b; give it alone, or those.", "trial")
    if bool(told.trial_a) != bool(told.trial_b) and told.b is not None:
        raise UserError("needs --trial_b beside it (or give --trial for both).", "trial_a")
    if told.b is None and told.trial_b:
        raise UserError("there is no second study; give --trial.", "trial_b")
    compilation_cache.enable(say=command.say)
    own = userfile.given(told)
    a = sides.open_side(told.a, own)
    b = None if told.b is None else sides.open_side(told.b, own)
    first, second = told.trial_a or told.trial, told.trial_b or told.trial
    if b is None:
        one = other = a.trial(first or "0", "trial")
    elif first:
        one = a.trial(first, "trial_a" if told.trial_a else "trial")
        other = b.trial(second, "trial_b" if told.trial_b else "trial")
    else:
        one, other = finding.pair(a, b)
    found = finding.of_sides(a, b, one, other)
    names = (
        f"{told.a}, {a.name(one)}",
        f"{told.b}, {b.name(other)}" if b else "the same, trained here now",
    )
    apart = finding.apart_in(a, b, one, other) if b else []
    changed = finding.conditions(a, b)
    print(telling.text(found, *names, apart, changed))
    if told.json:
        content = telling.to_json(found, *names, apart, changed)
        files.write_text(Path(told.json), json.dumps(content, indent=2) + "\n")
    return command.DONE if found.same else command.FAULT


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    status: list[int] = []
    ended = command.guarded(
        lambda: status.append(main(given)), "first_difference", None, sys.argv[1:]
    )
    sys.exit(ended or status[0])
