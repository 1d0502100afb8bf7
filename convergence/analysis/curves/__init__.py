"""The verdict on a training curve, from the curve alone (or beside its like)."""

from convergence.analysis.curves.judging import judge, judge_together
from convergence.analysis.curves.judgement import VERDICTS, Judgement, Kind, Range

__all__ = ["VERDICTS", "Judgement", "Kind", "Range", "judge", "judge_together"]
