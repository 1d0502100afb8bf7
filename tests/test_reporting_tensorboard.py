"""Event files as TensorBoard's own readers see them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginAccumulator,
)
from tensorboard.util.tensor_util import make_ndarray

from convergence.reporting import tensorboard
from convergence.reporting.files import StorageError
from convergence.reporting.tensorboard import Writer, safe_name, write_arm, write_layout


def read(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(e.step, make_ndarray(e.tensor_proto)[()]) for e in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def test_scalars_come_back(tmp_path: Path) -> None:
    """Protects the curves: every value at its step, under the scalars plugin, and packed."""
    tags = [f"layer{i}" for i in range(45)]
    with Writer(tmp_path) as writer:
        for step in range(3):
            writer.scalars(step, {tag: step + i for i, tag in enumerate(tags)}, wall_time=7.0)
        writer.scalars(3, {"odd": float("nan"), "big": 1e300})
        writer.flush()
    back = read(tmp_path)
    assert back["layer44"] == [(0, 44.0), (1, 45.0), (2, 46.0)]
    assert np.isnan(back["odd"][0][1])
    assert np.isinf(back["big"][0][1])
    accumulator = PluginAccumulator(str(tmp_path))
    accumulator.Reload()
    assert set(accumulator.PluginTagToContent("scalars")) == {*tags, "odd", "big"}
    (file,) = tmp_path.iterdir()
    events = list(EventFileLoader(str(file)).Load())
    assert sum(bool(event.summary.value) for event in events) == 3 * 3 + 1
    assert events[-2].wall_time == 7.0


def test_resumption_purges(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Protects resumed studies: steps that are written again are not shown twice."""
    with Writer(tmp_path) as writer:
        for step in range(5):
            writer.scalars(step, {"loss": step})
    with Writer(tmp_path, purge_step=3) as writer:
        writer.scalars(3, {"loss": 30})
    assert len(list(tmp_path.iterdir())) == 2
    accumulator = PluginAccumulator(str(tmp_path))
    accumulator.Reload()
    found = [(e.step, float(make_ndarray(e.tensor_proto))) for e in accumulator.Tensors("loss")]
    assert found == [(0, 0), (1, 1), (2, 2), (3, 30)]


def test_arm_is_one_run(tmp_path: Path) -> None:
    """Protects the dashboard: a run per arm with bands and text, gaps left out, replaced whole."""
    steps = np.array([0, 50, 100])
    bands = {
        "loss": {name: np.array([3.0, 2.0, 1.0]) + i for i, name in enumerate(tensorboard.BANDS)},
        "accuracy": {"mean": np.array([np.nan, 0.5, 0.9])},
    }
    run = write_arm(tmp_path, "schedule=cosine", steps, bands, "**best**")
    assert run == tmp_path / "schedule=cosine"
    back = read(run)
    assert back["loss/p90"] == [(0, 6.0), (50, 5.0), (100, 4.0)]
    assert back["accuracy/mean"] == [(50, 0.5), (100, np.float32(0.9))]
    assert back["arm"][0][1] == b"**best**"
    write_arm(tmp_path, "schedule=cosine", steps[:1], {"loss": {"mean": [7.0]}})
    assert read(run) == {"loss/mean": [(0, 7.0)]}
    with pytest.raises(ValueError, match="shape"):
        write_arm(tmp_path, "x", steps, {"loss": {"mean": [1.0]}})


def test_layout_of_margin_charts(tmp_path: Path) -> None:
    """Protects the bands: a layout names their charts, under the custom-scalars plugin."""
    write_layout(tmp_path, ["loss"])
    ((_, layout),) = read(tmp_path)["custom_scalars__config__"]
    for tag in (b"loss/mean", b"loss/p10", b"loss/p90"):
        assert tag in layout


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "..", ".", "", "a b", "x" * 500, "ü=1", "C:\\x", ".hidden"]
)
def test_odd_names_stay_inside(name: str, tmp_path: Path) -> None:
    """Protects the file system: an arm's name is one plain folder inside tb, whatever it holds."""
    safe = safe_name(name)
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    assert len(safe) < 100
    assert not safe.startswith(".")
    assert safe.isascii()


def test_names_stay_different() -> None:
    """Protects arms from sharing a folder because their odd characters were replaced alike."""
    odd = ["a/b", "a_b", "a b", "a\\b", "a//b", "", ".", ".."]
    assert len({safe_name(name) for name in odd}) == len(odd)
    assert safe_name("learning_rate=0.001") == "learning_rate=0.001"


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a lost event file that nobody hears of (a writing thread would only print)."""
    writer = Writer(tmp_path)

    def full(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer._writer, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        writer.scalars(0, {"a": 1})
    writer.close()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        Writer(tmp_path / "file" / "run")
    assert str(tmp_path) in tensorboard.command(tmp_path)
