"""The root of all runs: what belongs to no arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convergence.reporting.tensorboard.hparams import Metric, Value, experiment_summary
from convergence.reporting.tensorboard.images import Picture, image_summary
from convergence.reporting.tensorboard.writer import Writer

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

# A new file of a run purges its earlier ones from its own first step on: the report must not purge
# the overview.
_OVERVIEW, _REPORT = 0, 1


def write_overview(
    folder: str | Path,
    tags: Iterable[str],
    hyperparameters: Mapping[str, Sequence[Value]] | None = None,
    metrics: Sequence[Metric] = (),
) -> None:
    """Writes how runs are to be shown: the layout of the bands' charts, and HParams' columns.

    Args:
        folder: the workdir's ``tb`` folder.
        tags: of the bands that `write_arm` writes; each has a chart of its mean within p10–p90.
        hyperparameters: name → its value in each arm.
        metrics: scalars by which arms are compared.

    Raises:
        StorageError: the system refuses the write.
    """
    with Writer(folder, purge_step=_OVERVIEW) as writer:
        writer.summary(_layout(tags), _OVERVIEW)
        if hyperparameters:
            writer.summary(experiment_summary(hyperparameters, metrics), _OVERVIEW)


def _layout(tags: Iterable[str]) -> Summary:
    """A custom-scalars layout; the plugin's own helper for its summary needs TensorFlow."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util import tensor_util

    series = layout_pb2.MarginChartContent.Series
    charts = [
        layout_pb2.Chart(
            title=tag,
            margin=layout_pb2.MarginChartContent(
                series=[series(value=f"{tag}/mean", lower=f"{tag}/p10", upper=f"{tag}/p90")]
            ),
        )
        for tag in tags
    ]
    # The dashboard shows the last chart first.
    category = layout_pb2.Category(title="bands over seeds", chart=charts[::-1])
    layout = layout_pb2.Layout(category=[category]).SerializeToString()
    summary = summary_pb2.Summary()
    summary.value.add(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=tensor_util.make_tensor_proto(layout, dtype=np.object_),
    )
    return summary


def write_report(
    folder: str | Path,
    texts: Mapping[str, str],
    pictures: Mapping[str, Picture | bytes] | None = None,
) -> None:
    """Writes a report's tables and figures; an earlier report is replaced.

    Args:
        folder: the workdir's ``tb`` folder.
        texts: tag → Markdown.
        pictures: tag → figure, or its PNG bytes.

    Raises:
        ValueError: a figure is not a PNG file.
        StorageError: the system refuses the write.
    """
    summaries = [
        image_summary(tag, one if isinstance(one, Picture) else Picture(one))
        for tag, one in (pictures or {}).items()
    ]
    with Writer(folder, purge_step=_REPORT) as writer:
        for tag, markdown in texts.items():
            writer.text(tag, markdown, _REPORT)
        for summary in summaries:
            writer.summary(summary, _REPORT)
