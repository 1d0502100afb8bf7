"""Event files as TensorBoard's own readers see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

from convergence.history import History
from convergence.live import Live


def accumulator(folder: Path) -> EventAccumulator:
    """All of a run's events."""
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def read(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """Tag → steps and values of a run, HParams' empty tensors left out."""
    found = accumulator(folder)
    return {
        tag: [(e.step, make_ndarray(e.tensor_proto)[()]) for e in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
        if not tag.startswith("_hparams_")
    }


def plugins(folder: Path) -> dict[str, str]:
    """Tag → the plugin that shows it."""
    found = accumulator(folder)
    tags = found.Tags()["tensors"]
    return {tag: found.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags}


def hparams(folder: Path, tag: str) -> plugin_data_pb2.HParamsPluginData:
    """What a run tells the HParams plugin under one of its tags."""
    content = accumulator(folder).SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def experiment(folder: Path) -> api_pb2.Experiment:
    """HParams' configuration."""
    return hparams(folder, metadata.EXPERIMENT_TAG).experiment


def session(folder: Path) -> tuple[dict[str, Any], int]:
    """An arm's hyperparameters, and the status of its end (0: it has not ended)."""
    tags = accumulator(folder).Tags()["tensors"]
    values = {}
    for name, value in hparams(
        folder, metadata.SESSION_START_INFO_TAG
    ).session_start_info.hparams.items():
        values[name] = getattr(value, value.WhichOneof("kind"))
    ended = metadata.SESSION_END_INFO_TAG in tags
    info = hparams(folder, metadata.SESSION_END_INFO_TAG).session_end_info if ended else None
    return values, info.status if info else 0


def written(history: History, folder: Path, trials: int = 0) -> Path:
    """The event files of a finished study, as if it had been one block."""
    live = Live(history.plan, history.eval_steps.tolist(), folder, trials)
    live.ended(history.trials, history.arrays)
    live.close()
    return folder
