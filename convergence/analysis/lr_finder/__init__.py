"""Learning rates to start from: our rule, the rule as people tell it, and published ones."""

from convergence.analysis.lr_finder.outlook import FOUND, VERDICTS, fine_rates, verdict
from convergence.analysis.lr_finder.rule import Found, find
from convergence.analysis.lr_finder.runs import Runs

__all__ = ["FOUND", "VERDICTS", "Found", "Runs", "find", "fine_rates", "verdict"]
