"""Event files as TensorBoard's own readers see them."""

from __future__ import annotations

import errno
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.boards import read
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as PluginAccumulator,
)
from tensorboard.util.tensor_util import make_ndarray

from convergence.reporting import tensorboard
from convergence.reporting.files import StorageError
from convergence.reporting.tensorboard import Writer, write_arm


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
    assert back["setting"][0][1] == b"**best**"
    write_arm(tmp_path, "schedule=cosine", steps[:1], {"loss": {"mean": [7.0]}})
    assert read(run) == {"loss/mean": [(0, 7.0)]}
    with pytest.raises(ValueError, match="shape"):
        write_arm(tmp_path, "x", steps, {"loss": {"mean": [1.0]}})


def test_histograms_come_back(tmp_path: Path) -> None:
    """Protects the histograms: counts and edges of what is finite; nothing where nothing is."""
    with Writer(tmp_path) as writer:
        writer.histogram("a", [1.0, 2.0, np.nan, 2.0, np.inf], 0)
        writer.histogram("a", [5.0, 5.0], 1)
        writer.histogram("a", [np.nan], 2)
        writer.histogram("b", np.float32([-3.4e38, 3.4e38]), 0)
    back = read(tmp_path)
    assert [step for step, _ in back["a"]] == [0, 1]
    spread, same = (buckets for _, buckets in back["a"])
    assert spread[0].tolist() == pytest.approx([1, 1 + 1 / 30, 1])
    assert spread[-1].tolist() == pytest.approx([2 - 1 / 30, 2, 2])
    assert same[:, 2].sum() == 2
    assert np.isfinite(back["b"][0][1]).all()


def test_samples_have_the_steps_of_their_arm(tmp_path: Path) -> None:
    """Protects the histograms of an arm: a shape that does not fit is refused before writing."""
    steps = [0, 5]
    run = write_arm(tmp_path, "a", steps, {}, samples={"loss": np.ones((3, 2))})
    assert [step for step, _ in read(run)["loss"]] == steps
    with pytest.raises(ValueError, match="loss has shape"):
        write_arm(tmp_path, "a", steps, {}, samples={"loss": np.ones((3, 1))})
    assert [step for step, _ in read(run)["loss"]] == steps


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


def test_the_command_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects users with spaces in their paths: a shell reads the command as it was meant."""
    program, told = shlex.split(tensorboard.command(tmp_path / "a b" / "it's"))
    assert told == f"--logdir={tmp_path}/a b/it's"
    assert Path(program).name == "tensorboard"
    assert " " not in tensorboard.command("runs/x/tb").replace(" --logdir=runs/x/tb", "")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert tensorboard.command("runs/x/tb") == "tensorboard --logdir=runs/x/tb"
