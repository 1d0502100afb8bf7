"""Inputs as vectors of words: bit for bit what went in, and nothing that would not fit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from convergence.training.words import Words

LEAVES = st.sampled_from(["float32", "int32", "uint32", "bool"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
)
_unpack = jax.jit(Words.unpack, static_argnums=0)


def bits(leaf: Any) -> bytes:
    return np.asarray(leaf).tobytes()


@settings(max_examples=60, deadline=None)
@given(tree=st.dictionaries(st.sampled_from("abcd"), LEAVES, min_size=1))
def test_round_trip(tree: dict[str, Any]) -> None:
    """Protects every trial's inputs: shapes, types and bits (NaN payloads, -0) come back."""
    form = Words.of(tree)
    packed = form.pack(tree)
    assert packed.dtype == np.uint32
    found = _unpack(form, packed)
    assert found.keys() == tree.keys()
    for name, leaf in tree.items():
        assert (found[name].shape, found[name].dtype) == (leaf.shape, leaf.dtype)
        assert bits(found[name]) == bits(leaf)


def test_other_forms_are_refused() -> None:
    """Protects lanes from each other: one whose arrays are of another form does not slip in."""
    form = Words.of({"a": np.float32(1), "b": np.zeros(3, np.int32)})
    for other in (
        {"a": np.float32(1), "b": np.zeros(4, np.int32)},
        {"a": np.float32(1), "b": np.zeros(3, np.uint32)},
        {"a": np.float32(1), "c": np.zeros(3, np.int32)},
    ):
        with pytest.raises(ValueError, match="another form"):
            form.pack(other)


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16", "int8", "complex64"])
def test_values_that_do_not_fill_words_are_refused(dtype: str) -> None:
    """Protects numbers from being read as others."""
    with pytest.raises(TypeError, match=f"{dtype} values do not fill words"):
        Words.of({"a": np.zeros(2, dtype)})
