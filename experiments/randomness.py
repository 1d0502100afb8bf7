"""How much of a result is luck, whose luck is it, and does one rounding error matter?

Command:  python -m experiments.randomness --dataset=digits --num_seeds=16
Cost:     about 55 arms × seeds, one program to compile; --preset=quick takes two to four minutes
          on two cores for small networks; --parts asks for less
Expect:   the spread that each source of randomness makes alone, under several settings of the
          others, and its share of the variance; initialisations crossed with orders; twins that
          differ in one bit, over a grid of learning rates (--rates): how fast the difference
          grows, whether it heals, from which rate on it moves the result, beside the rate that
          trains fastest; the spread over seeds by dose of spoiled targets (--doses); how many
          seeds tell differences apart; claims 0a, 4a, 4b, 4c, 4e and 4g with verdicts.
"""

from __future__ import annotations

from convergence import flags
from convergence.flags import Options
from convergence.luck.wanted import EXTRA

PRESETS: flags.Presets = {
    "smoke": {
        "steps": 20,
        "num_seeds": 4,
        "hidden": (16,),
        "lanes": 64,
        "eval_every": 10,
        "settings": 2,
        "crossed": 2,
        "rates": "0.001,0.03",
        "doses": "0,0.3",
    },
    "quick": {"steps": 500, "num_seeds": 16},
    "paper": {"steps": 1100, "num_seeds": 64},
}


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence.luck.run import run

    run(options)


if __name__ == "__main__":
    flags.launch(main, name="randomness", presets=PRESETS, default_preset="quick", extra=EXTRA)
