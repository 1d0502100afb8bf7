"""Distances of twins over a run: those of the very trials, at every step, however it is cut."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.studies import DATA, compiling, laid
from hypothesis import given
from hypothesis import strategies as st

from convergence import data, results
from convergence.errors import UserError
from convergence.history import History
from convergence.pairs import pairs
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, ModelSpec, StudySpec, TrainSpec, to_json
from convergence.study import Machine, Study
from convergence.training.blocks import Want
from convergence.training.stepper import Stepper
from convergence.training.twins import EACH, TwinRecorder, distances, steps

TOTAL = 80
HOT = 3e38  # diverges within a few steps
ARMS = (
    Arm.of("a", learning_rate=0.02),
    Arm.of("a, one bit flipped", twin=True, learning_rate=0.02),
    Arm.of("no pair", ("rounding",), twin=True),
    Arm.of("hot", learning_rate=HOT),
    Arm.of("hot, one bit flipped", twin=True, learning_rate=HOT),
)
MODEL = ModelSpec(hidden=(8,), dropout=0.1)
TRAIN = TrainSpec(steps=TOTAL, batch_size=16)


def told(**run: Any) -> StudySpec:
    return laid(DATA, MODEL, TRAIN, ARMS, **{"num_seeds": 3, "lanes": 8} | run)


@cache
def programs() -> dict[Any, Any]:
    """One program for all these studies."""
    return {}


def study(want: Want, workdir: Workdir | None = None, **run: Any) -> Study:
    machine = Machine.here(2)
    return Study(told(**run), data.load(DATA), machine, want, workdir, populations=programs())


@cache
def watched() -> History:
    return study(Want(twins=True)).run()


@given(st.integers(0, 200_000))
def test_steps_to_look_at(total: int) -> None:
    """Protects the record's size and its ends: all early steps, the last, and few in all."""
    found = steps(total)
    assert found[0] == 0
    assert found[-1] == total
    assert list(found) == sorted(set(found))
    assert set(range(min(EACH, total) + 1)) <= set(found)
    assert {1 << k for k in range(total.bit_length())} <= set(found)  # where sketches are
    assert len(found) <= 150


def test_watching_changes_no_bit() -> None:
    """Protects the bits contract: more returns to the host, and every record the same."""
    plain, found = study(Want()).run(), watched()
    assert set(found.arrays) == {*plain.arrays, "distance"}
    for name, values in plain.arrays.items():
        assert values.tobytes() == found.arrays[name].tobytes(), name


def test_distances_are_those_of_the_trials() -> None:
    """Protects the distance: params of each step, taken again in another way, in float64."""
    runner, found = study(Want()), watched()
    (group,) = runner.plan.groups
    population = runner.population(group)
    chosen = tuple(t for t in group.trials if t.arm < 2)
    lanes = runner.plan.lanes(group, chosen)
    stepper = Stepper(population, lanes, runner.shared(population))
    state, at = stepper.initial(), 0
    table = found.twin_distances("a, one bit flipped")
    for column, step in enumerate(table[0]):
        state, at = (stepper.advance(state, at, int(step)).state if step else state), int(step)
        params = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(state.train.params)]
        gaps = [leaf[0::2] - leaf[1::2] for leaf in params]  # of each seed: the trial, its twin
        squares = sum((gap.reshape(3, -1) ** 2).sum(axis=1) for gap in gaps)
        np.testing.assert_allclose(table[1][:, column], np.sqrt(squares), rtol=1e-12, atol=0)
    assert np.all(table[1][:, 0] > 0)


def test_who_has_a_distance() -> None:
    """Protects the table: twins have one, trials and twins without a trial none."""
    found = watched()
    distance = found.arrays["distance"]
    assert distance.dtype == np.float64
    rows = found.rows_of("a, one bit flipped")
    assert np.isfinite(distance[rows]).all()
    assert np.isnan(np.delete(distance, [*rows, *found.rows_of("hot, one bit flipped")], 0)).all()
    hot = found.twin_distances("hot, one bit flipped")[1]
    ended = found.arrays["steps_done"][found.rows_of("hot, one bit flipped")]
    assert np.isfinite(hot[:, 0]).all()
    for line, last in zip(hot, ended):
        assert np.isnan(line[int(last) + 1 :]).all()


