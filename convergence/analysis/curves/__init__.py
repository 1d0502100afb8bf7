"""The verdict on a training curve, from the curve alone (or beside its like)."""

from convergence.analysis.curves.company import Standing
from convergence.analysis.curves.judgement import VERDICTS, Judgement, Kind, Range
from convergence.analysis.curves.judging import extrapolate, judge, judge_together, stands

__all__ = [
    "VERDICTS",
    "Judgement",
    "Kind",
    "Range",
    "Standing",
    "extrapolate",
    "judge",
    "judge_together",
    "stands",
]
