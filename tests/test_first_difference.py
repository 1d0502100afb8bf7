"""scripts/first_difference.py on finished studies: what it says, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from helpers import commands
from helpers.finished import finished

from convergence import compilation_cache
from convergence.difference import finding, sides
from convergence.errors import UserError
from convergence.reporting import files
from convergence.reporting.checkpoints import CheckpointFolder
from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "first_difference.py"
ARMS = (Arm("base"), Arm.of("falls", schedule="0:1,17:0.999"))
RECORDS = ("marks", "chains", "final", "final_chain")


def rows(path: Path, changed: int = -1) -> Path:
    """A file of rows, one of them changed."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 3)).astype(np.float32), rng.integers(0, 2, 80)
    if changed >= 0:
        x[changed, 1] += 1
    np.savez(path, x=x, y=y)
    return path


def train(folder: Path, data: Path, **run: Any) -> Path:
    """A study of two arms that takes part of a second."""
    told = DataSpec(dataset="file", data_path=str(data), preprocessing="none")
    model = ModelSpec(hidden=(4,), dropout=0.2)
    run = {"num_seeds": 2, "fingerprint_every": 5, "keep_checkpoints": True} | run
    finished(folder, told, model, TrainSpec(steps=24, batch_size=8), ARMS, **run)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two studies on data that differ in one row, a and b."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("parted")
        train(folder / "a", rows(folder / "a.npz"))
        train(folder / "b", rows(folder / "b.npz", changed=changed_row()))
        yield folder


