"""Bad input, as a user meets it: exit status 2, one line that says what would be right, no trace.

All of it is found before anything is compiled and before a workdir is made.
"""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import commands
from helpers.commands import launch, refused

from convergence import command, names, spec

FIELDS = [field for part in spec.PARTS.values() for field in dataclasses.fields(part)]


def refusal(tmp_path: Path, name: str, *arguments: str) -> str:
    """What an experiment says of bad flags; nothing was made."""
    told = refused(launch(name, f"--workdir={tmp_path / 'study'}", *arguments), name)
    assert not (tmp_path / "study").exists()
    return told


# --- names ---------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[str, ...]] = {
    **{field.name: field.metadata["choices"] for field in FIELDS if "choices" in field.metadata},
    "preset": names.PRESETS,
    "platform": command.PLATFORMS,
}


@pytest.mark.parametrize("flag", CHOICES)
@pytest.mark.parametrize("experiment", commands.EXPERIMENTS)
def test_unknown_names(tmp_path: Path, experiment: str, flag: str) -> None:
    """Protects from a misspelt choice: the nearest valid name is offered, for every choice."""
    meant = max(CHOICES[flag], key=len)
    told = refusal(tmp_path, experiment, f"--{flag}={meant[:-1]}")
    assert told.startswith(f"--{flag}: unknown ")
    assert repr(meant) in told.partition("did you mean ")[2].partition("?")[0]
    offered = told.partition("Valid: ")[2].removesuffix(".").split(", ")
    assert set(offered) == set(CHOICES[flag])


def test_unknown_schedules(tmp_path: Path) -> None:
    """Protects the experiment's own list from naming a flag that the user did not give."""
    told = refusal(tmp_path, "schedules", "--schedules=cosin;linear")
    assert told.startswith("--schedules: unknown schedule 'cosin'; did you mean 'cosine'")
    assert refusal(tmp_path, "schedules", "--schedules=constant").startswith("--schedules: ")


# --- numbers -------------------------------------------------------------------------------------


def beyond() -> list[tuple[str, str]]:
    """(flag, value) just outside each bound of each number."""
    found = []
    for field in FIELDS:
        low, high = field.metadata.get("low"), field.metadata.get("high")
        step: float = 1 if isinstance(low, int) else 1e-7
        found += [(field.name, f"{low - step}")] if low is not None else []
        found += [(field.name, f"{high + step}")] if high is not None else []
    return found


@pytest.mark.parametrize(("flag", "value"), beyond())
def test_numbers_out_of_range(tmp_path: Path, flag: str, value: str) -> None:
    """Protects from training with numbers that mean nothing: every bound is checked and told."""
    told = refusal(tmp_path, "train", "--dataset=iris", f"--{flag}={value}")
    assert re.match(rf"--{flag}: \S+ is out of range; must be (at least|between) ", told)


NUMBERS = [f.name for f in FIELDS if type(f.default) in (int, float)]


@pytest.mark.parametrize("flag", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "inf", "many", ""])
def test_no_numbers(tmp_path: Path, flag: str, value: str) -> None:
    """Protects from what no comparison finds out of range (NaN), and from what is no number."""
    told = refusal(tmp_path, "train", "--dataset=iris", f"--{flag}={value}")
    assert told.startswith(f"--{flag}: ")
    assert re.search(r"must be a finite number|is not a (whole )?number", told)


# --- settings that do not fit the data, or each other -------------------------------------------

