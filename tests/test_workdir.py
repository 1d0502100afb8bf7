"""The workdir: taken with care, written whole, resumed only as what it was."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convergence import spec
from convergence.errors import UserError
from convergence.reporting import admission
from convergence.reporting.workdir import Workdir

SPEC = spec.to_json(spec.StudySpec("train", "Where does it end?"))
HERE = {"versions": {"jax": "1.0"}, "device": {"platform": "cpu"}, "data_digest": "d"}


def prepare(path: Path, **options: Any) -> Workdir:
    return Workdir.prepare(path, SPEC, HERE, command=["train"], **options)


def finished(path: Path) -> Workdir:
    workdir = prepare(path)
    workdir.write_json("summary.json", {"best": 1})
    workdir.mark("finished")
    return workdir


def tree(path: Path) -> dict[str, bytes]:
    """Every file below a folder, without lock and reserve."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in (".lock", ".reserve")
    }


def test_fresh_study(tmp_path: Path) -> None:
    """Protects the contract of manifest.json: all of a study is on record before it trains."""
    path = tmp_path / "deep" / "er" / "study"
    with prepare(path, claims=[{"margin": 0.01}]) as workdir:
        found = json.loads((path / "manifest.json").read_text())
        assert found == workdir.manifest
        assert found["status"] == "running"
        assert found["spec"] == SPEC
        assert found["spec_digest"] == spec.digest(SPEC)
        assert found["provenance"] == HERE
        assert found["claims"] == [{"margin": 0.01}]
        assert found["command"] == ["train"]
        assert found["times"][0]["at"].endswith("+00:00")
        assert not workdir.resumed
        workdir.mark("finished", result="good")
    found = Workdir.open(path)
    assert found.finished
    assert found.manifest["result"] == "good"
    assert [time["status"] for time in found.manifest["times"]] == ["running", "finished"]
    assert sorted(p.name for p in path.iterdir()) == ["manifest.json"]


def test_foreign_folder_is_never_touched(tmp_path: Path) -> None:
    """Protects the user's files: a folder that is no study of ours is always refused."""
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "checkpoints").mkdir()
    for options in ({}, {"overwrite": True}):
        with pytest.raises(UserError, match=r"--workdir: .*not empty and holds no study"):
            prepare(tmp_path, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "thesis.tex"]


def test_file_instead_of_folder(tmp_path: Path) -> None:
    """Protects from a traceback where the path, or its parent, is a file or no path at all."""
    (tmp_path / "file").write_text("x")
    for path in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        Path("x\0y"),
        Path("/proc/none/x"),
    ):
        with pytest.raises(UserError, match="--workdir"):
            prepare(path)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["iterdir", "mkdir"])
def test_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Protects from a traceback where the folder may not be read or made."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(UserError, match="Permission denied; choose a folder you may write to"):
        prepare(tmp_path / "study" if name == "mkdir" else tmp_path)


def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a late failure: a folder that may not be written is refused before training."""
    really = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match="--workdir: cannot write to"):
        prepare(tmp_path)


def test_finished_study_needs_overwrite(tmp_path: Path) -> None:
    """Protects results: a finished study is neither replaced nor changed unasked."""
    finished(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(
        UserError, match="finished study; give --overwrite to replace it, or another"
    ):
        prepare(tmp_path)
    assert tree(tmp_path) == before
    workdir = prepare(tmp_path, resume=True)
    assert workdir.finished
    assert tree(tmp_path) == before


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_unfinished_study_needs_a_word(tmp_path: Path, status: str) -> None:
    """Protects hours of work: an unfinished study is continued or replaced only when told to."""
    workdir = prepare(tmp_path)
    workdir.mark(status)
    workdir.close()
    with pytest.raises(
        UserError, match=rf"unfinished study \({status}\); give --resume .* --overw"
    ):
        prepare(tmp_path)
    with prepare(tmp_path, resume=True) as again:
        assert again.resumed
        assert again.manifest["status"] == "running"
        assert not again.finished


def test_overwrite_removes_our_files_only(tmp_path: Path) -> None:
    """Protects what else is in the folder, and what links in it point to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    path = tmp_path / "study"
    with prepare(path) as workdir:
        workdir.write_text("tables/arms.md", "|")
        workdir.write_json("extra.json", {})
        workdir.save_block(0, {"x": np.zeros(2)})
        with workdir.child("confirmation", SPEC, HERE) as child:
            child.write_json("summary.json", {})
            (child.root / "mine.txt").write_text("mine")
        with workdir.child("second", SPEC, HERE):
            pass
    (path / "notes.txt").write_text("mine")
    (path / ".manifest.json.12.part").write_text("half")
    for name in ("tb", "curves.npz", "checkpoints"):
        (path / name).symlink_to(outside, target_is_directory=True)
    (path / "tables" / "link").symlink_to(outside)
    with prepare(path, overwrite=True) as workdir:
        assert set(tree(path)) == {"manifest.json", "notes.txt", "confirmation/mine.txt"}
        assert workdir.manifest["files"] == []
        assert [time["status"] for time in workdir.manifest["times"]] == ["running"]
    assert tree(outside) == {"keep": b"keep"}


