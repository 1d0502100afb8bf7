"""The weights that a run starts from: initialisers, the output bias, the one-bit twin."""

from convergence.weights.drawing import INITIALISERS, check, initialise
from convergence.weights.flipped import first_kernel, twin
from convergence.weights.scaling import LSUV, ROWS, unit_variance

__all__ = [
    "INITIALISERS",
    "LSUV",
    "ROWS",
    "check",
    "first_kernel",
    "initialise",
    "twin",
    "unit_variance",
]
