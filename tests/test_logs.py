"""Curves out of logs that others wrote: what is found, and what is said of what cannot be read."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from convergence import logs
from convergence.errors import UserError
from convergence.logs import Curve, records
from convergence.logs.curve import kind_of

Point = tuple[int, Any]


def simple(tag: str, value: float) -> Any:
    """A scalar as TensorFlow 1, tensorboardX and PyTorch write it."""
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])


def content(tag: str, value: float) -> Any:
    """A scalar as TensorFlow 2 and Keras write it: the bytes of a tensor, and metadata."""
    made = scalar_pb(tag, value)
    item = made.value[0]
    del item.tensor.float_val[:], item.tensor.double_val[:]
    item.tensor.dtype = types_pb2.DT_FLOAT
    item.tensor.tensor_content = struct.pack("<f", value)
    return made


def write(path: Path, points: Iterable[Point], name: str = "events.out.tfevents.1.host") -> Path:
    """An event file of (step, summary) as another library's writer makes it."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / name
    with open(file, "wb") as stream:
        writer = RecordWriter(stream)
        writer.write(event_pb2.Event(file_version="brain.Event:2").SerializeToString())
        for step, summary in points:
            event = event_pb2.Event(step=step, wall_time=1.0, summary=summary)
            writer.write(event.SerializeToString())
        writer.flush()
    return file


def falling(tag: str, steps: Sequence[int], form: Any = simple) -> list[Point]:
    return [(step, form(tag, 1.0 / (1 + step))) for step in steps]


@pytest.mark.parametrize("form", [simple, content, scalar_pb], ids=lambda form: form.__name__)
def test_scalars_of_every_form_are_found_and_nothing_else(tmp_path: Path, form: Any) -> None:
    others = [(0, histogram_pb("weights", np.arange(9.0))), (0, text_pb("note", "words"))]
    write(tmp_path / "a" / "train", [*falling("loss", range(20), form), *others])
    write(tmp_path / "b", falling("loss", range(5), form))
    found, told = logs.read(str(tmp_path))
    assert {curve.run: len(curve.steps) for curve in found} == {"a/train": 20, "b": 5}
    assert {curve.tag for curve in found} == {"loss"}
    assert not told
    first = next(curve for curve in found if curve.run == "b")
    assert first.values.tolist() == [np.float32(1 / (1 + step)) for step in range(5)]


def test_values_are_those_that_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, falling("loss", range(30), scalar_pb))
    theirs = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload().Tensors("loss")
    (ours,), _ = logs.read(str(tmp_path))
    assert ours.steps.tolist() == [one.step for one in theirs]
    assert ours.values.tolist() == [one.tensor_proto.float_val[0] for one in theirs]


def test_a_restart_in_a_second_file_goes_on_and_two_runs_in_one_folder_are_two_curves(
    tmp_path: Path,
) -> None:
    again, twice = tmp_path / "again", tmp_path / "twice"
    write(again, falling("loss", range(10)), "events.out.tfevents.1")
    write(again, falling("loss", range(7, 30)), "events.out.tfevents.2")
    for k in (1, 2):
        write(twice, falling("loss", range(10)), f"events.out.tfevents.{k}")
    (whole,), _ = logs.read(str(again))
    assert len(whole.steps) == 33  # put in order, and said, where it is judged
    both, _ = logs.read(str(twice))
    assert [len(curve.steps) for curve in both] == [10, 10]
    assert len({curve.run for curve in both}) == 2
    assert all("side by side" in curve.warnings[0] for curve in both)


def test_a_file_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = write(tmp_path, falling("loss", range(20)))
    file.write_bytes(file.read_bytes()[:-5])
    (curve,), told = logs.read(str(tmp_path))
    assert len(curve.steps) == 19
    assert told == [f"{file.name} is cut off; what stands before was read."]


def test_a_damaged_record_is_left_out_and_the_rest_read(tmp_path: Path) -> None:
    file = write(tmp_path, falling("loss", range(20)))
    data = bytearray(file.read_bytes())
    places, _ = records.split(bytes(data))
    data[places[5][0] + 3] ^= 0xFF
    file.write_bytes(data)
    (curve,), told = logs.read(str(tmp_path))
    assert len(curve.steps) == 19
    assert 4 not in curve.steps
    assert "1 damaged records left out" in told[0]


@pytest.mark.parametrize("data", [b"", b"this is no event file at all, whatever its name says"])
def test_foreign_files_are_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(data)
    with pytest.raises(UserError, match=r"holds a scalar.*events\.out"):
        logs.read(str(tmp_path))


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match="no event files"):
        logs.read(str(tmp_path))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_end_in_whole_records_or_a_sentence(data: bytes) -> None:
    places, why = records.split(data)
    assert all(first >= 0 and first + length + 4 <= len(data) for first, length in places)
    assert why or sum(length + records.FRAME for _, length in places) == len(data)
    assert records.damaged(data, places) <= set(range(len(places)))


def test_csv_columns_are_found_or_named(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("epoch,loss,val_acc,note\n0,2,.1,a\n1,1,,b\n2,nan,.5,c\n")
    found, _ = logs.read(str(file))
    assert {curve.tag: curve.steps.tolist() for curve in found} == {
        "loss": [0, 1, 2],
        "val_acc": [0, 2],
    }
    (one,), _ = logs.read(str(file), "loss", ["val_acc"])
    assert one.steps.tolist()[0] == 2
    with pytest.raises(UserError, match=r"--value: unknown column of log.csv: 'los'.*loss"):
        logs.read(str(file), "", ["los"])
    with pytest.raises(UserError, match="text where steps are wanted"):
        logs.read(str(file), "note")


def test_csv_in_long_form_gives_a_curve_a_run(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("seed,step,loss\n0,0,1\n0,1,2\n1,0,3\n1,1,4\n")
    found, _ = logs.read(str(file))
    assert {curve.run: curve.values.tolist() for curve in found} == {
        "seed=0": [1, 2],
        "seed=1": [3, 4],
    }


def test_npz_rows_are_runs_and_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", step=np.arange(3), loss=np.ones((2, 3)), other=np.ones(5))
    found, _ = logs.read(str(tmp_path / "a.npz"))
    assert [(curve.run, curve.tag) for curve in found] == [("run 0", "loss"), ("run 1", "loss")]
    np.savez(tmp_path / "b.npz", loss=np.array([{}], object))
    with pytest.raises(UserError, match="pickle"):
        logs.read(str(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("train/loss", "loss"),
        ("validation_cross_entropy", "held-out"),
        ("valLoss", "held-out"),
        ("epoch_accuracy", "score"),
        ("eval/mAP", "score"),
        ("accuracy_loss", "loss"),
        ("evaluation_error", "held-out"),
    ],
)
def test_what_a_name_says(tag: str, kind: str) -> None:
    curve = Curve("", tag, np.zeros(1), np.zeros(1))
    assert kind_of(curve, logs.higher_is_better(tag)) == kind
