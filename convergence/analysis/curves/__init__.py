"""The verdict on a training curve, from the curve alone (or beside its like)."""

from convergence.analysis.curves.judgement import VERDICTS, Judgement, Kind, Range
from convergence.analysis.curves.judging import extrapolate, judge
from convergence.analysis.curves.together import beside, judge_together

__all__ = [
    "VERDICTS",
    "Judgement",
    "Kind",
    "Range",
    "beside",
    "extrapolate",
    "judge",
    "judge_together",
]
