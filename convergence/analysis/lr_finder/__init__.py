"""Learning rates to start from: our rule, the rule as people tell it, and the published ones."""

from convergence.analysis.lr_finder.rule import FOUND, VERDICTS, Found, fine_rates, find, verdict
from convergence.analysis.lr_finder.runs import Runs

__all__ = ["FOUND", "VERDICTS", "Found", "Runs", "fine_rates", "find", "verdict"]
