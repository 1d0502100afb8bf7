"""Verifying a study: what must be found is found, and what was not checked is not called so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.finished import finished

from convergence import verification
from convergence.errors import UserError
from convergence.replay import EXACT, Retrainer, differing, open_replay
from convergence.reporting import files
from convergence.spec import Arm, DataSpec, ModelSpec, TrainSpec
from convergence.training.blocks import BlockRun
from convergence.verification import Verifier

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "verify.py"
ARMS = (Arm("base"), Arm.of("hot", learning_rate=3e38), Arm.of("wide", hidden=(9,)))
TRAIN = TrainSpec(steps=20, batch_size=16, learning_rate=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of two programs with an arm that diverges, splits varied."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("verified") / "study"
        finished(
            folder,
            DataSpec(dataset="wine"),
            ModelSpec(hidden=(6,), dropout=0.2),
            TRAIN,
            ARMS,
            num_seeds=3,
            fingerprint_every=6,
            vary=("init", "order", "dropout", "split"),
        )
        yield folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def spoil(folder: Path, name: str, change: Any) -> None:
    arrays = files.read_npz(folder / name)
    change(arrays)
    np.savez(folder / name, **arrays)


def test_everything_is_verified(trained: Path) -> None:
    """Protects the contract, and the certificate from crying wolf: all trials, all ways."""
    replay = open_replay(trained)
    verifier = Verifier(replay, range(replay.count))
    checks = verifier.checks()
    assert [c.status for c in checks if c.name != "host devices"] == ["verified"] * 6, checks
    (left,) = (c for c in checks if c.name == "host devices")
    assert left.status == "unverified"  # no other process was asked for
    told = verification.certificate(replay, verifier.trials, checks)
    assert told["verified"] is False
    assert "unverified: host devices" in told["sentence"]


@pytest.mark.parametrize("record", EXACT)
def test_one_flipped_bit_is_found(folder: Path, record: str) -> None:
    """Protects against a record that is not compared: a bit of each, in one trial of nine."""
    name = "sketches.npz" if record == "sketches" else "fingerprints.npz"
    column = {"fingerprint": "final", "chain": "final_chain"}.get(record, record)

    def flip(arrays: dict[str, np.ndarray]) -> None:
        arrays[column][4].view(np.uint32).flat[-1] ^= 1

    spoil(folder, name, flip)
    replay = open_replay(folder)
    found = Verifier(replay, [0, 4]).alone()
    assert found.status == "differs"
    assert found.told.startswith("trial 4 ('hot', seed 1): ")
    assert found.told.endswith(record)


def test_under_other_conditions_a_difference_proves_nothing(folder: Path) -> None:
    """Protects the verdict: other versions are named as the reason, agreement still counts."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["provenance"]["versions"]["jax"] = "0.4.1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert Verifier(open_replay(folder), [0]).alone().status == "verified"
    spoil(folder, "fingerprints.npz", lambda a: a["final"].__setitem__((0, 0), 7))
    found = Verifier(open_replay(folder), [0]).alone()
    assert found.status == "unverified"
    assert "versions.jax" in found.told


