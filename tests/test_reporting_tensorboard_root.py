"""The root of all runs: layout, HParams' columns, and the report's texts and figures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import boards
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2

from convergence.reporting.tensorboard import (
    Metric,
    Picture,
    Session,
    write_arm,
    write_overview,
    write_report,
)
from convergence.reporting.tensorboard.hparams import MOST_DISCRETE, experiment_summary
from convergence.reporting.tensorboard.images import size


def png(width: int = 3, height: int = 2) -> bytes:
    """A grey PNG file, written by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\x00" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def layout(folder: Path) -> layout_pb2.Layout:
    ((_, content),) = boards.read(folder)["custom_scalars__config__"]
    return layout_pb2.Layout.FromString(content)


def test_layout_of_margin_charts(tmp_path: Path) -> None:
    """Protects the bands: a chart a tag, of its mean within p10–p90, by the bands' own tags."""
    write_overview(tmp_path, ["loss/train", "accuracy/validation"])
    assert boards.plugins(tmp_path) == {"custom_scalars__config__": "custom_scalars"}
    (category,) = layout(tmp_path).category
    assert [chart.title for chart in category.chart] == ["accuracy/validation", "loss/train"]
    (series,) = category.chart[1].margin.series
    told = (series.value, series.lower, series.upper)
    assert told == ("loss/train/mean", "loss/train/p10", "loss/train/p90")


def test_domains(tmp_path: Path) -> None:
    """Protects HParams: values that can be listed are listed, many numbers are an interval."""
    rates = [0.1 * k for k in range(MOST_DISCRETE + 1)]
    columns = {
        "rate": rates,
        "width": [16, 8, *[16] * (len(rates) - 2)],
        "loss": ["mse", "mae", *["mse"] * (len(rates) - 2)],
        "twin": [False, True, *[False] * (len(rates) - 2)],
        "nesterov": [True] * len(rates),
        "mixed": ["a", 3, *["a"] * (len(rates) - 2)],
    }
    write_overview(tmp_path, ["loss"], columns, [Metric("loss/mean", "loss", "training")])
    experiment = boards.experiment(tmp_path)
    infos = {info.name: info for info in experiment.hparam_infos}
    assert list(infos) == list(columns)
    interval = infos["rate"].domain_interval
    assert (interval.min_value, interval.max_value) == (0.0, pytest.approx(max(rates)))
    assert infos["rate"].type == infos["width"].type == api_pb2.DATA_TYPE_FLOAT64
    assert list(infos["width"].domain_discrete) == [8, 16]
    assert infos["loss"].type == infos["mixed"].type == api_pb2.DATA_TYPE_STRING
    assert list(infos["loss"].domain_discrete) == ["mae", "mse"]
    assert list(infos["mixed"].domain_discrete) == ["3", "a"]
    assert infos["twin"].type == api_pb2.DATA_TYPE_BOOL
    assert list(infos["twin"].domain_discrete) == [False, True]
    assert list(infos["nesterov"].domain_discrete) == [True]
    assert [name for name, info in infos.items() if not info.differs] == ["nesterov"]
    (metric,) = experiment.metric_infos
    assert (metric.name.tag, metric.display_name) == ("loss/mean", "loss")
    assert metric.dataset_type == api_pb2.DATASET_TRAINING
    assert layout(tmp_path).category  # beside it, in the same folder


VALUES = st.one_of(
    st.lists(st.booleans(), min_size=1),
    st.lists(st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300), min_size=1, max_size=40),
    st.lists(st.text(max_size=20), min_size=1, max_size=40),
)


@given(VALUES)
def test_a_domain_holds_every_value(values: list[bool] | list[float] | list[str]) -> None:
    """Protects HParams' filters: no arm lies outside its hyperparameter's domain."""
    summary = experiment_summary({"x": values}, [])
    content = summary.value[0].metadata.plugin_data.content
    from tensorboard.plugins.hparams import plugin_data_pb2

    (info,) = plugin_data_pb2.HParamsPluginData.FromString(content).experiment.hparam_infos
    if info.WhichOneof("domain") == "domain_interval":
        low, high = info.domain_interval.min_value, info.domain_interval.max_value
        assert all(low <= value <= high for value in values)
    else:
        assert {float(v) if isinstance(v, int) else v for v in values} <= set(info.domain_discrete)
    assert info.differs == (len(set(values)) > 1)


@pytest.mark.parametrize(
    ("status", "code"),
    [("running", 0), ("success", api_pb2.STATUS_SUCCESS), ("failure", api_pb2.STATUS_FAILURE)],
)
def test_a_session_an_arm(status: str, code: int, tmp_path: Path) -> None:
    """Protects HParams' lines: an arm's values by their types, and how it ended."""
    told = {"rate": 0.1, "width": 8, "loss": "mse", "twin": True}
    run = write_arm(tmp_path, "a", [], {}, session=Session(told, status))  # type: ignore[arg-type]
    assert boards.session(run) == (told, code)


def test_report_beside_the_overview(tmp_path: Path) -> None:
    """Protects the root: a report leaves layout and columns alone, and replaces an earlier one."""
    write_overview(tmp_path, ["loss"], {"rate": [1.0]})
    write_report(tmp_path, {"report/arms": "old"}, {"figures/curves": png(9, 9)})
    pictures = {"figures/curves": Picture(png(), "Curves", "They *fall*."), "figures/b": png(5, 4)}
    write_report(tmp_path, {"report/arms": "| a |\n| --- |\n| 1 |"}, pictures)
    back = boards.read(tmp_path)
    assert back["report/arms"] == [(1, b"| a |\n| --- |\n| 1 |")]
    ((step, tensor),) = back["figures/curves"]
    assert step == 1
    assert list(tensor) == [b"3", b"2", png()]
    kinds = boards.plugins(tmp_path)
    assert kinds["figures/curves"] == kinds["figures/b"] == "images"
    assert kinds["report/arms"] == "text"
    assert layout(tmp_path).category
    assert boards.experiment(tmp_path).hparam_infos


def test_a_new_overview_replaces_the_old(tmp_path: Path) -> None:
    """Protects a study that is resumed: one layout, not two, and the old report gone with it."""
    write_overview(tmp_path, ["loss"])
    write_report(tmp_path, {"report/arms": "old"})
    write_overview(tmp_path, ["accuracy"])
    assert [chart.title for chart in layout(tmp_path).category[0].chart] == ["accuracy"]
    assert boards.read(tmp_path)["report/arms"] == []


def test_a_title_is_shown_with_its_sentence(tmp_path: Path) -> None:
    """Protects the figures: TensorBoard shows what each says."""
    write_report(tmp_path, {}, {"figures/curves": Picture(png(), "Curves", "They *fall*.")})
    about = boards.accumulator(tmp_path).SummaryMetadata("figures/curves")
    assert (about.display_name, about.summary_description) == ("Curves", "They *fall*.")


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(40), png()[:20]])
def test_what_is_no_figure_is_refused(content: bytes, tmp_path: Path) -> None:
    """Protects the image dashboard: it would show a broken picture; nothing is written."""
    with pytest.raises(ValueError, match="PNG"):
        write_report(tmp_path, {"a": "b"}, {"x": content})
    assert list(tmp_path.iterdir()) == []


def test_size_of_a_figure() -> None:
    """Protects the image dashboard: width before height."""
    assert size(png(640, 480)) == (640, 480)
    assert np.array(size(png())).tolist() == [3, 2]
