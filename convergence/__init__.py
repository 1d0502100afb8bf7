"""A laboratory for training runs: do they converge, to what, and would they do so again?

Layers, each importing only from those before it: ``errors``; ``spec``; ``randomness``; ``data``,
``models``, ``weights``, ``losses``, ``optimizers``, ``schedules``; ``training``; ``analysis``
(host side, no JAX); ``reporting``; ``study``; ``flags``. Importing the package changes no JAX
setting and imports nothing heavy.
"""

__version__ = "0.1.0"
