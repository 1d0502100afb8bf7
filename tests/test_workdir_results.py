"""What a workdir holds: results, blocks, looks, nested studies, and how the study ended."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convergence import spec
from convergence.errors import UserError
from convergence.reporting import files, manifest
from convergence.reporting.files import StorageError
from convergence.reporting.workdir import Workdir

SPEC = spec.to_json(spec.StudySpec("train", "Where does it end?"))
HERE = {"versions": {"jax": "1.0"}, "device": {"platform": "cpu"}, "data_digest": "d"}


def prepare(path: Path, **options: Any) -> Workdir:
    return Workdir.prepare(path, SPEC, HERE, command=["train"], **options)


def tree(path: Path) -> dict[str, bytes]:
    """Every file below a folder, without lock and reserve."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in (".lock", ".reserve")
    }


WRITER = (
    "import sys\n"
    "from convergence.reporting.workdir import Workdir\n"
    "w = Workdir.prepare(sys.argv[1], {}, {})\n"
    "print('ready', flush=True)\n"
    "n = 0\n"
    "while True:\n"
    "    n += 1\n"
    "    w.update(n=n, pad='x' * (n * 997 % 50_000))\n"
)


def test_names_stay_inside(tmp_path: Path) -> None:
    """Protects the rest of the disk: no result's name leads out of the workdir."""
    (tmp_path / "out").mkdir()
    with prepare(tmp_path / "study") as workdir:
        (workdir.root / "link").symlink_to(tmp_path / "out")
        for name in ("../x", "/etc/passwd", "a/../../x", "", "link/x"):
            with pytest.raises(UserError, match="leads out of"):
                workdir.path(name)
            with pytest.raises(UserError, match="leads out of"):
                workdir.write_text(name, "x")
        for name in ("manifest.json", ".hidden"):
            with pytest.raises(ValueError, match="no name for a result"):
                workdir.write_text(name, "x")
        assert workdir.path("tables/arms.md") == workdir.root / "tables" / "arms.md"
    assert list((tmp_path / "out").iterdir()) == []


def test_results_and_blocks(tmp_path: Path) -> None:
    """Protects the blocks a resume stands on: kept whole, listed, a damaged one told and redone."""
    with prepare(tmp_path) as workdir:
        assert workdir.block_indices() == []
        for index in (2, 0, 100_000):
            workdir.save_block(index, {"x": np.full(3, index)})
        workdir.write_npz("curves.npz", {"loss": np.ones(2)})
        workdir.write_parquet("trials.parquet", {"arm": ["a"]})
        workdir.write_text("flags.txt", "--steps=1\n")
        assert workdir.block_indices() == [0, 2, 100_000]
        block = workdir.load_block(2)
        assert block is not None
        np.testing.assert_array_equal(block["x"], [2, 2, 2])
        assert workdir.load_block(1) is None
        assert workdir.messages == []
        path = tmp_path / "blocks" / "00002.npz"
        path.write_bytes(path.read_bytes()[:-10])
        assert workdir.load_block(2) is None
        assert "corrupt" in workdir.messages[0]
        assert "Block 2" in workdir.messages[0]
        workdir.remove_blocks()
        assert not (tmp_path / "blocks").exists()
        assert workdir.manifest["files"] == []
    assert set(tree(tmp_path)) == {"manifest.json", "curves.npz", "trials.parquet", "flags.txt"}


def test_looks_are_counted(tmp_path: Path) -> None:
    """Protects the error rate: each look at the results is on record, with its number."""
    with prepare(tmp_path) as workdir:
        assert workdir.record_look(seeds=8, alpha=0.025) == 1
        assert workdir.record_look(seeds=16, alpha=0.0125) == 2
        workdir.mark("interrupted")
    with prepare(tmp_path, resume=True) as workdir:
        assert workdir.record_look(seeds=32) == 3
    looks = Workdir.open(tmp_path).manifest["looks"]
    assert [(look["look"], look["seeds"]) for look in looks] == [(1, 8), (2, 16), (3, 32)]


def test_nested_study(tmp_path: Path) -> None:
    """Protects confirmation: a study inside a study resumes with it, and starts afresh with it."""
    with prepare(tmp_path) as workdir, workdir.child("confirmation", SPEC, HERE) as child:
        child.save_block(0, {"x": np.zeros(1)})
        workdir.mark("interrupted")
    with prepare(tmp_path, resume=True) as workdir:
        with workdir.child("confirmation", SPEC, HERE) as child:
            assert child.resumed
            assert child.block_indices() == [0]
        with workdir.child("other", SPEC, HERE) as child:
            assert not child.resumed
        assert workdir.manifest["children"] == ["confirmation", "other"]
        for name in ("../x", "a/b", "tb", "manifest.json", ".x"):
            with pytest.raises(ValueError, match="no name for a nested study"):
                workdir.child(name, SPEC, HERE)