MISTAKES = [
    ("train", "--batch_size=97", r"--batch_size: 97 .* only 96 training rows .*smaller"),
    ("train", "--batch_size=97 --epochs=2", r"--batch_size: 97 .* only 96 training rows"),
    ("schedules", "--batch_size=97", r"--batch_size: 97 .* only 96 training rows"),
    ("five_challenges", "--batch_size=97", r"--batch_size: 97 .* only 96 training rows"),
    ("train", "--train_size=9", r"--train_size: 9 rows are too few to train on; at least 10"),
    (
        "train",
        "--validation_fraction=.9 --test_fraction=.9",
        r"--test_fraction: of the 150 rows of iris, 1 is left .* at least 10 are needed; give less",
    ),
    ("train", "--loss=mse", r"--loss: mse does not fit a classification; .* cross_entropy"),
    ("five_challenges", "--loss=mse", r"--loss: mse does not fit a classification; .* gce"),
    ("train", "--metric=rmse", r"--metric: rmse does not fit a classification; .* accuracy"),
    ("schedules", "--metric=r2", r"--metric: r2 does not fit a classification; .* brier"),
    ("train", "--dataset=diabetes --metric=brier", r"--metric: brier does not fit a reg.* rmse"),
    ("train", "--dataset=diabetes --loss=hinge", r"--loss: hinge does not fit a regression; .*mae"),
    ("train", "--task=regression", r"--task: iris is a classification dataset"),
    ("train", "--outliers=.1", r"--outliers: iris is a classification dataset"),
    ("train", "--steps=5 --epochs=2", r"--steps: excludes --epochs; give one"),
    ("train", "--warmup=30 --steps=20", r"--warmup: 30 steps leave none of the 20"),
    ("train", "--accumulate=3", r"--accumulate: 3 microbatches do not divide a batch of 64"),
    ("train", "--steps=2000 --fingerprint_every=1", r"--fingerprint_every: .* at least 2"),
    ("train", "--schedule=0:1,5", r"--schedule: '5' is not a pair step:factor"),
    ("train", "--schedule=none.csv", r"--schedule: none\.csv: there is no such file"),
    ("train", "--schedule=none.py:rate", r"--schedule: there is no file none\.py"),
    ("train", "--schedule=triangular:0", r"--schedule: 'triangular:0' needs the number of cycles"),
    ("train", "--schedule=drop:7", r"--schedule: 'drop:7' needs how often and by what"),
    ("train", "--target=y", r"--target: is only read with --dataset=file"),
    ("train", "--dataset=file", r"--data_path: is empty"),
    ("train", "--model=none.py:net", r"--model: there is no file none\.py"),
    ("train", "--loss=none.py:net", r"--loss: there is no file none\.py"),
    ("train", "--resume", r"--resume: there is no study in .* to resume"),
    ("train", "--resume --overwrite", r"--resume: contradicts --overwrite"),
    ("train", "--stpes=3", r"unknown flag --stpes; did you mean --steps "),
    ("train", "steps=3", r"unexpected argument 'steps=3'; flags are written --name=value"),
    ("five_challenges", "--learning_rate=0", r"--learning_rate: must be above 0"),
    ("five_challenges", "--init_scale=0", r"--init_scale: must be above 0"),
    ("five_challenges", "--vary=", r"--vary: must name a source"),
    ("five_challenges", "--vary=augment,dropout", r"--vary: must name a source that has an effect"),
    ("train", "--compilation_cache=/dev/null/x", r"--compilation_cache: cannot keep compiled pro"),
]


@pytest.mark.parametrize(("experiment", "line", "told"), MISTAKES)
def test_settings_that_do_not_fit(tmp_path: Path, experiment: str, line: str, told: str) -> None:
    """Protects the user's time: what cannot be trained is said at once, with what could be."""
    arguments = ["--dataset=iris", *line.split()]
    assert re.match(told, refusal(tmp_path, experiment, *arguments))


# --- data files ----------------------------------------------------------------------------------

ROWS = "".join(f"{i},{i * 7 % 11},{i % 2}\n" for i in range(40))


