"""Reading what a study kept: only finished studies, and nothing that is damaged or foreign."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.finished import finished

from convergence import prediction
from convergence.errors import UserError
from convergence.reporting import files
from convergence.reporting.workdir import Workdir
from convergence.saved import Saved
from convergence.spec import Arm, DataSpec

FEW = DataSpec(dataset="teacher_regression", generated_rows=120)
X = np.zeros((2, 16), np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished study of two arms by three seeds, in two blocks."""
    with commands.programs_kept(tmp_path_factory.getbasetemp()):
        folder = tmp_path_factory.mktemp("saved") / "study"
        finished(folder, FEW, arms=(Arm("base"), Arm.of("fast", learning_rate=0.1)), num_seeds=3)
        yield folder


@pytest.fixture
def study(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "study"))


def said(study: Path, arm: str = "") -> str:
    with pytest.raises(UserError) as caught:
        prediction.outputs(prediction.choose(study, arm), X)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith("--workdir: ")
    return told


def edited(path: Path, edit: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def test_params_by_trial(whole: Path) -> None:
    """Protects what compares studies later: the models of any trials, in order."""
    saved = Saved.open(Workdir.open(whole))
    assert saved.trials("fast").tolist() == [1, 3, 5]
    assert saved.replicas(saved.trials("fast")).tolist() == [0, 1, 2]
    model = saved.model("base")
    index, models = saved.trained(np.array([1, 4, 5]), model)
    assert index.tolist() == [1, 4, 5]
    _, others = saved.trained(saved.trials("base"), model)
    kernel = models.params["dense_0"]["kernel"]
    assert kernel.shape == (3, 16, 6)
    assert np.array_equal(kernel[1], others.params["dense_0"]["kernel"][2])
    none, empty = saved.trained(np.array([99]), model)
    assert len(none) == 0
    assert empty.params["dense_0"]["kernel"].shape == (0, 16, 6)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_unfinished(status: str, study: Path) -> None:
    """Protects from half a study: it is said how it ended, and how it goes on."""
    edited(study / "manifest.json", lambda m: m.update(status=status))
    assert f"is not finished ({status}); continue it with --resume" in said(study)


def test_other_versions(study: Path, tmp_path: Path) -> None:
    """Protects from guesses: newer folders and specs, older studies, and no study at all."""
    assert "there is no study in" in said(tmp_path / "none")
    edited(study / "manifest.json", lambda m: m["spec"]["run"].update(future=1))
    assert "the spec holds 'future', which RunSpec does not know" in said(study)
    edited(study / "manifest.json", lambda m: m["spec"]["run"].pop("future"))
    edited(study / "manifest.json", lambda m: m.update(workdir_version=99))
    assert "was written by a newer version" in said(study)
    edited(study / "manifest.json", lambda m: m.update(workdir_version=1))
    (study / "preprocessing.json").unlink()
    assert "trained by a version that kept nothing to predict with" in said(study)


def test_no_params(study: Path) -> None:
    """Protects users of --save_params=none: they are told what to do."""
    shutil.rmtree(study / "params")
    assert "kept no params of 'base'; train it again with --save_params=all" in said(study)


def test_the_first_seeds_alone(study: Path) -> None:
    """Protects partial saving: the seeds that are there predict, the others are counted."""
    (study / "params" / "00001.npz").unlink()
    told = prediction.outputs(prediction.choose(study), X)
    assert (told.replicas.tolist(), told.diverged, told.seeds) == ([0, 1], 0, 3)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def swollen(path: Path) -> None:
    with path.open("ab") as stream:
        stream.truncate(path.stat().st_size + (8 << 20))


def retold(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        arrays = files.read_npz(path)
        files.write_npz(path, arrays | {name: change(arrays[name])})

    return edit


DAMAGE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "params cut": ("params/00000.npz", truncated, "zip"),
    "params large": ("params/00000.npz", swollen, ""),
    "params": (
        "params/00000.npz",
        retold("params/dense_0/kernel", lambda a: a + 1),
        "digest does not match",
    ),
    "params of a trial": ("params/00000.npz", retold("trial", lambda a: a + 2), "digest"),
    "preparation cut": ("preprocessing.npz", truncated, "zip"),
    "preparation gone": ("preprocessing.npz", Path.unlink, "it is missing"),
    "preparation short": ("preprocessing.npz", retold("diverged", lambda a: a[1:]), "number of"),
    "preparation type": ("preprocessing.npz", retold("preparation", np.float32), "does not tell"),
    "preparation place": ("preprocessing.npz", retold("preparation", lambda a: a + 1), "not there"),
    "preparation form": ("preprocessing.npz", retold("x_mean", lambda a: a[:, 1:]), "form"),
    "preparation scalar": ("preprocessing.npz", retold("y_mean", lambda a: a[0]), "form"),
    "encoding": ("preprocessing.json", lambda p: p.write_text("{"), "not JSON"),
    "encoding form": ("preprocessing.json", lambda p: p.write_text("[]"), "not an encoding"),
    "encoding shape": (
        "preprocessing.json",
        lambda p: edited(p, lambda v: v.update(shape=[3])),
        "features is no list of at most 3 texts",
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damage(how: str, study: Path) -> None:
    """Protects from quiet nonsense: damage is named with its file, and nothing is predicted."""
    name, damage, told = DAMAGE[how]
    damage(study / name)
    assert told in said(study)
    assert name in said(study)


def test_a_trial_twice(study: Path) -> None:
    """Protects from files of another layout beside ours: no trial counts twice."""
    shutil.copy(study / "params" / "00000.npz", study / "params" / "00009.npz")
    assert "a trial is in it twice" in said(study)


def test_links_out_of_the_workdir(study: Path, tmp_path: Path) -> None:
    """Protects the rest of the disk: what a workdir links to elsewhere is not read."""
    shutil.move(study / "params", tmp_path / "elsewhere")
    (study / "params").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in said(study)
