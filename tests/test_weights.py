"""Initial weights: variances against theory, the output bias, and the one-bit twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convergence import weights
from convergence.errors import UserError
from convergence.models import build_model, from_functions
from convergence.randomness import fold_name
from convergence.spec import ModelSpec

ONE = jnp.float32(1.0)
CONV, DENSE = (3, 3, 20, 40), (120, 80)
FANS = {"conv": (3 * 3 * 20, 3 * 3 * 40), "dense": (120, 80)}


def draw(params: Any, name: str, seed: int = 0, scale: jax.Array = ONE, **options: Any) -> Any:
    defaults: dict[str, Any] = {"bias": "zero", "output_bias": None, "prior": None}
    return weights.initialise(params, jax.random.key(seed), name, scale, **(defaults | options))


def variance(name: str, fan_in: int, fan_out: int) -> float:
    """The variance that each initialiser is named after."""
    family = name.split("_")[0]
    return {
        "normal": 1.0,
        "uniform": 1 / 3,
        "lecun": 1 / fan_in,
        "glorot": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
    }[family]


@pytest.mark.parametrize(
    "name",
    [
        "normal",
        "uniform",
        *(f"{a}_{b}" for a in ("lecun", "glorot", "he") for b in ("normal", "uniform")),
    ],
)
def test_variance_is_the_theory_s(name: str) -> None:
    """Protects claims about initialisers: fan-in and fan-out, also of convolutions."""
    params = {"conv": jnp.zeros(CONV), "dense": jnp.zeros(DENSE)}
    drawn = draw(params, name)
    for layer, fans in FANS.items():
        values = np.asarray(drawn[layer], np.float64)
        expected = variance(name, *fans)
        # Five standard errors of a variance estimate, kurtosis 3 at most.
        assert abs(values.var() / expected - 1) < 5 * np.sqrt(2 / values.size)
        assert abs(values.mean()) < 5 * np.sqrt(expected / values.size)
        if name.endswith("uniform"):
            bound = np.sqrt(3 * expected)
            assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


def test_constant_and_zeros() -> None:
    """Protects the two initialisers that cannot break symmetry: they must be just that."""
    params = {"dense": jnp.full((3, 2), 7.0)}
    assert np.all(draw(params, "constant", scale=jnp.float32(0.25))["dense"] == 0.25)
    assert np.all(draw(params, "zeros")["dense"] == 0)


@pytest.mark.parametrize("shape", [(40, 40), (60, 20), (20, 60), (3, 3, 4, 8)])
def test_orthogonal_is_orthogonal(shape: tuple[int, ...]) -> None:
    """Protects isometry: rows or columns are orthonormal, whichever are fewer."""
    kernel = np.asarray(draw({"k": jnp.zeros(shape)}, "orthogonal")["k"], np.float64)
    flat = kernel.reshape(-1, shape[-1])
    gram = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


def test_default_keeps_the_models_draw_and_scales_it() -> None:
    """Protects init_scale with the default initialiser, and biases from being scaled."""
    params = {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}
    drawn = draw(params, "default", scale=jnp.float32(3.0))
    assert np.array_equal(drawn["kernel"], 3 * params["kernel"])
    assert np.array_equal(drawn["bias"], params["bias"])


def test_keys_follow_paths() -> None:
    """Protects a layer's draw from the layers around it, and layers from sharing a draw."""
    small = {"a": {"kernel": jnp.zeros((4, 4))}}
    large = {"a": {"kernel": jnp.zeros((4, 4))}, "Z": {"kernel": jnp.zeros((4, 4))}}
    one, two = draw(small, "normal"), draw(large, "normal")
    assert np.array_equal(one["a"]["kernel"], two["a"]["kernel"])
    assert not np.array_equal(two["Z"]["kernel"], two["a"]["kernel"])
    expected = jax.random.normal(fold_name(jax.random.key(0), "a/kernel"), (4, 4))
    assert np.array_equal(one["a"]["kernel"], expected)


