"""A spec's fields: help text, choices and bounds as metadata, and the check of a value."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from convergence.errors import UserError, unknown_name

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 2**30  # of rows, steps and replicas: programs count them in int32
LARGEST_NUMBER = 3.4028234e38  # of float32, in which programs take traced numbers
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def option(default: Any, help: str, **meta: Any) -> Any:
    """A dataclass field whose metadata carries help text, choices, bounds and ``traced``."""
    return dataclasses.field(default=default, metadata={"help": help, **meta})


def _check_type(value: Any, field: dataclasses.Field[Any]) -> None:
    """Raises UserError for a value of another type than the default (int passes for float)."""
    default: Any = field.default
    many = isinstance(default, tuple)
    kind = type((default or (0,))[0] if many else default)
    if many and not isinstance(value, tuple):
        raise UserError(f"{value!r} is not a list.", field.name)
    for item in value if many else (value,):
        fits = isinstance(item, int | float) if kind is float else isinstance(item, kind)
        if not fits or (isinstance(item, bool) and kind is not bool):
            raise UserError(f"{item!r} is not {_KINDS[kind]}.", field.name)


def _check_number(value: float, field: dataclasses.Field[Any]) -> None:
    if not math.isfinite(value):
        raise UserError(f"must be a finite number, not {value}.", field.name)
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise UserError(f"{value} is out of range; must be {bounds}.", field.name)
    largest = LARGEST_COUNT if isinstance(value, int) else LARGEST_NUMBER
    if value > (high or largest):
        raise UserError(f"{value} is out of range; must be at most {largest}.", field.name)


def _is_own(item: str, field: dataclasses.Field[Any]) -> bool:
    suffix = field.metadata.get("suffix")
    return ":" in item or (suffix is not None and item.lower().endswith(suffix))


def check(part: object, field: dataclasses.Field[Any]) -> None:
    """Raises UserError, naming the field, where its value in this part of a spec is wrong.

    Values with a colon pass for a choice that may be the user's own (metadata ``user``), and so do
    names of files with the metadata's ``suffix``.
    """
    value, choices = getattr(part, field.name), field.metadata.get("choices")
    _check_type(value, field)
    for item in value if isinstance(value, tuple) else (value,):
        own = field.metadata.get("user") and isinstance(item, str) and _is_own(item, field)
        if choices and not own and item not in choices:
            raise unknown_name(str(item), choices, field.name, field.name)
        if isinstance(item, int | float) and not isinstance(item, bool):
            _check_number(item, field)
