"""Checkpoints: what was packed comes back bit for bit, and no damage passes for a checkpoint."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convergence.training.checkpoint import DamagedCheckpoint, pack, unpack

Arrays = dict[str, np.ndarray]


class Inner(NamedTuple):
    kernel: Any
    count: Any


FORMS = [np.dtype(t) for t in ("float32", "int32", "uint32", "bool", "uint8", "float64")]
arrays = hnp.arrays(
    st.sampled_from(FORMS), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)


def example() -> tuple[Any, Arrays]:
    state = {
        "params": Inner(np.array([[1.5, -0.0], [np.nan, 3.0]], np.float32), np.int32(7)),
        "parts": [np.array([True, False]), np.array([2**32 - 1], np.uint32)],
    }
    return state, {"eval/loss": np.array([[0.5]], np.float32), "curve/done": np.array(4)}


def same(a: np.ndarray, b: np.ndarray) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@settings(max_examples=50, deadline=None)
@given(st.lists(arrays, min_size=1, max_size=4), st.dictionaries(st.text("abc/_"), arrays))
def test_round_trip(leaves: list[np.ndarray], extra: Arrays) -> None:
    """Protects resuming: every leaf of any type and shape comes back with its bits."""
    state = {"inner": Inner(leaves[0], leaves[-1]), "rest": leaves}
    found, told = unpack(pack(state, extra), state)
    assert same(found["inner"].kernel, leaves[0])
    assert same(found["inner"].count, leaves[-1])
    assert all(same(a, b) for a, b in zip(found["rest"], leaves, strict=True))
    assert told.keys() == extra.keys()
    assert all(same(told[name], extra[name]) for name in extra)


def test_bfloat16_survives_a_file() -> None:
    """Protects models with state of types that NumPy's files do not know."""
    state = {"mean": np.asarray(jnp.asarray([1.5, -2.0], jnp.bfloat16))}
    file = io.BytesIO()
    np.savez(file, **pack(state, {}))
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        found, _ = unpack(dict(stored), state)
    assert same(found["mean"], state["mean"])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_damaged_byte(data: st.DataObject) -> None:
    """Protects against training on from a state that is not what was saved, by any one byte."""
    state, extra = example()
    packed = {name: np.array(value) for name, value in pack(state, extra).items()}
    name = data.draw(st.sampled_from(sorted(packed)))
    raw = bytearray(packed[name].tobytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    packed[name] = np.frombuffer(bytes(raw), packed[name].dtype).reshape(packed[name].shape)
    with pytest.raises(DamagedCheckpoint, match="digest does not match"):
        unpack(packed, state)


def renamed(packed: Arrays, name: str) -> Arrays:
    return {(other if other != name else f"{name}x"): value for other, value in packed.items()}


@pytest.mark.parametrize("name", sorted(pack(*example())))
def test_one_array_damaged(name: str) -> None:
    """Protects against an array that is gone, renamed, reshaped or of another type."""
    state, extra = example()
    packed = pack(state, extra)
    value = packed[name]
    turned, kind = value[None], "u" if value.dtype.kind != "u" else "i"
    other = value.view(f"{kind}{value.itemsize}")  # the same bits
    damaged = [
        {n: v for n, v in packed.items() if n != name},
        renamed(packed, name),
        packed | {name: turned},
        packed | {name: other},
        packed | {"more": np.zeros(1)},
    ]
    for one in damaged:
        if name == "sha256" and any(one.get(name) is whole for whole in (turned, other)):
            continue  # the digest's own bytes may come in any form
        with pytest.raises(DamagedCheckpoint):
            unpack(one, state)


@pytest.mark.parametrize(
    "change",
    [
        {"params": Inner(np.zeros((2, 3), np.float32), np.int32(0))},
        {"params": Inner(np.zeros((2, 2), np.int32), np.int32(0))},
        {"params": Inner(np.zeros((2, 2), np.float32), np.zeros(1, np.int32))},
        {"more": np.zeros(1)},
        {"parts": [np.zeros(2, bool)]},
        {"parts": (np.zeros(2, bool), np.zeros(1, np.uint32), np.zeros(1))},
    ],
)
def test_another_program(change: dict[str, Any]) -> None:
    """Protects against a whole checkpoint of a program whose state has another form."""
    state, extra = example()
    with pytest.raises(DamagedCheckpoint, match=r"it (does not hold|holds more)"):
        unpack(pack(state, extra), state | change)


def test_swapped_leaves() -> None:
    """Protects against equal shapes at changed places: the digest knows the names."""
    state = {"a": np.zeros(3, np.float32), "b": np.ones(3, np.float32)}
    packed = pack(state, {})
    names = [name for name in packed if name.startswith("state")]
    swapped = packed | {names[0]: packed[names[1]], names[1]: packed[names[0]]}
    with pytest.raises(DamagedCheckpoint):
        unpack(swapped, state)
