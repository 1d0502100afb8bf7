"""Params laid end to end: nothing may be lost, moved or confused with its neighbour."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from convergence import names, packing
from convergence.optimizers import build_optimizer
from convergence.packing import Packed, Packing, is_kernel

SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
DTYPES = st.sampled_from(["float32", "bfloat16", "int32"])
TREES = st.dictionaries(st.text(max_size=3), st.tuples(SHAPES, DTYPES), min_size=1, max_size=6)
HYPER = ("momentum", "beta1", "beta2", "epsilon", "weight_decay")


def tree_of(leaves: dict[str, Any], offset: int = 0) -> dict[str, Any]:
    tree = {}
    for index, (name, (shape, dtype)) in enumerate(leaves.items()):
        size = int(np.prod(shape))
        values = np.arange(size) + 8 * index + offset
        tree[name] = jnp.asarray(values.reshape(shape) % 100, dtype)
    return tree


@given(leaves=TREES)
@settings(max_examples=60, deadline=None)
def test_a_tree_comes_back_as_it_was(leaves: dict[str, Any]) -> None:
    """Protects the model: it sees the same leaves, shapes and dtypes, whatever they are."""
    tree = tree_of(leaves)
    layout = Packing.of(tree)
    packed = layout.pack(tree)
    found = layout.unpack(packed)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    for name, leaf in tree.items():
        assert found[name].dtype == leaf.dtype
        assert found[name].shape == leaf.shape
        assert np.array_equal(found[name], leaf)
    assert sum(v.size for v in jax.tree.leaves(packed)) == sum(v.size for v in tree.values())


def test_large_trees_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects speed: beyond the cache, copies cost more than the loops save."""
    monkeypatch.setattr(packing, "LARGEST", 11)
    small, large = {"a": jnp.ones((11,))}, {"a": jnp.ones((3, 4))}
    assert isinstance(Packing.of(small).pack(small), Packed)
    assert Packing.of(large).pack(large) is large
    assert Packing.of(large).unpack(large) is large


def test_layouts_are_static() -> None:
    """Protects compiled programs: equal layouts are equal and can be hashed, others differ."""
    one = Packing.of({"a": jnp.ones((2, 3))})
    assert one == Packing.of({"a": jax.ShapeDtypeStruct((2, 3), jnp.float32)})
    assert hash(one) == hash(Packing.of({"a": jnp.ones((2, 3))}))
    assert one != Packing.of({"a": jnp.ones((3, 2))})


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_every_optimiser_does_the_same_to_packed_params(name: str) -> None:
    """Protects results: packing is a matter of speed; decay still spares biases."""
    draws = np.random.default_rng(3)
    shapes = {"kernel": (5, 4), "bias": (4,), "conv": (3, 2, 2), "scale": ()}
    params = {k: jnp.asarray(draws.standard_normal(s), jnp.float32) for k, s in shapes.items()}
    values = (0.8, 0.7, 0.9, 1e-3, 0.1)
    hyper = {k: jnp.float32(v) for k, v in zip(HYPER, values)}
    layout = Packing.of(params)
    optimizer, over = build_optimizer(name), build_optimizer(name, layout)
    assert is_kernel(layout.pack(params)) == Packed({"float32": True}, {"float32": False})

    @jax.jit
    def both(trees: Any, packed: Any, grads: Any) -> Any:
        rest = (jnp.float32(0.01), jnp.float32(1.0), hyper)
        return (
            optimizer.update(grads, trees[1], trees[0], *rest),
            over.update(layout.pack(grads), packed[1], packed[0], *rest),
        )

    plain = (params, optimizer.init(params))
    packed = (layout.pack(params), over.init(layout.pack(params)))
    for _ in range(3):
        grads = {k: jnp.asarray(draws.standard_normal(s), jnp.float32) for k, s in shapes.items()}
        plain, packed = both(plain, packed, grads)
    found = layout.unpack(packed[0])
    for leaf, value in plain[0].items():
        np.testing.assert_allclose(found[leaf], value, rtol=1e-6, atol=1e-7, err_msg=leaf)
