"""From which learning rate should training start?

Command:  python -m experiments.lr_finder --dataset=digits --optimizer=sgd --horizon=5000
Cost:     about 35 rates × seeds, runs of --steps (200) at most, two programs to compile; the
          rate-free optimisers (--norivals leaves them out) one program each; the confirmation two
          settings at the horizon
Expect:   a rate with an interval, the rate at which runs diverge, and the margin between, in one
          sentence; runs at constant rates from far too low (--low) to divergence (--high; both are
          found if not given), then finer about the best. --horizon is the length of run that the
          rate is meant for. Beside it what other rules suggest – raising the rate until runs
          diverge and stepping back, the published rules of one-run ramps, optimisers without a
          tuned rate – and what they lose; claims 1a and 3a; the rate against the default on unused
          seeds. Your own training is not touched: every run starts anew from its seed.
"""

from __future__ import annotations

from convergence import flags
from convergence.finder.wanted import EXTRA
from convergence.flags import Options

PRESETS: flags.Presets = {
    "smoke": {
        "steps": 32,
        "num_seeds": 2,
        "hidden": (16,),
        "lanes": 64,
        "eval_every": 16,
        "low": 1e-4,
        "high": 10.0,
        "rates": 6,
        "rivals": False,
    },
    "quick": {"steps": 200, "num_seeds": 8},
    "paper": {"steps": 300, "num_seeds": 32},
}


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence.finder.run import run

    run(options)


if __name__ == "__main__":
    flags.launch(main, name="lr_finder", presets=PRESETS, default_preset="quick", extra=EXTRA)
