"""Rows and what is done to them: loading, the outer and inner splits, corruption, preparation.

``load`` gives a `Dataset`; ``outer_split`` sets its test rows aside; ``make_view`` says what one
trial sees of the rest. The order of an epoch lives in ``convergence.data.order`` (pure JAX).
"""

from convergence.data.dataset import Dataset
from convergence.data.load import load
from convergence.data.splits import outer_split
from convergence.data.view import View, make_view

__all__ = ["Dataset", "View", "load", "make_view", "outer_split"]