def test_prior_goes_into_the_output_bias_alone() -> None:
    """Protects the prior: written as it is, into one leaf, untouched by the scale."""
    params = {"a": {"bias": jnp.zeros(3)}, "output": {"bias": jnp.zeros(3)}}
    prior = jnp.log(jnp.asarray([0.2, 0.3, 0.5]))
    where = ("output", "bias")
    options: dict[str, Any] = {"output_bias": where, "prior": prior, "scale": jnp.float32(9.0)}
    drawn = draw(params, "default", bias="prior", **options)
    assert np.array_equal(drawn["output"]["bias"], prior)
    assert np.all(drawn["a"]["bias"] == 0)
    assert np.all(draw(params, "default", **options)["output"]["bias"] == 0)
    with pytest.raises(ValueError, match="shape"):
        draw(params, "default", bias="prior", output_bias=where, prior=jnp.zeros(2))


def test_mistakes_are_told() -> None:
    """Protects users: an unknown initialiser, or a prior with nowhere to go."""
    with pytest.raises(UserError, match="did you mean 'he_normal'"):
        draw({"k": jnp.zeros((2, 2))}, "he_norml")
    with pytest.raises(UserError, match=r"--bias: .*output bias"):
        draw({"k": jnp.zeros((2, 2))}, "default", bias="prior", prior=jnp.zeros(2))
    with pytest.raises(UserError, match="no kernel"):
        weights.twin({"b": jnp.ones(3)}, jax.random.key(0), jnp.ones(3, bool))


SHAPES = {"mlp": (20,), "cnn": (8, 8, 1), "gru": (12, 3)}


@pytest.mark.parametrize("model", SHAPES)
def test_lsuv_gives_unit_variance(model: str) -> None:
    """Protects LSUV (Mishkin & Matas, 2016): each layer's product varies by 1 on the batch, its
    kernels keep their directions, and nothing else is touched."""
    shape = SHAPES[model]
    made = build_model(
        ModelSpec(model=model, hidden=(16, 12)),
        shape,
        10,
        use_dropout=False,
        compute_dtype="float32",
    )
    x = jax.random.normal(jax.random.key(1), (256, *shape))
    template, state = made.init(jax.random.key(0), x)
    straight = draw(template, "lsuv")
    even = jax.jit(lambda p: weights.unit_variance(made, p, state, x))(straight)
    assert made.watch is not None
    watch = made.watch
    told = jax.jit(lambda p: [jnp.var(one.product) for one in watch(p, state, x).layers])(even)
    np.testing.assert_allclose(told, np.ones(3), rtol=1e-3)
    for before, after in zip(jax.tree.leaves(straight), jax.tree.leaves(even)):
        scale = np.linalg.norm(after) / max(np.linalg.norm(before), 1e-30)
        np.testing.assert_allclose(after, scale * np.asarray(before), rtol=1e-4, atol=1e-6)


def test_lsuv_of_a_layer_that_does_not_vary() -> None:
    """Protects from a division by zero: constant inputs leave the first layer as it is."""
    spec = ModelSpec(hidden=(4,))
    made = build_model(spec, (3,), 2, use_dropout=False, compute_dtype="float32")
    x = jnp.zeros((8, 3))
    template, state = made.init(jax.random.key(0), x)
    even = weights.unit_variance(made, draw(template, "lsuv"), state, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(even))


OWN = """import jax, jax.numpy as jnp
def good(key, shape, dtype): return 0.5 * jax.random.normal(key, shape, dtype)
def wide(key, shape, dtype): return jnp.zeros((*shape, 1), dtype)
def double(key, shape, dtype): return jnp.zeros(shape, jnp.int32)
def bad(key, shape, dtype):
    return shape.nothing
number = 3
"""


def test_a_users_own_function(tmp_path: Path) -> None:
    """Protects a user's initialiser: called with key, shape and dtype of each kernel."""
    (tmp_path / "own.py").write_text(OWN)
    drawn = draw({"dense": jnp.zeros(DENSE)}, f"{tmp_path / 'own.py'}:good")
    key = fold_name(jax.random.key(0), "dense")
    assert np.array_equal(drawn["dense"], 0.5 * jax.random.normal(key, DENSE))


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("wide", r"returned float32\[4, 3, 1\] for a kernel float32\[4, 3\]"),
        ("double", r"returned int32\[4, 3\]"),
        ("bad", r"own.py \(line 6\): AttributeError"),
        ("number", "is not a function"),
        ("god", "did you mean 'good'"),
    ],
)
def test_faults_of_a_users_function(attribute: str, said: str, tmp_path: Path) -> None:
    """Protects users: a fault in their initialiser is told with its line before training."""
    (tmp_path / "own.py").write_text(OWN)
    spec = ModelSpec(init=f"{tmp_path / 'own.py'}:{attribute}", hidden=(3,))
    made = build_model(spec, (4,), 2, use_dropout=False, compute_dtype="float32")
    with pytest.raises(UserError, match=rf"--init: .*{said}"):
        weights.check(spec, made, (4,))


