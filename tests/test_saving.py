"""What a study keeps of its models: whole, bounded, safe names – and not one bit changed by it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers.finished import SMALL, finished
from hypothesis import given
from hypothesis import strategies as st

from convergence import data, saving, spec
from convergence.plan import Plan
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec, ModelSpec, RunSpec, Setting, StudySpec
from convergence.study import resolve
from convergence.training.state import Trained

FEW = DataSpec(dataset="teacher_classification", generated_rows=150)
HERE = {"data_digest": "d"}


def models(count: int = 2) -> Trained:
    params = {
        "Dense_0": {"kernel": np.arange(6.0 * count, dtype=np.float32).reshape(count, 2, 3)},
        "../up": [np.ones((count, 4), np.float32), np.zeros((count,), np.float32)],
    }
    return Trained(params, {"mean": np.ones((count, 2), jax.numpy.bfloat16)})


def like(kept: Trained) -> Trained:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), kept)


def test_names_are_safe_and_plain() -> None:
    """Protects those who unpack the file: readable names, none of which leads anywhere."""
    names = set(saving.pack([3, 5], models()))
    assert names == {
        "params/Dense_0/kernel",
        "params/..%2Fup/0",
        "params/..%2Fup/1",
        "state/mean",
        "trial",
        "sha256",
    }


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_leads_out(first: str, second: str) -> None:
    """Protects the disk from a model whose parts have odd names."""
    kept = Trained({first: {second: np.zeros((1, 2), np.float32)}}, {})
    (name,) = set(saving.pack([0], kept)) - {"trial", "sha256"}
    assert re.fullmatch(r"params/[\w.~ %-]+/[\w.~ %-]+", name)
    assert not {"..", "."} & set(name.split("/"))


def test_what_is_packed_comes_back(tmp_path: Path) -> None:
    """Protects predictions: through a file and back, bit for bit, odd types among them."""
    kept = models()
    files.write_npz(tmp_path / "a.npz", saving.pack([3, 5], kept))
    trials, again = saving.unpack(files.read_npz(tmp_path / "a.npz"), like(kept))
    assert trials.tolist() == [3, 5]
    assert jax.tree.structure(again) == jax.tree.structure(kept)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(kept)):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def wrong(how: str) -> tuple[dict[str, np.ndarray], Trained]:
    kept, arrays = models(), saving.pack([3, 5], models())
    wanted = like(kept)
    if how == "digest":
        arrays["params/Dense_0/kernel"][0, 0, 0] += 1
    elif how == "renamed":
        arrays["params/x"] = arrays.pop("state/mean")
    elif how == "shape":
        wanted.params["Dense_0"]["kernel"] = jax.ShapeDtypeStruct((2, 4), np.float32)
    elif how == "type":
        wanted.params["Dense_0"]["kernel"] = jax.ShapeDtypeStruct((2, 3), np.int32)
    elif how == "more":
        wanted.params["other"] = jax.ShapeDtypeStruct((), np.float32)
    elif how == "less":
        del wanted.params["Dense_0"]
    elif how == "trials":
        arrays = saving.pack([3], models())
    return arrays, wanted


@pytest.mark.parametrize("how", ["digest", "renamed", "shape", "type", "more", "less", "trials"])
def test_what_is_not_the_models_is_refused(how: str) -> None:
    """Protects from damaged and foreign files: digest, names, shapes, types and counts must fit."""
    with pytest.raises(ValueError, match="it"):
        saving.unpack(*wrong(how))


def plan(seeds: int, save: str, *arms: Arm, hidden: tuple[int, ...] = (6,)) -> Plan:
    run = RunSpec(num_seeds=seeds, save_params=save, first_replica=3)
    study = StudySpec("s", "", Setting(FEW, ModelSpec(hidden=hidden)), run, arms or (Arm("base"),))
    dataset = data.load(FEW)
    return Plan(resolve(spec.validate(study), dataset), dataset)


def test_how_many_seeds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the disk: whole seeds of every arm, as many as fit; and it is said."""
    two = (Arm("base"), Arm.of("wide", hidden=(12,)))
    bytes_ = 4 * sum(16 * h + h + h * 5 + 5 for h in (6, 12))
    assert saving.seed_size(plan(4, "auto", *two)) == bytes_
    assert saving.kept_seeds(plan(4, "auto", *two)) == 4
    assert saving.told_kept(plan(4, "auto", *two)) == ""
    monkeypatch.setattr(saving, "AUTO_MIB", 2.5 * bytes_ / 2**20)
    assert saving.kept_seeds(plan(4, "auto", *two)) == 2
    assert saving.kept_trials(plan(4, "auto", *two)) == {0, 1, 2, 3}
    assert "those of the first 2 of 4 seeds" in saving.told_kept(plan(4, "auto", *two))
    assert saving.kept_seeds(plan(4, "all", *two)) == 4
    assert saving.kept_trials(plan(4, "none", *two)) == frozenset()
    assert saving.told_kept(plan(4, "none", *two)) == saving.told_kept(plan(4, "all", *two)) == ""
    monkeypatch.setattr(saving, "AUTO_MIB", 0.5 * bytes_ / 2**20)
    assert saving.kept_seeds(plan(4, "auto", *two)) == 0
    assert "none are kept" in saving.told_kept(plan(4, "auto", *two))