OTHER = spec.to_json(spec.StudySpec("train", "Another choice?"))


def begun(folder: Path, status: str = "interrupted") -> None:
    """A study with a nested one that was interrupted, or had finished."""
    with prepare(folder) as workdir, workdir.child("confirmation", SPEC, HERE) as child:
        child.save_block(0, {"x": np.zeros(1)})
        child.mark(status)
        workdir.mark("interrupted")


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_a_choice_that_drift_changed(status: str, tmp_path: Path) -> None:
    """Protects a resume that was allowed to drift: another choice starts afresh, on record."""
    begun(tmp_path, status)
    newer = {**HERE, "versions": {"jax": "2.0"}}
    about = {"command": ["train"], "resume": True, "allow_drift": True}
    with Workdir.prepare(tmp_path, SPEC, newer, **about) as workdir:
        with workdir.child("confirmation", OTHER, newer, allow_drift=True) as child:
            assert not child.resumed
            assert child.block_indices() == []
            assert child.manifest["spec"] == OTHER
        (replaced,) = workdir.manifest["replaced"]
        assert (replaced["child"], replaced["status"]) == ("confirmation", status)
        assert replaced["changed"] == ["question"]
        assert replaced["spec_digest"] == spec.digest(SPEC)
        told = workdir.messages[-1]
        assert "confirmation has other settings than it began with (question was" in told
        assert told.endswith("it was started again.")
        workdir.mark("interrupted")
    # Resumed again under the newer conditions, the new one goes on.
    with Workdir.prepare(tmp_path, SPEC, newer, **about) as workdir:
        with workdir.child("confirmation", OTHER, newer, allow_drift=True) as child:
            assert child.resumed
        assert len(workdir.manifest["replaced"]) == 1


def test_a_choice_that_changed_without_drift(tmp_path: Path) -> None:
    """Protects a nested study from being thrown away for no known reason: the user decides."""
    begun(tmp_path)
    with prepare(tmp_path, resume=True) as workdir:
        with pytest.raises(UserError, match="Move the folder confirmation out of the workdir"):
            workdir.child("confirmation", OTHER, HERE)
        assert (tmp_path / "confirmation" / "blocks" / "00000.npz").exists()
        shutil.move(tmp_path / "confirmation", tmp_path.parent / f"{tmp_path.name}-kept")
        workdir.child("confirmation", OTHER, HERE).close()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("no"), "failed")]
)
def test_status_says_how_it_ended(tmp_path: Path, error: BaseException, status: str) -> None:
    """Protects the record: a study that did not finish says so, and can be resumed."""

    def run() -> None:
        with prepare(tmp_path):
            raise error

    with pytest.raises(type(error)):
        run()
    found = Workdir.open(tmp_path).manifest
    assert found["status"] == status
    assert found.get("error") == ("RuntimeError: no" if status == "failed" else None)
    prepare(tmp_path, resume=True).close()


def test_full_disk_is_marked_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the record on a full disk: the failure itself can still be written down."""
    really = files.write_json

    def full(path: Path, value: Any) -> None:
        if (tmp_path / ".reserve").exists():
            raise StorageError(path, OSError(errno.ENOSPC, "No space left on device"))
        really(path, value)

    def run() -> None:
        with prepare(tmp_path) as workdir:
            monkeypatch.setattr(files, "write_json", full)
            workdir.write_json("summary.json", {})

    with pytest.raises(StorageError, match=r"summary\.json: No space left"):
        run()
    found = Workdir.open(tmp_path).manifest
    assert found["status"] == "failed"
    assert "No space left" in found["error"]
    assert set(tree(tmp_path)) == {"manifest.json"}


def test_folder_in_the_way_of_a_result(tmp_path: Path) -> None:
    """Protects from a bare system error where a result's folder cannot be made."""
    with prepare(tmp_path) as workdir:
        workdir.write_text("tables", "a file")
        with pytest.raises(StorageError, match="cannot write"):
            workdir.write_text("tables/arms.md", "|")
        with pytest.raises(ValueError, match="no such status"):
            workdir.mark("done")
        workdir.update(note={"nan": float("nan")})
        assert workdir.manifest["note"] == {"nan": None}


@pytest.mark.slow
def test_manifest_survives_kills(tmp_path: Path) -> None:
    """Protects resuming: however often a writing process is killed, the manifest reads whole."""
    for attempt in range(10):
        path = tmp_path / str(attempt)
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.01 * attempt + 0.003)
            writer.kill()
        assert manifest.read_manifest(path) is not None
        Workdir.prepare(path, {}, {}, resume=True).close()