def test_lsuv_needs_visible_layers() -> None:
    """Protects users of plain functions: told before training, with what to use instead."""
    plain = from_functions(lambda key, x: {"w": jnp.zeros((4, 2))}, lambda p, x: x @ p["w"])
    with pytest.raises(UserError, match=r"--init: lsuv .*cannot be seen.*use orthogonal"):
        weights.check(ModelSpec(init="lsuv", model="a.py:b"), plain, (4,))


@pytest.mark.parametrize("model", SHAPES)
def test_a_model_without_biases(model: str) -> None:
    """Protects bias=none: no leaf with fewer than two axes is left, and the prior has no place."""
    spec = ModelSpec(model=model, hidden=(4, 3), bias="none")
    made = build_model(spec, SHAPES[model], 3, use_dropout=False, compute_dtype="float32")
    params, state = made.form(SHAPES[model])
    assert all(len(leaf.shape) >= 2 for leaf in jax.tree.leaves(params))
    assert made.output_bias is None
    out, _ = made.apply(
        jax.tree.map(lambda a: jnp.ones(a.shape), params),
        state,
        jnp.zeros((2, *SHAPES[model])),
        train=False,
        key=None,
        dropout=ONE,
    )
    assert not np.asarray(out).any()  # of nothing comes nothing, without a bias


def flipped(before: Any, after: Any) -> list[tuple[str, tuple[int, ...], int]]:
    """Every element that differs: its leaf, its place, and the differing bits."""
    found = []
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, a), b in pairs:
        bits = np.asarray(a).view(np.uint32) ^ np.asarray(b).view(np.uint32)
        for place in zip(*np.nonzero(bits)):
            found.append((jax.tree_util.keystr(path), tuple(map(int, place)), int(bits[place])))
    return found


def test_twin_flips_one_bit_of_an_active_weight() -> None:
    """Protects the twin: the last bit of one non-zero weight whose input varies, by the key."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(5, 4)).astype(np.float32)
    kernel[1, :3] = 0.0
    params = {
        "dense_10": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)},
        "dense_2": {"kernel": jnp.asarray(kernel), "bias": jnp.ones(4)},
    }
    active = jnp.asarray([False, True, True, False, False])
    run = jax.jit(weights.twin)
    places = set()
    for seed in range(60):
        changes = flipped(params, run(params, jax.random.key(seed), active))
        assert len(changes) == 1
        leaf, place, bit = changes[0]
        assert leaf == "['dense_2']['kernel']"
        assert bit == 1
        places.add(place)
    assert places == {(1, 3), (2, 0), (2, 1), (2, 2), (2, 3)}


def test_twin_of_a_convolution_and_of_zeros() -> None:
    """Protects models whose first kernel has no row a feature, and all-zero starts."""
    active = jnp.zeros(3, bool)
    conv = {"conv_0": {"kernel": jnp.ones((3, 1, 2))}, "output": {"kernel": jnp.ones((4, 2))}}
    changes = flipped(conv, weights.twin(conv, jax.random.key(0), active))
    assert [(leaf, bit) for leaf, _, bit in changes] == [("['conv_0']['kernel']", 1)]
    zeros = {"output": {"kernel": jnp.zeros((3, 2))}}
    assert flipped(zeros, weights.twin(zeros, jax.random.key(0), jnp.ones(3, bool))) == []


def test_first_kernel_meets_the_input() -> None:
    """Protects the twin's choice of layer where names do not sort in forward order."""
    params = {"a_last": jnp.ones((8, 2)), "b_first": jnp.ones((5, 8))}
    assert weights.first_kernel(params, 5) == ("b_first",)
    assert weights.first_kernel(params, 99) == ("a_last",)
