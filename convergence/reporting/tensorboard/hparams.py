"""HParams: the experiment's hyperparameters with their domains, and a session for each arm.

`tensorboard.plugins.hparams.api` needs TensorFlow, and the helpers that do not leave out which
hyperparameters differ; so the experiment's message is built here.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

Value = bool | int | float | str
MOST_DISCRETE = 8  # of more numbers the dashboard shows no list; an interval is their domain


@dataclasses.dataclass(frozen=True)
class Metric:
    """A scalar by which arms are compared: its last value in an arm's run.

    Attributes:
        tag: the scalar's.
        title: the column's.
        split: whose rows it was taken on.
    """

    tag: str
    title: str
    split: Literal["training", "validation", "unknown"] = "unknown"


@dataclasses.dataclass(frozen=True)
class Session:
    """An arm as HParams shows it.

    Attributes:
        values: hyperparameter → value.
        status: ``failure`` where a seed diverged.
    """

    values: Mapping[str, Value]
    status: Literal["running", "success", "failure"] = "running"


def _info(name: str, values: Sequence[Value]) -> Any:
    """A hyperparameter's message, with its domain: what values it takes over all arms."""
    from tensorboard.plugins.hparams import api_pb2

    distinct = list(dict.fromkeys(values))
    info = api_pb2.HParamInfo(name=name, differs=len(distinct) > 1)
    if all(isinstance(value, bool) for value in distinct):
        info.type = api_pb2.DATA_TYPE_BOOL
        info.domain_discrete.extend([False, True] if len(distinct) > 1 else distinct)
    elif not any(isinstance(value, bool | str) for value in distinct):
        info.type = api_pb2.DATA_TYPE_FLOAT64
        numbers = sorted(float(value) for value in distinct)
        if len(numbers) > MOST_DISCRETE:
            info.domain_interval.min_value = numbers[0]
            info.domain_interval.max_value = numbers[-1]
        else:
            info.domain_discrete.extend(numbers)
    else:
        info.type = api_pb2.DATA_TYPE_STRING
        info.domain_discrete.extend(sorted(str(value) for value in distinct))
    return info


def experiment_summary(
    hyperparameters: Mapping[str, Sequence[Value]], metrics: Sequence[Metric]
) -> Summary:
    """The experiment's configuration.

    Args:
        hyperparameters: name → its value in each arm.
        metrics: the table's further columns.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    splits = {
        "training": api_pb2.DATASET_TRAINING,
        "validation": api_pb2.DATASET_VALIDATION,
        "unknown": api_pb2.DATASET_UNKNOWN,
    }
    experiment = api_pb2.Experiment(
        hparam_infos=[_info(name, values) for name, values in hyperparameters.items()],
        metric_infos=[
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(tag=metric.tag),
                display_name=metric.title,
                dataset_type=splits[metric.split],
            )
            for metric in metrics
        ],
    )
    data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    return _summary(metadata.EXPERIMENT_TAG, data)


def _summary(tag: str, data: Any) -> Summary:
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata

    summary = summary_pb2.Summary()
    about = metadata.create_summary_metadata(data)
    summary.value.add(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
    return summary


def session_summaries(arm: str, session: Session) -> list[Summary]:
    """What marks an arm's run as a session: its values, and how it ended if it did."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

    summaries = [summary_v2.hparams_pb(dict(session.values), trial_id=arm)]
    if session.status != "running":
        success = session.status == "success"
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE,
            end_time_secs=time.time(),
        )
        data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        summaries.append(_summary(metadata.SESSION_END_INFO_TAG, data))
    return summaries
