"""One run an arm: percentile bands and histograms over its seeds; and a run of one trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convergence.reporting.tensorboard.hparams import Session, session_summaries
from convergence.reporting.tensorboard.run_names import EVENT_FILES, safe_name, trial_name
from convergence.reporting.tensorboard.writer import Writer

BANDS = ("mean", "median", "p10", "p90")


def write_arm(
    folder: str | Path,
    arm: str,
    steps: Any,
    bands: Mapping[str, Mapping[str, Any]],
    text: str = "",
    *,
    samples: Mapping[str, Any] | None = None,
    session: Session | None = None,
) -> Path:
    """Writes one arm's curves as one run, ``folder/ARM``; written again, it replaces the earlier.

    Args:
        folder: the workdir's ``tb`` folder.
        arm: the arm's name; its folder is `safe_name` of it.
        steps: [points] steps.
        bands: tag → statistic (mean, median, p10, p90, …) → [points] values; ``tag/statistic`` is
            the tag on TensorBoard. Points that are NaN are left out.
        text: Markdown about the arm, shown under Text.
        samples: tag → [seeds, points] values, whose distribution is shown as histograms.
        session: the arm's line under HParams.

    Returns:
        The run's folder.

    Raises:
        StorageError: the system refuses the write.
    """
    steps = np.asarray(steps)
    curves = {
        f"{tag}/{statistic}": np.asarray(values, dtype=np.float64)
        for tag, statistics in bands.items()
        for statistic, values in statistics.items()
    }
    for tag, values in (curves | dict(samples or {})).items():
        if np.shape(values)[-1:] != steps.shape:
            raise ValueError(f"{tag} has shape {np.shape(values)}, its steps {steps.shape}")
    run = Path(folder) / safe_name(arm)
    with _replacing(run) as writer:
        for summary in session_summaries(arm, session) if session else ():
            writer.summary(summary, 0)
        if text:
            writer.text("setting", text)  # listed after the report
        for at, step in enumerate(steps):
            _point(writer, int(step), {tag: values[at] for tag, values in curves.items()})
            for tag, values in (samples or {}).items():
                writer.histogram(tag, np.asarray(values)[:, at], int(step))
    return run


def write_trial(
    folder: str | Path,
    arm: str,
    replica: int,
    curves: Mapping[str, tuple[Any, Any]],
) -> Path:
    """Writes one trial's curves as one run, ``folder/trials/ARM/seed_0003``; replaces the earlier.

    Args:
        curves: tag → ([points] steps, [points] values). Points that are NaN are left out.

    Returns:
        The run's folder.
    """
    run = Path(folder) / trial_name(arm, replica)
    points: dict[int, dict[str, float]] = {}
    for tag, (steps, values) in curves.items():
        for step, value in zip(steps, values):
            points.setdefault(int(step), {})[tag] = float(value)
    with _replacing(run) as writer:
        for step in sorted(points):
            _point(writer, step, points[step])
    return run


def _replacing(run: Path) -> Writer:
    """A writer into a run's folder, emptied of earlier event files."""
    earlier = list(run.glob(EVENT_FILES + "*"))
    for path in earlier:
        path.unlink()
    # A TensorBoard that is running still holds what the earlier files said.
    return Writer(run, purge_step=0 if earlier else None)


def _point(writer: Writer, step: int, values: Mapping[str, float]) -> None:
    writer.scalars(step, {tag: value for tag, value in values.items() if not np.isnan(value)})
