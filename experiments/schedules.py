"""Should the learning rate come down during training, and along which schedule?

Command:  python -m experiments.schedules --dataset=digits --num_seeds=16
Cost:     schedules × 3 budgets × (6 rates × 4 tuning seeds + seeds) trials, one compilation; for
          --parts=optimizers the same again for each optimiser, each with a program of its own
Expect:   for each budget (--budgets) a table with one row a schedule: the rate that the tuning
          gave it (the best of the same number for every schedule, on seeds of its own), its mean
          on fresh seeds, its paired difference to --reference (cosine) with a corrected interval,
          whether it is no worse by the margin (claim 3e) and whether it beats the constant rate
          (claim 3b); whether linear decay to zero matches or beats cosine; a recommended schedule
          and rate, confirmed on unused seeds and test rows. --schedules names them (separate
          several with a semicolon); one of your own is written 0:1,500:0.1, or is a file, rates.csv
          or file.py:function.
          --parts=branch asks whether the setting's own schedule (--schedule; drop where that is
          constant) lowered the rate too early, held it too long or lowered it in time (claims 3c,
          3d): its run is continued from several points with the rate lowered earlier and later.
          A rate that is never lowered is asked about as --schedule=0:1.
"""

from __future__ import annotations

from convergence import flags
from convergence.flags import Options
from convergence.scheduling.wanted import EXTRA

PRESETS: flags.Presets = {
    "smoke": {
        "steps": 16,
        "num_seeds": 2,
        "hidden": (16,),
        "lanes": 64,
        "eval_every": 16,
        "num_rates": 2,
        "tuning_seeds": 1,
        "extensions": 1,
    },
    "quick": {"steps": 400, "num_seeds": 8, "tuning_seeds": 2, "num_rates": 5},
    "paper": {"steps": 1100, "num_seeds": 32},
}


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence.scheduling.run import run

    run(options)


if __name__ == "__main__":
    flags.launch(main, name="schedules", presets=PRESETS, default_preset="quick", extra=EXTRA)
