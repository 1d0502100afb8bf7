"""Compares two finished studies, or one with itself trained again elsewhere.

    python scripts/compare.py runs/before runs/after
    python scripts/compare.py runs/before --python=/other/env/bin/python
    python scripts/compare.py runs/before --all --python=/other/env/bin/python

Two studies: are they the same in bits, equivalent in distribution, or different
– by how much, in the metric's unit and in seed-to-seed spreads? How far do the
predictions differ, against those of two seeds? Equivalent is what lies within a
margin: one spread over the first study's seeds, or --margin. Where nothing but
conditions differ: is it rounding, or a bug?

One study: it is trained again here, in a process of its own, under the one
condition that is named; its saved params are evaluated there, too, without
training. --all tries every condition (threads, devices, precision, compiler),
prints one table and leaves it in the workdir as migration.json and in tables/.
No compiled program is read from disk: none was made under another condition.

Exit status: 0 whatever the verdict, 2 a mistake, 1 a fault of the program.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command, userfile
from convergence.errors import UserError, unknown_name

TEXTS = (
    ("metric", "NAME", "what to compare (default: the studies' own)"),
    ("arm", "NAME", "this arm alone (two studies)"),
    ("other_arm", "NAME", "with this arm of the other study"),
    ("precision", "NAME", "bfloat16: of the forward pass; highest, …: of matrix products"),
)
NUMBERS = (
    ("sample", "train only the first N seeds again"),
    ("threads", "use N cores and threads"),
    ("devices", "force N host devices"),
)
REPEATED = (
    ("python", "PATH", "another environment's interpreter (may be repeated)"),
    ("xla_flag", "FLAG", "a flag of XLA's (may be repeated: all at once)"),
)
ONE_CONDITION = ("threads", "devices", "precision", "xla_flag")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("compare", __doc__ or "")
    add, hidden = parser.add_argument, argparse.SUPPRESS
    add("workdir", type=Path, help="folder of a finished study")
    add("other", type=Path, nargs="?", help="folder of another one")
    for name, shown, about in TEXTS:
        add(f"--{name}", metavar=shown, default="", help=about)
    parser.add_own_files()
    for name, about in NUMBERS:
        add(f"--{name}", metavar="N", type=int, default=0, help=about)
    for name, shown, about in REPEATED:
        add(f"--{name}", metavar=shown, action="append", default=[], help=about)
    add("--margin", metavar="X", type=float, default=0.0, help="in the metric's unit")
    add("--keep", metavar="PATH", type=Path, help="leave the studies trained again in this folder")
    add("--all", action="store_true", help="every condition: the migration audit")
    add("--json", action="store_true", help="print JSON instead of text")
    add("--no_cause", action="store_true", help="do not ask whether it is rounding or a bug")
    add("--platform", default="auto", choices=command.PLATFORMS, help="where to run")
    for name in ("--rerun", "--compute_dtype", "--cause", "--trials"):
        add(name, default="", help=hidden)
    add("--vmap", action="store_true", help=hidden)
    return parser.parse_args(arguments)


def check(told: argparse.Namespace) -> None:
    """Raises UserError for flags that contradict each other or make no sense."""
    from convergence.comparison.conditions import PRECISIONS

    if not 0 <= told.margin < math.inf:
        raise UserError("is a difference in the metric's unit, above 0.", "margin")
    for name in ("sample", "threads", "devices"):
        if getattr(told, name) < 0:
            raise UserError("is a number, 1 or more.", name)
    if told.precision and told.precision not in PRECISIONS:
        raise unknown_name(told.precision, PRECISIONS, "precision", "precision")
    alone = ("all", "python", "threads", "devices", "precision", "xla_flag", "sample", "keep")
    given = [name for name in alone if getattr(told, name)]
    if told.all and (one := [name for name in ONE_CONDITION if getattr(told, name)]):
        raise UserError("names one condition; --all tries its own. Leave one of them out.", one[0])
    if told.other and given:
        raise UserError("changes how one study is trained again; leave the other out.", given[0])
    if not told.other and (told.arm or told.other_arm or told.metric):
        field = "metric" if told.metric else "arm" if told.arm else "other_arm"
        raise UserError("is for two studies; give a second folder.", field)


def rerun(told: argparse.Namespace) -> None:
    """What a process under a condition does: trains the study again, evaluates its params."""
    from convergence.comparison import conditions

    if told.threads:
        conditions.use_cores(told.threads)  # before JAX is imported
    command.check_platform(told.platform)
    from convergence.comparison.rerun import changed, evaluate, retrain, width_of
    from convergence.replay import open_replay

    own = userfile.given(told)
    replay = open_replay(told.workdir, own)
    folder = Path(told.rerun)
    trials = [int(trial) for trial in filter(None, told.trials.split(","))]
    if told.cause in ("trace", "judge"):
        from convergence.comparison import cause

        getattr(cause, told.cause)(replay, trials, folder)
        return
    study = changed(replay.study, told.sample, told.compute_dtype)
    retrain(replay, study, folder, told.vmap)
    try:
        evaluate(replay, study, folder, own)
    except UserError as error:  # no params kept: the retrained study is worth having
        command.say(f"note: {error.sentence}")
    if told.cause == "follow":
        from convergence.comparison import cause

        cause.follow(replay, trials, folder, width_of(study) if told.vmap else 0)


def asked(told: argparse.Namespace, drifted: bool) -> list[Any]:
    """The conditions that the flags name; first of all none, where the study's are not today's."""
    from convergence.comparison.conditions import CONTROL, Condition, every, other_python

    if told.all:
        return list(every(told.python))
    found = [other_python(python) for python in told.python]
    if told.threads:
        found.append(Condition(f"threads: {told.threads}", threads=told.threads))
    if told.devices:
        found.append(Condition(f"devices: {told.devices}", devices=told.devices))
    if told.precision:
        found.append(Condition(f"precision: {told.precision}", precision=told.precision))
    if told.xla_flag:
        found.append(Condition(" ".join(told.xla_flag), xla_flags=tuple(told.xla_flag)))
    return [CONTROL, *found] if drifted or not found else found


def again(told: argparse.Namespace) -> None:
    """One study, trained again under the conditions that were asked for."""
    base = dict(os.environ)
    os.environ["JAX_PLATFORMS"] = "cpu"  # an accelerator is left to the processes that train
    from convergence.comparison import audit, compared, conditions, migration
    from convergence.comparison.side import Side
    from convergence.replay import open_replay
    from convergence.reporting import files

    if told.keep and told.keep.exists() and (not told.keep.is_dir() or any(told.keep.iterdir())):
        raise UserError(f"{told.keep} holds something; give a new folder.", "keep")
    side = Side(told.workdir)
    for python in [] if told.all else told.python:
        conditions.probe(python, side.study.setting.data.dataset)  # a mistake ends here
    drift = open_replay(told.workdir, userfile.given(told)).drift()
    passed = [f"--{name}={getattr(told, name)}" for name in (*userfile.OWN, "platform")]
    auditor = audit.Auditor(
        side,
        [str(Path(__file__).resolve()), str(told.workdir.resolve()), *passed],
        told.sample,
        told.margin,
        told.keep,
        base,
        not told.no_cause,
        lambda line: command.say(f"… {line}"),
    )
    found = auditor.audit(asked(told, bool(drift)))
    left = migration.write(found, side.saved.workdir) if told.all else []
    if told.json:
        print(json.dumps(files.plain(found.to_json()), indent=1, ensure_ascii=False))
        return
    print(migration.text(found))
    if len(found.outcomes) <= 2 and (last := found.outcomes[-1].compared):
        print("\n" + "\n".join(compared.lines(last)))
    for name in left:
        print(f"Written: {told.workdir / name}")


def two(told: argparse.Namespace) -> None:
    """Two finished studies."""
    from convergence.comparison.compared import compare, further, lines, wrapped
    from convergence.comparison.side import Side
    from convergence.reporting import files

    a, b = Side(told.workdir), Side(told.other)
    found = compare(a, b, told.margin, told.metric, told.arm, told.other_arm)
    cause = {} if told.no_cause else cause_of(told, a, b, found)
    if told.json:
        plain = files.plain(found.to_json() | {"cause": cause})
        print(json.dumps(plain, indent=1, ensure_ascii=False))
        return
    print("\n".join(lines(found)))
    if cause:
        print(wrapped(f"Rounding or bug? {cause['verdict']}: {cause['sentence']}"))
    if command_line := further(found, userfile.given(told)):
        print(command_line)


def cause_of(told: argparse.Namespace, a: Any, b: Any, found: Any) -> dict[str, Any]:
    """Rounding or bug, as plain values; empty where the question makes no sense."""
    from convergence.comparison.cause import not_asked, of_studies

    if not_asked(a, b, found):
        return {}
    command.say("… rounding or bug? repeated rounding is run around the first study")
    try:
        own = userfile.given(told)
        return dict(of_studies(a, b, found, own).to_json())
    except UserError as error:  # its data are gone, say: the rest was told
        return {"verdict": "cannot tell", "sentence": str(error)}


def main(told: argparse.Namespace) -> None:
    """Compares and prints."""
    check(told)
    if told.rerun:
        rerun(told)
    elif told.other is None:
        again(told)
    else:
        two(told)


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    sys.exit(command.guarded(lambda: main(given), "compare", None, sys.argv[1:]))