def test_pairs_are_told_where_they_are(tmp_path: Path) -> None:
    """Protects twins.npz: each pair's trials and its distances, read back."""
    found = watched()
    workdir = Workdir.prepare(tmp_path / "s", to_json(found.study), {}, command=["x"])
    with workdir:
        results.write(found, workdir, test=False)
    stored = files.read_npz(tmp_path / "s" / "twins.npz")
    np.testing.assert_array_equal(stored["step"], steps(TOTAL))
    names = found.arm_names
    for twin, of, line in zip(stored["trial"], stored["of"], stored["distance"]):
        one, other = found.trials[twin], found.trials[of]
        assert one.replica == other.replica
        assert names[one.arm] == f"{names[other.arm]}, one bit flipped"
        np.testing.assert_array_equal(line, found.arrays["distance"][twin])
    assert len(stored["trial"]) == 6


def test_a_study_without_distances_says_so() -> None:
    """Protects against silence: distances that were not asked for are not made up."""
    found = watched()
    without = {name: values for name, values in found.arrays.items() if name != "distance"}
    with pytest.raises(ValueError, match="not asked for"):
        History(found.plan, found.eval_steps, without).twin_distances("a, one bit flipped")


class Stopped(Exception):
    """Stands for whatever ends a study before its time."""


@pytest.mark.parametrize("at", [20, 60])
def test_resumed_it_has_the_same_distances(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the record of an interrupted study: the bits of the uninterrupted one."""
    run = {"checkpoint_every": 20}
    workdir = Workdir.prepare(tmp_path / "s", to_json(told(**run)), {}, command=["x"])
    with workdir:
        first = study(Want(twins=True), workdir, **run)
        assert first.store is not None
        save = first.store.save_checkpoint

        def stop(block: int, step: int, arrays: dict[str, np.ndarray]) -> None:
            save(block, step, arrays)
            if (block, step) == (1, at):
                raise Stopped

        monkeypatch.setattr(first.store, "save_checkpoint", stop)
        with pytest.raises(Stopped):
            first.run()
        used: list[int] = []
        unpack = TwinRecorder.unpack

        def noted(recorder: TwinRecorder, extra: dict[str, np.ndarray]) -> None:
            used.append(int(np.isfinite(extra["twins/distance"]).any(axis=0).sum()))
            unpack(recorder, extra)

        monkeypatch.setattr(TwinRecorder, "unpack", noted)
        found = study(Want(twins=True), workdir, **run).run()
    assert used == [1 + steps(TOTAL).index(at)]  # it went on from there, in one block
    assert found.arrays["distance"].tobytes() == watched().arrays["distance"].tobytes()
    assert not any("damaged" in message for message in workdir.messages)


def test_a_checkpoint_of_other_twins_is_not_used() -> None:
    """Protects the record from a checkpoint that holds none, or one of another length."""
    recorder = TwinRecorder(4, ((1, 0),), (0, 1, 2))
    recorder.add(0, [np.arange(8.0).reshape(4, 2)], np.zeros(4, bool))
    other = TwinRecorder(4, ((1, 0),), (0, 1, 2))
    other.unpack(recorder.pack())
    np.testing.assert_array_equal(other.arrays()["distance"], recorder.arrays()["distance"])
    table = np.zeros((4, 3), np.float32)
    for wrong in ({}, {"twins/distance": table[:, :2]}, {"twins/distance": table}):
        with pytest.raises(ValueError, match="distances of twins"):
            other.unpack(wrong)


@given(st.integers(1, 3), st.integers(2, 6), st.integers(0, 10_000))
def test_places_in_shards(shards: int, trials: int, seed: int) -> None:
    """Protects pairs across shards: trial k lies in shard k mod shards, at place k // shards."""
    rng = np.random.default_rng(seed)
    params = {"w": rng.normal(size=(trials, 3, 2)), "b": rng.normal(size=(trials, 4))}
    width = -(-trials // shards)
    dealt = []
    for shard in range(shards):
        mine = np.arange(shard, trials, shards)
        padded = np.concatenate([mine, np.zeros(width - len(mine), int)])
        dealt.append({name: values[padded] for name, values in params.items()})
    one, other = rng.choice(trials, 2, replace=False)
    expected = sum(((v[one] - v[other]) ** 2).sum() for v in params.values()) ** 0.5
    assert distances(dealt, [(one, other)])[0] == pytest.approx(expected, rel=1e-12)
    assert distances(dealt, [(one, one)])[0] == 0


def test_a_twin_apart_from_its_trial_is_refused() -> None:
    """Protects against a missing distance: a block that holds one of a pair alone is named."""
    runner = study(Want(twins=True))
    trials = runner.plan.trials
    assert pairs(runner.plan, trials[:5]) == ((1, 0), (4, 3))
    assert pairs(runner.plan, trials[:1]) == ()
    with pytest.raises(UserError, match=r"--lanes: .* give 6"):
        pairs(runner.plan, trials[1:2])
    with pytest.raises(UserError, match="--lanes"), compiling() as compiled:
        study(Want(twins=True), lanes=4).run()
    assert compiled == []  # told before anything is trained