def test_the_help_states_the_limit() -> None:
    """Protects the flag's help: it names the bound that is kept."""
    (field,) = [f for f in dataclasses.fields(RunSpec) if f.name == "save_params"]
    assert f"{saving.AUTO_MIB} MiB" in field.metadata["help"]


def kept_files(folder: Path) -> dict[str, list[int]]:
    found = sorted((folder / "params").glob("*")) if (folder / "params").is_dir() else []
    return {path.name: files.read_npz(path)["trial"].tolist() for path in found}


def test_saving_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the bits contract: whatever is kept, trials and predictions are the same."""
    arms = (Arm("base"), Arm.of("fast", learning_rate=0.1))
    kept: dict[str, Any] = {}
    one_seed = saving.seed_size(plan(5, "auto", *arms))
    for save in ("none", "all", "auto"):
        if save == "auto":
            monkeypatch.setattr(saving, "AUTO_MIB", 3 * one_seed / 2**20)
        history = finished(tmp_path / save, FEW, arms=arms, num_seeds=5, save_params=save)
        kept[save] = history.arrays
    for save in ("all", "auto"):
        for name, values in kept["none"].items():
            assert values.tobytes() == kept[save][name].tobytes(), name
    assert kept_files(tmp_path / "none") == {}
    blocks = {"00000.npz": [0, 1, 2, 3], "00001.npz": [4, 5, 6, 7], "00002.npz": [8, 9]}
    assert kept_files(tmp_path / "all") == blocks
    assert kept_files(tmp_path / "auto") == {"00000.npz": [0, 1, 2, 3], "00001.npz": [4, 5]}
    manifest = Workdir.open(tmp_path / "all").manifest
    assert manifest["files"] == []  # all of them are known, so that --overwrite removes them


def test_preparations_are_written_once(tmp_path: Path) -> None:
    """Protects the disk: trials that share a preparation share its entry."""
    arms = (Arm("base"), Arm.of("minmax", preprocessing="minmax"))
    finished(tmp_path, FEW, arms=arms, num_seeds=3)
    arrays = files.read_npz(tmp_path / "preprocessing.npz")
    assert arrays["x_mean"].shape == arrays["x_scale"].shape == (2, 16)
    assert arrays["preparation"].tolist() == [0, 1] * 3
    assert arrays["diverged"].tolist() == [False] * 6


def test_files_of_another_layout_go(tmp_path: Path) -> None:
    """Protects from a trial that is there twice: blocks that are none of this study's go."""
    with Workdir.prepare(tmp_path, {}, HERE, command=["x"]) as workdir:
        for number in (0, 1, 7):
            saving.save_block(workdir, number, [number], models(1))
        assert saving.block_is_whole(workdir, 1, [1])
        assert not saving.block_is_whole(workdir, 1, [2])
        assert not saving.block_is_whole(workdir, 2, [2])
        path = tmp_path / "params" / "00001.npz"
        path.write_bytes(path.read_bytes()[:-40])
        assert not saving.block_is_whole(workdir, 1, [1])
        saving.remove_others(workdir, range(2))
        assert [p.name for p in saving.block_files(workdir)] == ["00000.npz", "00001.npz"]
        saving.remove_others(workdir, range(0))
        assert not (tmp_path / "params").exists()
        workdir.mark("interrupted")


@pytest.mark.slow
def test_resumed_with_params_missing(tmp_path: Path) -> None:
    """Protects predictions after a kill: a finished block without its params is trained again."""
    folder = tmp_path / "study"
    whole = finished(folder, FEW, SMALL, num_seeds=6)
    assert list(kept_files(folder)) == ["00000.npz", "00001.npz"]
    # The same study, interrupted after both blocks, with one block's params gone.
    study, dataset = whole.study, whole.plan.dataset
    from convergence.study import Machine, Study

    again = tmp_path / "again"
    with Workdir.prepare(again, spec.to_json(study), HERE, command=["x"]) as workdir:
        Study(study, dataset, Machine.here(1), workdir=workdir).run()
        workdir.mark("interrupted")
    (again / "params" / "00001.npz").unlink()
    with Workdir.prepare(again, spec.to_json(study), HERE, resume=True) as workdir:
        history = Study(study, dataset, Machine.here(1), workdir=workdir).run()
        (told,) = workdir.messages
        assert told == "The final params of block 1 are missing or damaged; it is computed again."
        workdir.mark("finished")
    assert np.array_equal(history.fingerprints, whole.fingerprints)
    for name in kept_files(folder):
        assert (again / "params" / name).read_bytes() == (folder / "params" / name).read_bytes()
