"""Which initial weights and biases let the descent get going, and what stops it?

Command:  python -m experiments.weights --dataset=digits --num_seeds=8
Cost:     about 60 arms × seeds, a program for each activation and depth; --preset=quick takes two
          to three minutes on two cores for small networks; --parts asks for less
Expect:   initialisers (--inits, your own as path/to/file.py:function), biases, non-linearities and
          depths (--depths) held against your own start: score, steps to a target set by your own
          start's descent, and a verdict; initial scale × learning rate: diverged, useful or too
          slow; layer by layer over training: activations, gradients, dead and saturated units,
          update ratio; the loss around where two descents end, and the barrier between ends;
          claims 1a, 1b and 1c; a recommended start, confirmed on unused seeds, or none.
"""

from __future__ import annotations

from convergence import flags
from convergence.flags import Options
from convergence.initial.wanted import EXTRA

PRESETS: flags.Presets = {
    "smoke": {
        "steps": 24,
        "num_seeds": 2,
        "hidden": (8,),
        "lanes": 64,
        "eval_every": 12,
        "inits": "zeros,normal*0.05,lsuv",
        "activations": "relu",
        "scales": "0.1,10",
        "rates": "0.1,10",
        "depths": "2",
        "width": 8,
        "probed": 1,
    },
    "quick": {"steps": 500, "num_seeds": 8},
    "paper": {"steps": 1100, "num_seeds": 32},
}


def main(options: Options) -> None:
    """Runs the experiment."""
    from convergence.initial.run import run

    run(options)


if __name__ == "__main__":
    flags.launch(main, name="weights", presets=PRESETS, default_preset="quick", extra=EXTRA)
