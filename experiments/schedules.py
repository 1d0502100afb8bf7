"""Should the learning rate come down during training, and along which schedule?

Command:  python -m experiments.schedules --dataset=digits --num_seeds=16
Cost:     schedules × seeds trials, one compilation
Expect:   one row a schedule: its difference to the constant rate, paired over seeds, with a
          corrected interval and a verdict (claim 3b); all schedules start from the same peak rate.
          --schedules names them; a schedule of your own is written 0:1,500:0.1 (separate several
          with a semicolon).
"""

from __future__ import annotations

from convergence import flags, names
from convergence.errors import UserError, unknown_name
from convergence.flags import Options

PRESETS: flags.Presets = {
    "smoke": {"steps": 20, "num_seeds": 2, "hidden": (16,), "lanes": 32},
    "quick": {"steps": 600, "num_seeds": 8},
    "paper": {"steps": 1100, "num_seeds": 32},
}
EXTRA = {"schedules": ("", "schedules to compare with constant, separated by ; (empty: all)")}


def chosen(text: str) -> list[str]:
    """The schedules that --schedules names, without constant."""
    listed = [part.strip() for part in text.split(";") if part.strip()]
    for one in listed:
        if ":" not in one and one not in names.SCHEDULES:
            raise unknown_name(one, names.SCHEDULES, "schedules", "schedule")
    found = [one for one in listed or names.SCHEDULES if one != "constant"]
    if not found:
        raise UserError("name at least one schedule other than constant.", "schedules")
    return list(dict.fromkeys(found))


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence import laboratory as lab
    from convergence import wording
    from convergence.appraisal import decide
    from convergence.challenges import Comparison
    from convergence.reporting import tables
    from convergence.spec import Arm

    schedules = chosen(options.extra["schedules"])
    arms = [Arm.of(f"schedule={one}", schedule=one) for one in ("constant", *schedules)]

    def claims(laboratory: lab.Laboratory) -> list[lab.Claim]:
        return [
            laboratory.claim(
                "3b",
                f"{one} beats the constant rate",
                f"schedule={one}",
                "schedule=constant",
                "schedules",
                challenge=3,
            )
            for one in schedules
        ]

    question = "Should the learning rate come down during training, and along which schedule?"
    with lab.open_laboratory(options, question, arms, claims) as laboratory:
        if laboratory is None:
            return
        history = laboratory.conduct(laboratory.study, laboratory.workdir, "schedules")
        told = decide(history, [Comparison(claim) for claim in claims(laboratory)])
        verdicts = [verdict for _, verdict in told if verdict]
        metric = laboratory.study.run.metric
        rows = lab.arm_table(history, metric, "clean")
        parts = [
            f"{metric} on clean validation rows (intervals speak of seeds)\n"
            + wording.arm_text(rows),
            "\n".join([*wording.arm_notes(rows), wording.warnings_text(verdicts)]).strip(),
            f"Differences to the constant rate, margin"
            f" {tables.number(laboratory.study.run.margin)}\n" + wording.verdict_text(verdicts),
        ]
        summary = {"arms": rows, "verdicts": [verdict.to_json() for verdict in verdicts]}
        laboratory.close(summary, "\n\n".join(part for part in parts if part))


if __name__ == "__main__":
    flags.launch(main, name="schedules", presets=PRESETS, default_preset="quick", extra=EXTRA)
