"""Which of the five challenges does training on this data meet, and what should be changed?

Command:  python -m experiments.five_challenges --dataset=file --data_path=my.csv --target=y
Cost:     about 31 arms × seeds, three programs to compile; --preset=quick takes one to three
          minutes on two cores for small tables
Expect:   one table – claim, effect with interval, verdict – with one primary claim a challenge
          (weights, loss, learning rate, randomness, useful dissonance), and a recommended setting
          that was confirmed on unused seeds and on the test split, or withdrawn.
"""

from __future__ import annotations

from convergence import flags
from convergence.errors import UserError
from convergence.flags import Options
from convergence.sources import effective

PRESETS: flags.Presets = {
    "smoke": {"steps": 16, "num_seeds": 2, "hidden": (16,), "lanes": 64, "eval_every": 8},
    "quick": {"steps": 500, "num_seeds": 8},
    "paper": {"steps": 1100, "num_seeds": 32},
}


def main(options: Options) -> None:
    """Runs the experiment."""
    for name in ("learning_rate", "init_scale"):
        if options.setting.get(name) == 0:
            raise UserError("must be above 0 here: the comparisons multiply it.", name)
    if not effective(options.setting, options.run.vary):
        raise UserError(
            "must name a source that has an effect here: seeds that share all of them are copies.",
            "vary",
        )
    from convergence.five import run

    run(options)


if __name__ == "__main__":
    flags.launch(main, name="five_challenges", presets=PRESETS, default_preset="quick")
