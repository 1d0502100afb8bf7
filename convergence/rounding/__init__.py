"""Rounding or bug: trials' first steps from a common state, and repeated rounding around them.

A difference that rounding makes starts at the last bits and grows as the training makes it grow; a
bug's starts at its own size. So what decides is the early growth from a common state, held against
an envelope of runs whose last bits are moved at random at every step (`training.jitter`). One-bit
twins are no stand-in: they round once, and their difference may heal. How far the bits are moved is
set by what a change of vmap's width does to the same trials.
"""

from __future__ import annotations

from collections.abc import Sequence

from convergence.analysis.rounding import Judgement, judge
from convergence.analysis.trajectory import OFFSETS
from convergence.replay import Retrainer
from convergence.rounding.courses import (
    HORIZON,
    Bare,
    Course,
    Setup,
    course,
    follow,
    load,
    save,
    starts_of,
    trace,
    trajectory,
)
from convergence.rounding.repeated import Calibration, Jittered, calibrate, envelope

__all__ = [
    "HORIZON",
    "OFFSETS",
    "Bare",
    "Calibration",
    "Course",
    "Jittered",
    "Setup",
    "calibrate",
    "course",
    "envelope",
    "examine",
    "follow",
    "load",
    "save",
    "starts_of",
    "trace",
    "trajectory",
]


def examine(a: Retrainer, b: Retrainer, trials: Sequence[int], draws: int = 4) -> Judgement:
    """Whether b's difference from a is rounding, both trained here; trials have one index in both.

    The studies' programs must have the same params.
    """
    other = trajectory(b, trials, against=trace(a, trials))
    base = trajectory(a, trials, starts=other.starts)
    return judge(base, other, envelope(a, trials, starts=other.starts, draws=draws))