class Trap:
    """What a hostile pickle would hold: loading it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def object_archive(path: Path, mark: Path) -> None:
    """An NPZ whose inputs are Python objects."""
    with open(path, "wb") as stream:
        np.savez(stream, x=np.array([[Trap(mark)]], object), y=np.zeros(1))


FILES: dict[str, tuple[str | None, str]] = {
    "missing": (None, r"--data_path: there is no file \S+/missing\.csv"),
    "empty": ("", r"--data_path: \S+/empty\.csv is empty"),
    "headed": ("a,b,y\n", r"--data_path: headed\.csv: has a header but no rows"),
    "ragged": (f"a,b,y\n{ROWS}1,2\n", r"--data_path: ragged\.csv, line 42: row 41 has 2 cells"),
    "targetless": (f"a,b,z\n{ROWS}", r"--target: unknown column of targetless\.csv: 'y'.* a, b, z"),
    "lone": (f"a,b,y\n{ROWS}1,2,7\n", r'.*row 41 \(line 42\) of lone\.csv, column "y": .*\'7\''),
    "constant": ("a,b,y\n" + "1,2,3\n2,3,3\n" * 20, r'.*column "y" of constant\.csv.*every row'),
    "gap": (f"a,b,y\n{ROWS}1,2,\n", r'.*row 41 \(line 42\) of gap\.csv, column "y": .*missing'),
    "few": ("a,b,y\n1,2,.5\n2,1,.7\n3,3,.9\n4,4,.1\n", r"--data_path: of the 4 rows of few"),
}


@pytest.mark.parametrize("kind", FILES)
def test_data_files(tmp_path: Path, kind: str) -> None:
    """Protects from guessing at a user's file: what is wrong with it is told, row and column."""
    content, told = FILES[kind]
    path = tmp_path / f"{kind}.csv"
    if content is not None:
        path.write_text(content)
    arguments = ["--dataset=file", f"--data_path={path}", "--target=y", "--batch_size=1"]
    assert re.match(told, refusal(tmp_path, "train", *arguments))


def test_no_target_named(tmp_path: Path) -> None:
    """Protects from predicting the wrong column: the file's columns are listed."""
    path = tmp_path / "x.csv"
    path.write_text(f"a,b,y\n{ROWS}")
    told = refusal(tmp_path, "train", "--dataset=file", f"--data_path={path}")
    assert told == "--target: name the column of x.csv to predict; it has a, b, y."


@pytest.mark.parametrize("kind", ["x.pkl", "x.csv", "x.npz"])
def test_pickles_are_not_loaded(tmp_path: Path, kind: str) -> None:
    """Protects from code in a data file: a pickle is named as one, and never loaded."""
    path, mark = tmp_path / kind, tmp_path / "loaded"
    if kind.endswith("npz"):
        object_archive(path, mark)
    else:
        path.write_bytes(pickle.dumps(Trap(mark)))
    target = [] if kind.endswith("npz") else ["--target=y"]
    told = refusal(tmp_path, "train", "--dataset=file", f"--data_path={path}", *target)
    assert "pickle" in told
    assert "never loaded" in told
    assert not mark.exists()


# --- the workdir ---------------------------------------------------------------------------------


def test_workdir_in_the_way(tmp_path: Path) -> None:
    """Protects what stands where the workdir should: a file, or a folder of the user's."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    before = commands.tree(tmp_path)
    for path, why in (
        ("file", "is a file; give a folder"),
        ("file/below", "Not a directory; choose a folder you may write to"),
        ("folder", "not empty and holds no study"),
    ):
        for more in ([], ["--overwrite"]):
            told = refused(
                launch("train", "--dataset=iris", f"--workdir={tmp_path / path}", *more), "train"
            )
            assert told.startswith("--workdir: ")
            assert why in told
    assert commands.tree(tmp_path) == before


@pytest.mark.parametrize(("method", "doing"), [("mkdir", "make the folder"), ("iterdir", "read")])
def test_workdir_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, doing: str
) -> None:
    """Protects from a trace where the workdir may not be made or read."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "study"
    if method == "iterdir":
        path.mkdir()
    monkeypatch.setattr(Path, method, refuse)
    told = refused(launch("train", "--dataset=iris", f"--workdir={path}"), "train")
    assert told.startswith(f"--workdir: cannot {doing} {path}: Permission denied; choose")
