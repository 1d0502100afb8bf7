"""TensorBoard event files without TensorFlow: one run an arm, with bands and histograms over seeds.

Values are written as the plugins' tensors; read them back with
``EventAccumulator(folder, {"tensors": 0})``.
"""

from convergence.reporting.tensorboard.bands import BANDS, write_arm, write_trial
from convergence.reporting.tensorboard.command import command
from convergence.reporting.tensorboard.hparams import Metric, Session, Value
from convergence.reporting.tensorboard.images import Picture
from convergence.reporting.tensorboard.root import write_overview, write_report
from convergence.reporting.tensorboard.run_names import (
    MOST_SELECTED,
    PROGRESS,
    run_count,
    safe_name,
    trial_name,
)
from convergence.reporting.tensorboard.writer import Writer

__all__ = [
    "BANDS",
    "MOST_SELECTED",
    "PROGRESS",
    "Metric",
    "Picture",
    "Session",
    "Value",
    "Writer",
    "command",
    "run_count",
    "safe_name",
    "trial_name",
    "write_arm",
    "write_overview",
    "write_report",
    "write_trial",
]
