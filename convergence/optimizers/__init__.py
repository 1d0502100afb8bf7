"""Optimisers from optax, with every number a traced argument of the step.

The transformation is built anew inside each traced step from that step's rate and
hyperparameters, so that a change of a number recompiles nothing and a single trial runs the same
arithmetic as one among many.

Weight decay applies to kernels alone (leaves with two axes or more): biases and the scales of
normalisation layers are not decayed. What it does differs:

* L2, ``weight_decay * kernel`` added to the gradient: sgd, momentum, nesterov, adam, rmsprop; also
  schedule_free_sgd, dog, dowg, cocob and mechanize_*, whose estimates so see the penalty.
* Decoupled, ``rate * weight_decay * kernel`` taken off beside the step (Loshchilov & Hutter,
  2019): adamw, lion, muon, schedule_free_adamw (off z, for the kernel at y). In prodigy and
  dadapt_adamw the rate in this is the one they found, and in momo and momo_adam it is the largest
  rate allowed, in the proximal form ``rate * weight_decay / (1 + rate * weight_decay)``.

What each sees of the params: most work element by element, so that packing (`packing`) changes
nothing. prodigy, dadapt_adamw, dog, dowg, mechanize_*, momo and momo_adam take norms and products
over all params of the model at once, which are the same packed. muon alone works on single
kernels and is given the tree. Gradients are clipped by the caller, before all this: a clipped
gradient is what an estimate of the rate is made from (and what prodigy is reported to fail on).
"""

from __future__ import annotations

from convergence import names
from convergence.errors import unknown_name
from convergence.optimizers import averaging, matrices, plain, rate_free
from convergence.optimizers.rule import Optimizer, Rule, assemble
from convergence.packing import Packing

__all__ = ["OPTIMIZERS", "Optimizer", "build_optimizer"]

OPTIMIZERS: dict[str, Rule] = {**plain.RULES, **matrices.RULES, **averaging.RULES}
OPTIMIZERS |= rate_free.RULES


def build_optimizer(name: str, packing: Packing | None = None) -> Optimizer:
    """The optimiser of a name (one of `names.OPTIMIZERS`).

    ``hyper`` must hold momentum (momentum, nesterov, muon, momo; rmsprop's decay), beta1 and beta2
    (adam and all that is made of it; lion; of schedule_free_* beta1 is the interpolation), epsilon
    (adam and all that is made of it; rmsprop) and weight_decay.

    Args:
        name: of the table.
        packing: how the params that it will be given are laid out; None for a tree.

    Raises:
        UserError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise unknown_name(name, names.OPTIMIZERS, "optimizer", "optimizer")
    return assemble(OPTIMIZERS[name], packing)
