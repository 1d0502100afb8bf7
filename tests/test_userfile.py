"""Loading from a user's file: what works, and what is told when it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convergence.errors import UserError
from convergence.userfile import load_attribute, told


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_loads_and_imports_neighbours(tmp_path: Path) -> None:
    """Protects files that import their neighbours, without leaving the path changed."""
    written(tmp_path, "answer = 41\n", "neighbour_of_mine.py")
    file = written(
        tmp_path, "from neighbour_of_mine import answer\ndef f():\n    return answer + 1\n"
    )
    before = list(sys.path)
    assert load_attribute(f"{file}:f", "loss")() == 42
    assert sys.path == before


def test_relative_paths_and_same_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects two files of one name from being taken for each other."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, f"value = {folder!r}\n")
    monkeypatch.chdir(tmp_path)
    assert load_attribute("a/mine.py:value", "loss") == "a"
    assert load_attribute("b/mine.py:value", "loss") == "b"


def test_dataclasses_with_postponed_annotations(tmp_path: Path) -> None:
    """Protects Linen modules, which look up the module that they are defined in."""
    text = (
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass A:\n    x: dataclasses.InitVar[int] = 3\n"
    )
    assert load_attribute(f"{written(tmp_path, text)}:A", "model")(2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0\n", r"mine.py \(line 2\): ZeroDivisionError: division by zero"),
        ("import no_such_module_at_all\n", r"\(line 1\): ModuleNotFoundError"),
        ("x = 1\n\ndef f(:\n    pass\n", r"\(line 3\): SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"\(line 2\): SystemExit: 3"),
        ("def losss():\n    pass\n", "has no attribute 'loss'; did you mean 'losss'"),
        ("x = 1\n", "has no attribute 'loss'; check the name"),
        ("raise KeyError()\n", "KeyError: no message"),
    ],
)
def test_faults_are_told_with_their_line(tmp_path: Path, text: str, words: str) -> None:
    """Protects users from a traceback through the laboratory's own files."""
    file = written(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(UserError, match=words) as caught:
        load_attribute(f"{file}:loss", "loss")
    assert str(caught.value).startswith("--loss: ")
    assert "\n" not in str(caught.value)
    if "attribute" not in words:
        assert not [m for m in set(sys.modules) - modules if m.startswith("convergence_user")]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("nowhere/mine.py:f", "no file nowhere/mine.py"),
        ("mine.txt:f", "not of the form"),
        ("mine.py:", "not of the form"),
        ("mine.py", "not of the form"),
        ("mine.py:a b", "not of the form"),
    ],
)
def test_bad_references_are_told(reference: str, words: str) -> None:
    """Protects users who mistype the path."""
    with pytest.raises(UserError, match=words):
        load_attribute(reference, "model")


def test_errors_from_elsewhere_have_no_line(tmp_path: Path) -> None:
    """Protects messages from naming a line of a file that the error did not pass."""
    assert told(ValueError("a\nb"), tmp_path / "x.py") == f"{tmp_path / 'x.py'}: ValueError: a"
