"""The certificate in a study's folder: void when it must be, and told to the study's readers."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers.finished import finished

from convergence import command, compilation_cache, verification
from convergence.errors import UserError
from convergence.replay import open_replay
from convergence.report import page
from convergence.reporting import certificate, files
from convergence.reporting.workdir import Workdir
from convergence.spec import Arm, DataSpec
from convergence.verification import Check, Verifier

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "verify.py"
GOOD = [Check("repeated", "the same bits again", "verified", "1 of 2 trials")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study with a certificate by which all is verified."""
    base = tmp_path_factory.mktemp("certified")
    rng = np.random.default_rng(0)
    np.savez(base / "rows.npz", x=rng.normal(size=(60, 3)), y=rng.integers(0, 2, 60))
    told = DataSpec(dataset="file", data_path=str(base / "rows.npz"))
    finished(base / "study", told, fingerprint_every=1)
    replay = open_replay(base / "study")
    given = verification.certificate(replay, [0], GOOD)
    assert given["verified"] is True
    replay.saved.workdir.write_json(certificate.CERTIFICATE, given)
    return base / "study"


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, which changes no configuration of this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(compilation_cache, "enable", lambda say: None)
    known = importlib.util.spec_from_file_location("verify_script", SCRIPT)
    assert known is not None
    assert known.loader is not None
    module = importlib.util.module_from_spec(known)
    known.loader.exec_module(module)
    return module


def left(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "certificate.json").read_text())
    return found


def test_a_check_that_is_stopped_voids_the_one_before(
    folder: Path, verify: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from an old certificate that outlives a new check."""
    seen = []

    def stopped(self: Verifier) -> Any:
        seen.append(left(folder))  # what a kill at this moment would leave
        raise KeyboardInterrupt

    monkeypatch.setattr(Verifier, "checks", stopped)
    assert verify.main(verify.parsed([str(folder), "--trial=0"])) == command.INTERRUPTED
    assert [one["verified"] for one in (*seen, left(folder))] == [False, False]
    assert certificate.line(Workdir.open(folder)).startswith("Nothing is verified: the check was")


def test_records_that_cannot_be_checked_any_more(folder: Path, verify: ModuleType) -> None:
    """Protects from a certificate of records that are damaged since."""
    path = folder / "fingerprints.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        verify.main(verify.parsed([str(folder), "--trial=0"]))
    assert left(folder)["verified"] is False
    assert left(folder)["sentence"].startswith("Nothing could be verified: ")


def test_data_that_have_changed(folder: Path, trained: Path, verify: ModuleType) -> None:
    """Protects from a certificate of data that are others since."""
    rows = trained.parent / "rows.npz"
    before = rows.read_bytes()
    np.savez(rows, x=np.ones((60, 3)), y=np.arange(60) % 2)
    try:
        with pytest.raises(UserError, match="not those of the study"):
            verify.main(verify.parsed([str(folder), "--trial=0"]))
        rows.unlink()
        with pytest.raises(UserError) as told:
            verify.main(verify.parsed([str(folder), "--trial=0"]))
    finally:
        rows.write_bytes(before)
    said = f"the data of the study in {folder} cannot be read: there is no file {rows}."
    assert str(told.value) == said  # it names no flag: verify has none for data
    assert left(folder)["verified"] is False


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sample=0"], "--sample: is a number of trials, 1 or more"),
        (["--trial=,"], "--trial: names no trial"),
        (["--trial=-1"], "--trial: there is no trial '-1' in "),
        (["--trial=0", "--sample=1"], "--sample: contradicts --trial"),
        (["--model=x.py:net"], "--model: the study has no such file of your own"),
    ],
)
def test_a_mistake_in_the_flags_leaves_the_certificate(
    folder: Path, verify: ModuleType, flags: list[str], said: str
) -> None:
    """Protects the user's typing errors from costing a certificate."""
    with pytest.raises(UserError) as error:
        verify.main(verify.parsed([str(folder), *flags]))
    assert said in str(error.value)
    assert left(folder)["verified"] is True


def test_trials_are_named_as_the_other_scripts_name_them(folder: Path, verify: ModuleType) -> None:
    """Protects a name told by one script from being refused by another: ARM/SEED is a trial."""
    study = open_replay(folder)
    name = f"{study.study.arms[0].name}/{study.study.run.first_replica}"
    assert verify.chosen(verify.parsed([str(folder), f"--trial={name}, 1"]), study) == [0, 1]
    named = dataclasses.replace(study.study, arms=(Arm("schedule=0:1,10:.1"),))
    study = dataclasses.replace(study, study=named)
    assert verify.chosen(verify.parsed(["x", "--trial=schedule=0:1,10:.1/1"]), study) == [1]


def test_a_newer_study_is_left_alone(folder: Path, verify: ModuleType) -> None:
    """Protects a folder of a newer version: it is refused, and nothing is written into it."""
    manifest = json.loads((folder / "manifest.json").read_text()) | {"workdir_version": 99}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="newer version"):
        verify.main(verify.parsed([str(folder)]))
    assert left(folder)["verified"] is True


def test_the_report_tells_it(folder: Path) -> None:
    """Protects the reader: what is certified is told with its date, of these records alone."""
    told = page.write(folder).read_text()
    assert "1 of 1 invariances verified; " in told
    assert left(folder)["at"] in told
    path = folder / "fingerprints.npz"
    arrays = files.read_npz(path)
    arrays["marks"].flat[0] ^= 1
    files.write_npz(path, arrays)
    told = page.write(folder).read_text()
    assert "invariances verified" not in told
    assert "none that counts: certificate.json is of other records" in told
    (folder / "certificate.json").write_text("[")
    assert "bits verified" not in page.write(folder).read_text()