def test_overwrite_cut_short_stays_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a folder nobody owns: a removal that is cut short can be repeated."""
    finished(tmp_path)

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(admission, "_remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, overwrite=True)
    monkeypatch.undo()
    assert Workdir.open(tmp_path).manifest["status"] == "interrupted"
    prepare(tmp_path, overwrite=True).close()


def test_manifest_cannot_order_a_removal_outside(tmp_path: Path) -> None:
    """Protects from a manifest made to harm: names that lead out of the folder are ignored."""
    study, victim = tmp_path / "study", tmp_path / "victim"
    finished(study)
    victim.write_text("keep")
    found = json.loads((study / "manifest.json").read_text())
    found |= {"files": ["../victim", str(victim), ".."], "children": ["..", ".", "../victim", 3]}
    (study / "manifest.json").write_text(json.dumps(found))
    prepare(study, overwrite=True).close()
    assert victim.read_text() == "keep"
    assert study.is_dir()


def test_nothing_to_resume(tmp_path: Path) -> None:
    """Protects from a typo in --workdir: --resume never starts a study, nor makes its folder."""
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="--resume: there is no study in"):
            prepare(path, resume=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="--resume: contradicts --overwrite"):
        prepare(tmp_path, resume=True, overwrite=True)


def test_resume_with_other_settings_says_which(tmp_path: Path) -> None:
    """Protects a study's meaning: it cannot become another one half-way."""
    prepare(tmp_path).close()
    changed = spec.StudySpec("train", "Where does it end?").setting.changed({"steps": 7})
    other = spec.to_json(spec.StudySpec("train", "Where does it end?", changed))
    with pytest.raises(UserError, match=r"other settings: setting\.train\.steps was 1000, now 7\."):
        Workdir.prepare(tmp_path, other, HERE, resume=True)
    # The folder is free again, for the settings it has (as Python holds them, tuples and all).
    prepare(tmp_path, resume=True).close()


def test_resume_of_an_older_spec(tmp_path: Path) -> None:
    """Protects studies begun before a field was there: it had its default, and they go on."""
    prepare(tmp_path).close()
    found = json.loads((tmp_path / "manifest.json").read_text())
    del found["spec"]["run"]["save_params"], found["spec"]["arms"][0]["draws"]
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    prepare(tmp_path, resume=True).close()
    other = json.loads(json.dumps(SPEC))
    other["run"]["save_params"] = "none"
    with pytest.raises(UserError, match=r"run\.save_params was 'auto', now 'none'"):
        Workdir.prepare(tmp_path, other, HERE, resume=True)


def test_resume_under_drift(tmp_path: Path) -> None:
    """Protects the bits contract: other versions are refused, or allowed and recorded."""
    prepare(tmp_path).close()
    now = {**HERE, "versions": {"jax": "2.0"}, "data_digest": "e"}
    with pytest.raises(UserError, match=r"versions\.jax was '1\.0', now '2\.0'; data_digest"):
        Workdir.prepare(tmp_path, SPEC, now, resume=True)
    with Workdir.prepare(tmp_path, SPEC, now, resume=True, allow_drift=True) as workdir:
        assert "versions.jax" in workdir.messages[0]
        (first, second) = workdir.manifest["drift"]
        assert (first["field"], first["was"], first["now"]) == ("versions.jax", "1.0", "2.0")
        assert second["field"] == "data_digest"
        assert workdir.manifest["provenance"] == HERE


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is corrupt, not JSON"),
        ("[]", "is not a manifest of ours"),
        ('{"workdir_version": 1}', "'spec' is missing"),
        ('{"workdir_version": 99}', "newer version"),
        (
            '{"workdir_version":1,"spec":{},"provenance":{},"status":"odd","times":[]}',
            "its status is 'odd'",
        ),
    ],
)
def test_damaged_manifest(tmp_path: Path, content: str, told: str) -> None:
    """Protects from guessing: a manifest that cannot be trusted is told, and left alone."""
    (tmp_path / "manifest.json").write_text(content)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UserError, match=told):
            prepare(tmp_path, **options)
    with pytest.raises(UserError, match=told):
        Workdir.open(tmp_path)
    assert tree(tmp_path) == {"manifest.json": content.encode()}


def test_open_needs_a_study(tmp_path: Path) -> None:
    """Protects the scripts that read studies from an empty folder."""
    with pytest.raises(UserError, match="--workdir: there is no study in"):
        Workdir.open(tmp_path)


HOLDER = (
    "import sys, time\n"
    "from convergence.reporting.workdir import Workdir\n"
    "w = Workdir.prepare(sys.argv[1], {}, {})\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Protects a running study from a second process; a killed one's lock is taken over."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "study")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        for options in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(
                UserError, match=rf"in use by another process \(pid {holder.pid}, since"
            ):
                Workdir.prepare(tmp_path / "study", {}, {}, **options)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / "study" / ".lock").exists()
    with Workdir.prepare(tmp_path / "study", {}, {}, resume=True) as workdir:
        assert workdir.resumed


def test_killed_before_the_manifest(tmp_path: Path) -> None:
    """Protects a study killed in its first moment: what it left is no foreign file."""
    (tmp_path / ".lock").write_text("{}")
    (tmp_path / ".reserve").write_text("")
    (tmp_path / ".manifest.json.0a1b2c3d.part").write_text("{")
    with prepare(tmp_path) as workdir:
        assert not workdir.resumed
        workdir.mark("finished")
    assert Workdir.open(tmp_path).finished