def changed_row() -> int:
    """The row that differs: one that is trained on."""
    return 7


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(base, tmp_path / "copy"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    told = importlib.util.spec_from_file_location("first_difference", SCRIPT)
    assert told is not None
    assert told.loader is not None
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def programs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's folder of compiled programs is left alone."""
    monkeypatch.setattr(compilation_cache, "enable", lambda **how: None)


def said(script: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the script prints, run in this process."""
    script.main(script.parsed(list(arguments)))
    return capsys.readouterr().out


def test_checkpoints_are_kept_and_change_no_bit(base: Path, tmp_path: Path) -> None:
    """Protects --keep_checkpoints: all are there, every twentieth; the records are the same."""
    train(tmp_path / "bare", base / "a.npz", keep_checkpoints=False)
    assert not (tmp_path / "bare" / "checkpoints").exists()
    was, now = (files.read_npz(p / "fingerprints.npz") for p in (base / "a", tmp_path / "bare"))
    assert all(was[name].tobytes() == now[name].tobytes() for name in RECORDS)
    side = sides.open_side(base / "a")
    folder = CheckpointFolder(side.saved.workdir)
    assert folder.blocks() == [0]
    assert [step for step, _ in folder.checkpoints(0)] == list(range(22, 0, -2))


def test_a_data_row(base: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the whole way: pair, interval, checkpoint, step, row and cause."""
    row = changed_row()
    told = said(script, capsys, str(base / "a"), str(base / "b"))
    assert "A: " in told
    assert "trial 0 ('base', seed 0)" in told
    assert f"inputs of row {row}, feature 1:" in told
    assert "Cause: data rows." in told
    assert f"note: The data differ in inputs of row {row}." in told
    lines = [line for line in told.splitlines() if str(base) not in line]
    assert max(map(len, lines)) <= 80


def test_two_arms_of_one_study(
    base: Path, script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Protects trials named for each side, and the file for machines."""
    path = tmp_path / "told.json"
    pair = ("--trial_a=base/1", "--trial_b=falls/1", f"--json={path}")
    told = said(script, capsys, str(base / "a"), str(base / "a"), *pair)
    assert "First differing step: 17, counted from 0." in told
    assert "Cause: schedule." in told
    assert "from the checkpoint after 16 steps" in told
    content = json.loads(path.read_text())
    assert (content["step"], content["kind"], content["cause"]["names"]) == (
        17,
        "inputs",
        ["schedule"],
    )
    assert content["arrays"][0]["path"] == "learning rate"
    assert content["replayed_steps"] <= 2


def test_a_run_and_itself(
    base: Path, folder: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects A alone: the same here and now; an edited record gives its interval, no cause."""
    assert "No difference" in said(script, capsys, str(base / "a"))
    path = folder / "a" / "fingerprints.npz"
    arrays = files.read_npz(path)
    for name, at in (("marks", 2), ("chains", 3)):  # after 15 steps; healed after 20
        arrays[name][1, at:][:1] ^= np.uint32(1)
    np.savez(path, **arrays)
    told = said(script, capsys, str(folder / "a"), "--trial=1")
    assert "the first differing step is one of 14 to 14" in " ".join(told.split())
    assert "this interval is all that its records allow" in " ".join(told.split())
    assert "Cause: not shown by a swap." in told


def test_an_edit_that_no_manifest_tells(folder: Path) -> None:
    """Protects from a wrong answer: the replay repeats A but not B, and only B is blamed."""
    shutil.copytree(folder / "a", folder / "c")
    path = folder / "c" / "fingerprints.npz"
    arrays = files.read_npz(path)
    for name, at in (("marks", 1), ("chains", 2)):
        arrays[name][0, at:] ^= np.uint32(1)
    arrays["final"][0] ^= np.uint32(1)
    np.savez(path, **arrays)
    shutil.rmtree(folder / "c" / "checkpoints")
    a, c = (sides.open_side(folder / name) for name in "ac")
    assert finding.pair(a, c) == (0, 0)
    found = finding.of_sides(a, c, 0, 0)
    assert found.misses == ("B",)
    assert found.interval is not None
    assert (found.interval.first, found.interval.last) == (5, 9)


def test_missing_and_damaged(
    folder: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects a user whose files are damaged: records, checkpoints; what is left is used."""
    for path in (folder / "b" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:500])
    whole = said(script, capsys, str(folder / "a"), str(folder / "b"))
    assert "Cause: data rows." in whole
    (folder / "b" / "fingerprints.npz").write_bytes(b"PK")
    told = " ".join(said(script, capsys, str(folder / "a"), str(folder / "b")).split())
    assert "B is compared without its records" in told
    assert "--workdir" not in told  # the script has no such flag
    assert "Cause: data rows." in told


def test_one_trial_given_twice(base: Path) -> None:
    """Protects whoever names one folder twice from taking that for a check of the run."""
    side = sides.open_side(base / "a")
    told = finding.of_sides(side, side, 0, 0)
    assert told.same
    assert any("leave B out" in note for note in told.notes)


def test_data_that_have_changed(
    folder: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects the answer when the data are gone: that is named, and the records still compared."""
    manifest = folder / "a" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["spec"]["setting"]["data"]["data_path"] = str(folder / "a.npz")
    manifest.write_text(json.dumps(told))
    side = sides.open_side(folder / "a")
    row = int(files.read_npz(folder / "a" / "predictions.npz")["row"][3])
    rows(folder / "a.npz", changed=row)
    text = " ".join(said(script, capsys, str(folder / "a"), str(folder / "b")).split())
    assert "A cannot be replayed: the data in" in text
    assert f"rows that it was scored on, other now: {row}." in text
    assert "Narrowest interval" in text
    assert "data_digest" in text
    (folder / "a.npz").unlink()
    text = " ".join(said(script, capsys, str(folder / "a"), str(folder / "b")).split())
    assert "cannot be read" in text
    assert side.replayable


def test_what_is_refused(folder: Path, base: Path, script: ModuleType, tmp_path: Path) -> None:
    """Protects a user's mistakes from a traceback: trials, versions, studies of other arms."""
    a = str(base / "a")
    for arguments, match in (
        (
            (a, a, "--trial=4"),
            r"--trial: there is no trial '4' .*give 0 to 3, or an arm and a seed",
        ),
        ((a, a, "--trial_a=0"), "--trial_a: needs --trial_b"),
        ((a, a, "--trial=0", "--trial_b=1"), "--trial: contradicts"),
        ((a, "--trial_b=1"), "there is no second study"),
        ((a, str(tmp_path)), "there is no study in"),
        ((a, a, f"--json={tmp_path / 'no' / 'x.json'}"), "--json: there is no folder"),
    ):
        with pytest.raises(UserError, match=match):
            script.main(script.parsed(list(arguments)))
    path = folder / "b" / "manifest.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"workdir_version": 99}))
    with pytest.raises(UserError, match="written by a newer version"):
        sides.open_side(folder / "b")
    told["spec"]["arms"][0]["name"] = "x"
    told["spec"]["arms"][1]["name"] = "y"
    path.write_text(json.dumps(told))
    with pytest.raises(
        UserError, match=r"in common: A has .* B x, y .*--trial_a=\S+ --trial_b=x/0\.$"
    ):
        finding.pair(*(sides.open_side(folder / name) for name in "ab"))


@pytest.mark.slow
def test_studies_of_other_models(base: Path, tmp_path: Path) -> None:
    """Protects from a senseless comparison: it says in what they differ, and swaps nothing."""
    told = DataSpec(dataset="file", data_path=str(base / "a.npz"), preprocessing="none")
    train = TrainSpec(steps=24, batch_size=8)
    finished(tmp_path / "wide", told, ModelSpec(hidden=(5,), dropout=0.2), train, ARMS)
    a, wide = sides.open_side(base / "a"), sides.open_side(tmp_path / "wide")
    found = finding.of_sides(a, wide, *finding.pair(a, wide))
    assert found.found is not None
    assert found.found.step == 0
    forms = [(one.a, one.b) for one in found.found.arrays]
    assert ("float32[3, 4]", "float32[3, 5]") in forms
    assert found.cause is not None
    assert not found.cause.shown
    assert "setting.model.hidden" in [field for field, _, _ in finding.apart_in(a, wide, 0, 0)]


def test_script_as_a_user_runs_it(base: Path) -> None:
    """Protects the command: status 1 and the step; 2 and one line for a mistake."""
    kept = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    kept |= {"JAX_ENABLE_COMPILATION_CACHE": "true"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), str(base / "a"), str(base / "a"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | kept)

    done = run("--trial_a=0", "--trial_b=1")
    assert done.returncode == 1, done.stderr
    assert "First differing step: 17" in done.stdout
    wrong = run("--trial=9")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