WAYS = {
    "twice": lambda run, trials, kept: kept["calls"] > 2,
    "together": lambda run, trials, kept: len(trials) > 1,
    "boundaries": lambda run, trials, kept: run.cadence.segment == 11,
    "resumed": lambda run, trials, kept: run.store is not None and run.store.kept,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_can_fail(way: str, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the checks from being empty: a program that is wrong in one way alone is caught."""
    real, kept = BlockRun.run, {"calls": 0}

    def run(self: BlockRun) -> dict[str, np.ndarray]:
        kept["calls"] += 1
        wrong = WAYS[way](self, self.trials, kept)
        arrays = real(self)
        if wrong:
            arrays["chain"] = arrays["chain"] ^ np.uint32(1)
        return arrays

    monkeypatch.setattr(BlockRun, "run", run)
    verifier = Verifier(open_replay(trained), [0, 3])
    assert verifier.alone().status == "verified"
    found = getattr(verifier, way)()
    assert (found.status, found.told[:7]) == ("differs", "trial 0")


def test_other_processes_are_compared(trained: Path) -> None:
    """Protects the check of devices: what the other process gives decides, its failure is told."""
    replay = open_replay(trained)
    trainer = Retrainer(replay)
    good = trainer.run([3])
    bad = dict(good, marks=good["marks"] ^ np.uint32(1))

    def fails(trials: Any, environment: Any) -> Any:
        raise RuntimeError("it has gone")

    for elsewhere, status, said in (
        (lambda trials, environment: good, "verified", "1 of 9 trials"),
        (lambda trials, environment: bad, "differs", "marks"),
        (fails, "unverified", "it has gone"),
    ):
        verifier = Verifier(replay, [3], elsewhere)
        verifier.alone()
        found = verifier.devices()
        assert (found.status, said in found.told) == (status, True)


def test_a_refused_checkpoint_is_no_resumption(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from a false certificate: a run that began anew ends in the same bits, too."""
    monkeypatch.setattr(
        verification._Memory,
        "checkpoints",
        lambda self, block: [(step, dict) for step, _ in self.kept],
    )
    verifier = Verifier(open_replay(trained), [0])
    verifier.alone()
    found = verifier.resumed()
    assert (found.status, "digest" in found.told or "trials" in found.told) == ("unverified", True)


def test_sample_sees_every_program(trained: Path) -> None:
    """Protects the sample: each program, no trial twice, the same trials each time."""
    replay = open_replay(trained)
    trainer = Retrainer(replay)
    for count in (1, 2, 5, 9, 50):
        found = verification.sample(replay, trainer, count)
        assert len(set(found)) == len(found) == min(max(count, 2), 9)
        assert found == verification.sample(replay, trainer, count)
        assert {trainer.group(trial).key for trial in found} == {
            group.key for group in trainer.plan.groups
        }


def test_differing_sees_shape_and_sign_of_zero() -> None:
    """Protects bits from equality of numbers: 0 and -0 differ, NaN equals itself."""
    base = {name: np.zeros((1, 2), np.float32) for name in EXACT}
    assert differing(base, dict(base)) == []
    assert differing(base, base | {"marks": -base["marks"]}) == ["marks"]
    assert differing(base, base | {"chain": np.zeros((2, 1), np.float32)}) == ["chain"]
    nan = base | {"sketches": np.full((1, 2), np.nan, np.float32)}
    assert differing(nan, dict(nan)) == []


def test_damaged_records(folder: Path) -> None:
    """Protects a user from a certificate of nothing: what is missing or cut short is told."""
    path = folder / "fingerprints.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"fingerprints\.npz is damaged"):
        open_replay(folder)
    path.write_bytes(whole)
    spoil(folder, "fingerprints.npz", lambda a: a.update(marks=a["marks"][:-1]))
    with pytest.raises(UserError, match="8 of 9 trials"):
        open_replay(folder)
    path.unlink()
    with pytest.raises(UserError, match="it is missing"):
        open_replay(folder)


def test_data_that_have_changed(tmp_path: Path) -> None:
    """Protects the answer: other rows are another study, and that is said."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    path = tmp_path / "rows.npz"
    np.savez(path, x=x, y=y)
    finished(tmp_path / "study", DataSpec(dataset="file", data_path=str(path)))
    open_replay(tmp_path / "study")
    np.savez(path, x=x + 1e-3 * (np.arange(60) == 7)[:, None], y=y)
    with pytest.raises(UserError, match=r"rows\.npz are not those of the study"):
        open_replay(tmp_path / "study")


def test_own_files_are_named_by_the_user(tmp_path: Path) -> None:
    """Protects a user who was handed a folder: no code runs that only its manifest names."""
    own = tmp_path / "own.py"
    own.write_text(
        "import jax.numpy as jnp\ndef loss(outputs, y):\n    return jnp.abs(outputs[:, 0] - y)\n"
    )
    folder, told = tmp_path / "study", DataSpec(dataset="teacher_regression", generated_rows=80)
    finished(folder, told, train=TrainSpec(steps=4, batch_size=8, loss=f"{own}:loss"))
    with pytest.raises(UserError, match="--loss: the study runs code of your own"):
        open_replay(folder)
    moved = tmp_path / "moved.py"
    shutil.move(own, moved)
    replay = open_replay(folder, {"loss": f"{moved}:loss"})
    assert Verifier(replay, [0]).alone().status == "verified"
    with pytest.raises(UserError, match="--model: the study has no such file"):
        open_replay(folder, {"loss": f"{moved}:loss", "model": f"{moved}:loss"})
    moved.write_text(moved.read_text() + "# edited\n")
    with pytest.raises(UserError, match="not the file that was trained"):
        open_replay(folder, {"loss": f"{moved}:loss"})


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_script(folder: Path) -> None:
    """Protects the command as a user runs it: table, certificate, status 0; then a mistake's 2."""
    done = script(str(folder), "--trial=4,0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 of 7 invariances verified; 7 of 9 trials were not trained again." in done.stdout
    told = json.loads((folder / "certificate.json").read_text())
    assert told["verified"] is True
    assert told["trials"] == [0, 4]
    assert {check["status"] for check in told["checks"]} == {"verified"}
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80  # the last names the folder
    for wrong, said in (
        (["--trial=9"], f"--trial: there is no trial '9' in {folder}; give 0 to 8, or an arm"),
        (["--trial=0", "--sample=2"], "contradicts --trial"),
    ):
        refused = script(str(folder), *wrong)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr


def test_script_says_what_differs(folder: Path) -> None:
    """Protects whoever reads only the exit status: one bit that differs is no success."""
    spoil(folder, "fingerprints.npz", lambda a: a["marks"].__setitem__((2, 0, 0), 1))
    done = script(str(folder), "--trial=2")
    assert done.returncode == 1
    assert "differs: repeated" in done.stdout
    assert json.loads((folder / "certificate.json").read_text())["verified"] is False
