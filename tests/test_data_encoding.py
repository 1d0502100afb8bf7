"""The kept encoding: as it was, after JSON; and refused where it was tampered with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.datafiles import put, rows_of, spec_of

from convergence import data, names
from convergence.data.encoding import Encoding, encoding_of, from_json
from convergence.spec import DataSpec


def mixed(folder: Path) -> Encoding:
    """Of a table with a number, a category and a class."""
    text = rows_of(40, lambda i: f"{i},{'abc'[i % 3]},{'xy'[i % 2]}", "size,kind,y")
    return encoding_of(data.load(spec_of(put(folder, text))))


@pytest.mark.parametrize("name", [n for n in names.DATASETS if n not in ("file", "mnist1d")])
def test_json_keeps_it(name: str) -> None:
    """Protects predictions: what is written is what is read."""
    encoding = encoding_of(data.load(DataSpec(dataset=name)))
    assert from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


def test_json_keeps_a_table(tmp_path: Path) -> None:
    """Protects file data: columns in order, categories in order, classes in order."""
    encoding = mixed(tmp_path)
    assert encoding.columns is not None
    assert encoding.features == ("size", "kind=a", "kind=b", "kind=c")
    assert (encoding.classes, encoding.outputs) == (("x", "y"), 2)
    assert from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


def drop(field: str) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.pop(field)


def put_in(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.update({field: value})


TAMPERED = {
    "no task": drop("task"),
    "unknown task": put_in("task", "ranking"),
    "no target": put_in("target", 3),
    "no shape": drop("shape"),
    "negative shape": put_in("shape", [-4]),
    "huge shape": put_in("shape", [1 << 20, 1 << 20]),
    "true shape": put_in("shape", [True]),
    "another shape": put_in("shape", [5]),
    "classes of a number": put_in("task", "regression"),
    "features": put_in("features", ["a", "b", "c", "d"]),
    "numbers for names": put_in("classes", [1, 2]),
    "columns": put_in("columns", {"a": 1}),
    "nameless column": lambda value: value["columns"][0].pop("name"),
    "kind": lambda value: value["columns"][0].update(kind="date"),
    "categories": lambda value: value["columns"][1].update(categories=["a", "a", "b"]),
    "too many": lambda value: value["columns"][1].update(categories=[str(i) for i in range(101)]),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampered(how: str, tmp_path: Path) -> None:
    """Protects from files of strangers: nothing that contradicts itself or is huge is used."""
    value = copy.deepcopy(json.loads(json.dumps(mixed(tmp_path).to_json())))
    TAMPERED[how](value)
    with pytest.raises(ValueError):
        from_json(value)


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_not_an_encoding(value: Any) -> None:
    """Protects from any other JSON in its place."""
    with pytest.raises(ValueError):
        from_json(value)
