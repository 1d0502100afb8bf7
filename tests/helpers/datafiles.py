"""Small data files on disk, and what loading them says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergence import data
from convergence.errors import UserError
from convergence.spec import DataSpec


def spec_of(path: Path, target: str = "y", **fields: Any) -> DataSpec:
    return DataSpec(dataset="file", data_path=str(path), target=target, **fields)


def put(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows_of(count: int, cells: Callable[[int], str], header: str = "a,b,y") -> str:
    return "\n".join([header, *(cells(i) for i in range(count))]) + "\n"


def plain_cells(i: int) -> str:
    return f"{i},{i * i % 7},{i * 0.37:.2f}"


def said(spec: DataSpec) -> str:
    with pytest.raises(UserError) as caught:
        data.load(spec)
    return str(caught.value)


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
