"""Verifies that a finished study's trials can be trained again to the same bits.

    python scripts/verify.py runs/train                # a sample of its trials
    python scripts/verify.py runs/train --trial=3,17   # these
    python scripts/verify.py runs/train --sample=20

Single trials are trained alone from the manifest, and every digest that the
study left of them is compared: fingerprints of the whole state, a chain over
every step, sketches. Then they are trained in other ways that may not matter:
among neighbours, by other workers, cut at other steps, stopped and resumed, on
forced host devices. What was found is printed and left in the workdir as
certificate.json; what could not be checked is named as unverified.

Exit status: 0 all verified, 1 something differs or is unverified, 2 a mistake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command
from convergence.errors import UserError


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("verify", __doc__ or "")
    parser.add_argument("workdir", type=Path, help="folder of a finished study")
    parser.add_argument("--trial", default="", help="indices of trials, 3 or 3,17")
    parser.add_argument("--sample", type=int, default=0, help="how many trials (default 4)")
    parser.add_argument("--model", default="", help="where your own model's file is, if it is one")
    parser.add_argument("--loss", default="", help="where your own loss' file is, if it is one")
    parser.add_argument(
        "--platform", default="auto", choices=command.PLATFORMS, help="where to run"
    )
    parser.add_argument("--records", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def chosen(told: argparse.Namespace, count: int) -> list[int]:
    """The trials that --trial names; raises UserError for one that does not exist."""
    if told.sample and told.trial:
        raise UserError("contradicts --trial; give one of them.", "sample")
    if told.sample < 0:
        raise UserError("is a number of trials, 1 or more.", "sample")
    trials = []
    for text in filter(None, (part.strip() for part in told.trial.split(","))):
        if not text.isdigit() or int(text) >= count:
            raise UserError(f"there is no trial {text!r}; give 0 to {count - 1}.", "trial")
        trials.append(int(text))
    return sorted(set(trials))


def main(told: argparse.Namespace) -> int:
    """Verifies, prints and writes the certificate; the exit status."""
    command.check_platform(told.platform)
    from convergence import compilation_cache, replay, verification
    from convergence.reporting import files, tables

    compilation_cache.enable(say=command.say)
    own = {"model": told.model, "loss": told.loss}
    study = replay.open_replay(told.workdir, own)
    trials = chosen(told, study.count)
    if told.records:
        trainer = replay.Retrainer(study)
        arrays = replay.joined([trainer.run([trial]) for trial in trials])
        files.write_npz(Path(told.records), arrays)
        return command.DONE
    trials = trials or verification.sample(study, replay.Retrainer(study), told.sample or 4)
    again = [__file__, str(told.workdir), f"--model={told.model}", f"--loss={told.loss}"]
    verifier = verification.Verifier(
        study, trials, verification.in_process(again), lambda line: command.say(f"… {line}")
    )
    checks = verifier.checks()
    rows = [(check.name, check.status, check.told) for check in checks]
    print(tables.text(rows, ("invariance", "result", "on what it rests")))
    certificate = verification.certificate(study, trials, checks)
    study.saved.workdir.write_json(verification.CERTIFICATE, certificate)
    wrong = [check for check in checks if check.status != "verified"]
    print(verification.sentence(study, trials, checks))
    print(f"Certificate: {told.workdir / verification.CERTIFICATE}")
    return command.FAULT if wrong else command.DONE


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    status: list[int] = []
    ended = command.guarded(lambda: status.append(main(given)), "verify", None, sys.argv[1:])
    sys.exit(ended or status[0])
