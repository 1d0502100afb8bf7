"""Verifies that a finished study's trials can be trained again to the same bits.

    python scripts/verify.py runs/train                # a sample of its trials
    python scripts/verify.py runs/train --trial=3,17   # these
    python scripts/verify.py runs/train --sample=20

Single trials are trained alone from the manifest, and every digest that the
study left of them is compared: fingerprints of the whole state, a chain over
every step, sketches. Then they are trained in other ways that may not matter:
among neighbours, by other workers, cut at other steps, stopped and resumed, on
forced host devices. What was found is printed and left in the workdir as
certificate.json, for the report, too; what could not be checked is named as
unverified. An earlier certificate is void as soon as the check begins.

Exit status: 0 all verified, 1 something differs or is unverified, 2 a mistake.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from convergence import command, userfile
from convergence.errors import UserError


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the process with status 2."""
    parser = command.Parser("verify", __doc__ or "")
    parser.add_argument("workdir", type=Path, help="folder of a finished study")
    parser.add_argument("--trial", default="", help="indices of trials, 3 or 3,17, or ARM/SEED")
    parser.add_argument("--sample", type=int, default=None, help="how many trials (default 4)")
    parser.add_own_files()
    parser.add_argument(
        "--platform", default="auto", choices=command.PLATFORMS, help="where to run"
    )
    parser.add_argument("--records", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def chosen(told: argparse.Namespace, study: Any) -> list[int]:
    """The trials that --trial names; raises UserError for one that does not exist."""
    from convergence.replay import trial_named

    if told.sample is not None and told.trial:
        raise UserError("contradicts --trial; give one of them.", "sample")
    if told.sample is not None and told.sample < 1:
        raise UserError("is a number of trials, 1 or more.", "sample")
    named = [part.strip() for part in told.trial.split(",") if part.strip()]
    arms = {arm.name for arm in study.study.arms}
    arm, _, seed = told.trial.rpartition("/")
    if arm in arms and seed.isdecimal():  # an arm's name may hold commas
        named = [told.trial]
    if told.trial and not named:
        raise UserError("names no trial.", "trial")
    return sorted({trial_named(name, study.study, told.workdir, "trial") for name in named})


def opened(told: argparse.Namespace) -> Any:
    """The study to verify; where its records or data cannot be used, no certificate stays valid."""
    from convergence import replay, verification
    from convergence.reporting import certificate
    from convergence.reporting.workdir import Workdir

    try:
        return replay.open_replay(told.workdir, userfile.given(told))
    except UserError as error:
        workdir = Workdir.open(told.workdir)  # raises where there is no study of ours
        if error.field not in userfile.OWN and certificate.read(workdir):
            void = verification.withdrawn(workdir, str(error))
            workdir.write_json(certificate.CERTIFICATE, void)
        raise


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return (text if len(text) <= 60 else f"{text[:12]}…") or "nothing"


def main(told: argparse.Namespace) -> int:
    """Verifies, prints and writes the certificate; the exit status."""
    command.check_platform(told.platform)
    from convergence import compilation_cache, replay, verification
    from convergence.reporting import files, tables
    from convergence.reporting.certificate import CERTIFICATE

    compilation_cache.enable(say=command.say)
    study = opened(told)
    trials = chosen(told, study)
    if told.records:
        trainer = replay.Retrainer(study)
        arrays = replay.joined([trainer.run([trial]) for trial in trials])
        files.write_npz(Path(told.records), arrays)
        return command.DONE
    trials = trials or verification.sample(study, replay.Retrainer(study), told.sample or 4)
    # Whoever is stopped from here on has verified nothing: an earlier certificate does not stay.
    study.saved.workdir.write_json(CERTIFICATE, verification.certificate(study, trials, []))
    again = [__file__, str(told.workdir), f"--platform={told.platform}"]
    again += [f"--{name}={getattr(told, name)}" for name in userfile.OWN]
    verifier = verification.Verifier(
        study, trials, verification.in_process(again), lambda line: command.say(f"… {line}")
    )
    try:
        checks = verifier.checks()
    except KeyboardInterrupt:
        command.say("\nverify: interrupted; the certificate says that nothing is verified.")
        return command.INTERRUPTED
    rows = [(check.name, check.status, check.told) for check in checks]
    print(tables.text(rows, ("invariance", "result", "on what it rests")))
    for field, was, here in study.drift():
        print(f"Not as it was trained: {field} was {_short(was)}, is {_short(here)}.")
    certificate = verification.certificate(study, trials, checks)
    study.saved.workdir.write_json(CERTIFICATE, certificate)
    wrong = [check for check in checks if check.status != "verified"]
    print(verification.sentence(study, trials, checks))
    print(f"Certificate: {told.workdir / CERTIFICATE}")
    return command.FAULT if wrong else command.DONE


if __name__ == "__main__":
    given = parsed(sys.argv[1:])
    command.set_environment(given.platform)
    status: list[int] = []
    ended = command.guarded(lambda: status.append(main(given)), "verify", None, sys.argv[1:])
    sys.exit(ended or status[0])
