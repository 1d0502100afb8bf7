"""The zoo: its arithmetic, its dropout and its batch norm."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence.errors import UserError
from convergence.models import build_model, layers, zoo
from convergence.models.tiling import tiled_convolution
from convergence.randomness import fold_name
from convergence.spec import ModelSpec

ZERO = jnp.float32(0.0)
# Small programs that run once: compile them without the optimiser's costly passes.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def built(shape: tuple[int, ...], use_dropout: bool = False, native: bool = False, **spec: Any):
    model = build_model(
        ModelSpec(**spec),
        shape,
        3,
        use_dropout=use_dropout,
        compute_dtype="float32",
        native=native,
    )
    x = jax.random.normal(jax.random.key(7), (5, *shape))
    return model, x, *filled(jax.eval_shape(model.init, jax.random.key(0), x))


def filled(shapes: Any) -> Any:
    """Params and state of these shapes without compiling their draws: small normal numbers."""
    generator = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(0.5 * generator.normal(size=leaf.shape), leaf.dtype), shapes[0]
    )
    return params, jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes[1])


def forward(model: Any, *args: Any, train: bool = False, key: Any = None, rate: Any = ZERO) -> Any:
    """The jitted forward pass: outputs and new state."""

    def run(*inner: Any) -> Any:
        return model.apply(*inner, train=train, key=key, dropout=rate)

    return jax.jit(run, compiler_options=FAST)(*args)


def test_mlp_by_hand() -> None:
    """Protects the mlp's arithmetic: products, biases, the named activation, no hidden extras."""
    model, x, params, state = built((2, 3), model="mlp", hidden=(4, 6), activation="tanh")
    out, _ = forward(model, params, state, x, train=True)
    h = np.asarray(x, np.float64).reshape(5, 6)
    for name in ("dense_0", "dense_1"):
        h = np.tanh(h @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"]))
    h = h @ np.asarray(params["output"]["kernel"]) + np.asarray(params["output"]["bias"])
    np.testing.assert_allclose(out, h, rtol=1e-5, atol=1e-6)
    assert state == {}


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        ("linear", (4,), {"output": (4, 3)}),
        ("mlp", (4,), {"dense_0": (4, 128), "dense_1": (128, 128), "output": (128, 3)}),
        # Greydanus & Kobak: 40 -> 19 -> 10 -> 5 positions of 25 channels, then dense.
        (
            "cnn",
            (40,),
            {
                "conv_0": (5, 1, 25),
                "conv_1": (3, 25, 25),
                "conv_2": (3, 25, 25),
                "output": (125, 3),
            },
        ),
        ("cnn", (40, 2), {"conv_0": (5, 2, 25)}),
        (
            "cnn",
            (8, 8, 1),
            {"conv_0": (3, 3, 1, 16), "conv_1": (3, 3, 16, 32), "output": (4 * 4 * 32, 3)},
        ),
    ],
)
def test_default_layers(model: str, shape: tuple[int, ...], expected: dict[str, Any]) -> None:
    """Protects names and sizes of the bundled models: results and initial draws hang on them."""
    _, _, params, _ = built(shape, model=model)
    for name, size in expected.items():
        assert params[name]["kernel"].shape == size
    if "output" in expected:
        assert set(params) == set(expected)


def test_adding_a_layer_moves_no_other_draw() -> None:
    """Protects comparisons of depth: the layers in common start from the same weights."""
    one, x, *_ = built((6,), model="mlp", hidden=(4,))
    two, *_ = built((6,), model="mlp", hidden=(4, 4))
    key = jax.random.key(0)
    (shallow, _), (deep, _) = jax.jit(lambda: (one.init(key, x), two.init(key, x)))()
    assert np.array_equal(shallow["dense_0"]["kernel"], deep["dense_0"]["kernel"])
    assert np.array_equal(shallow["output"]["kernel"], deep["output"]["kernel"])


@settings(max_examples=24, deadline=None)
@given(
    space=st.lists(st.integers(5, 8), min_size=1, max_size=2),
    window=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    channels=st.integers(1, 3),
)
def test_patches_times_kernel_is_a_convolution(
    space: list[int], window: int, stride: int, padding: int, channels: int
) -> None:
    """Protects patches, tiles and the order of the kernel: windows, strides, paddings, channels."""
    x = np.random.default_rng(0).normal(size=(2, *space, channels)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(*[window] * len(space), channels, 3))
    kernel = kernel.astype(np.float32)
    ours = layers.patches(jnp.asarray(x), [window] * len(space), stride, padding)
    padded = np.pad(x, [(0, 0), *[(padding, padding)] * len(space), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(
        padded, [window] * len(space), axis=tuple(range(1, 1 + len(space)))
    )
    views = views[(slice(None), *[slice(None, None, stride)] * len(space))]
    if len(space) == 1:
        theirs = np.einsum("blcw,wcf->blf", views, kernel)
    else:
        theirs = np.einsum("bijcvw,vwcf->bijf", views, kernel)
    tiles = tiled_convolution(jnp.asarray(x), jnp.asarray(kernel), stride, padding)
    for found in (np.asarray(ours) @ kernel.reshape(-1, 3), tiles):
        np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 2), (9, 5), (8, 7, 2), (8, 7, 4)])
def test_native_convolution_agrees(shape: tuple[int, ...]) -> None:
    """Protects the choice between products and native convolutions from changing the function."""
    ours, x, params, state = built(shape, model="cnn", hidden=(4, 5))
    native, _, same, _ = built(shape, native=True, model="cnn", hidden=(4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (params, same))))

    def value(model: Any, params: Any) -> jax.Array:
        out, _ = model.apply(params, state, x, train=True, key=None, dropout=ZERO)
        return jnp.sum(jnp.sin(out))

    a, da = jax.jit(jax.value_and_grad(lambda p: value(ours, p)), compiler_options=FAST)(params)
    b, db = jax.jit(jax.value_and_grad(lambda p: value(native, p)), compiler_options=FAST)(params)
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for left, right in zip(jax.tree.leaves(da), jax.tree.leaves(db)):
        # Sums in another order: off by a few units in the last place of the terms, not of the sum.
        atol = 16 * np.finfo(np.float32).eps * float(np.abs(right).max())
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=atol)


def test_gru_is_flax_gru() -> None:
    """Protects the recurrence: our fused gates compute what Flax's cell computes."""
    x = jax.random.normal(jax.random.key(1), (3, 6, 2))
    layer = layers.Gru(4)
    params, _ = filled((jax.eval_shape(layer.init, jax.random.key(0), x)["params"], {}))
    ours = jax.jit(layer.apply)({"params": params}, x)
    bias = jnp.split(params["bias"], 3)
    gates = {"r": ("reset", 0), "z": ("update", 1), "n": ("new", 2)}
    cell = {
        f"i{g}": {"kernel": params[f"input_{name}"], "bias": bias[i]}
        for g, (name, i) in gates.items()
    }
    cell |= {f"h{g}": {"kernel": params[f"recurrent_{name}"]} for g, (name, _) in gates.items()}
    cell["hn"]["bias"] = params["recurrent_bias"]
    theirs = jax.jit(nn.RNN(nn.GRUCell(4)).apply)({"params": {"cell": cell}}, x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_gru_reads_images_row_by_row() -> None:
    """Protects the axis that a recurrent model takes for time."""
    image, x, params, state = built((4, 3, 2), model="gru", hidden=(5,))
    series, *_ = built((4, 6), model="gru", hidden=(5,))
    out, _ = forward(image, params, state, x)
    same, _ = forward(series, params, state, x.reshape(5, 4, 6))
    assert np.array_equal(out, same)


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        ({"model": "mpl"}, (4,), "did you mean 'mlp'"),
        ({"activation": "rellu"}, (4,), "did you mean 'relu'"),
        ({"model": "cnn"}, (4,), "window of 5"),
        ({"model": "cnn"}, (8, 2, 1), "window of 3"),
        ({"model": "mlp"}, (2, 2, 2, 2), "1 to 3 axes"),
    ],
)
def test_mistakes_are_told(spec: dict[str, Any], shape: tuple[int, ...], words: str) -> None:
    """Protects users from a traceback out of the model's insides."""
    with pytest.raises(UserError, match=words):
        built(shape, **spec)


def test_dropout_of_rate_zero_is_the_identity() -> None:
    """Protects arms without dropout that share the program of arms with it."""
    x = jax.random.normal(jax.random.key(0), (50, 7))
    assert np.array_equal(layers.dropout(x, ZERO, jax.random.key(1)), x)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate: float) -> None:
    """Protects the scaling: evaluation sees the activations' expectation."""
    out = np.asarray(
        layers.dropout(jnp.ones(40_000), jnp.float32(rate), jax.random.key(3)), np.float64
    )
    assert set(np.unique(out)) == {
        0.0,
        np.float64(np.float32(1) / (np.float32(1) - np.float32(rate))),
    }
    error = np.sqrt(rate / (1 - rate) / out.size)
    assert abs(out.mean() - 1) < 4 * error
    assert abs((out == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / out.size)


@pytest.mark.parametrize(("name", "shape"), [("mlp", (6,)), ("cnn", (8,)), ("gru", (5, 2))])
def test_dropout_keys_differ_by_layer_and_step(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects key discipline: no (layer, step) shares its mask's key with another."""
    used: list[jax.Array] = []
    real = layers.dropout

    def spy(x: jax.Array, rate: jax.Array, key: jax.Array) -> jax.Array:
        used.append(jax.random.key_data(key))
        return real(x, rate, key)

    monkeypatch.setattr(layers, "dropout", spy)
    model, x, params, state = built(shape, True, model=name, hidden=(4, 4, 4))

    @functools.partial(jax.jit, compiler_options=FAST)
    def keys(step: jax.Array) -> list[jax.Array]:
        used.clear()
        key = jax.random.fold_in(jax.random.key(5), step)
        model.apply(params, state, x, train=True, key=key, dropout=jnp.float32(0.5))
        return list(used)

    seen = [tuple(words.tolist()) for step in range(4) for words in keys(jnp.int32(step))]
    assert len(seen) == 12
    assert len(set(seen)) == 12
    used.clear()
    forward(model, params, state, x, rate=jnp.float32(0.5))
    assert not used  # evaluating draws nothing


def test_dropout_key_is_the_layers_name() -> None:
    """Protects streams across versions: the mask is drawn from the step's key and the name."""
    model, x, params, state = built((6,), True, model="mlp", hidden=(4,), activation="identity")
    key, rate = jax.random.key(9), jnp.float32(0.5)
    out, _ = forward(model, params, state, x, train=True, key=key, rate=rate)
    hidden = x @ params["dense_0"]["kernel"] + params["dense_0"]["bias"]
    hidden = layers.dropout(hidden, rate, fold_name(key, "dropout_0"))
    expected = hidden @ params["output"]["kernel"] + params["output"]["bias"]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_batch_norm_statistics() -> None:
    """Protects the running statistics: their momentum, and that evaluation reads them."""
    model, x, params, state = built((6,), model="mlp", hidden=(4,), batch_norm=True)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    hidden = np.asarray(x) @ weights["dense_0"]["kernel"] + weights["dense_0"]["bias"]
    out, new = forward(model, params, state, x, train=True)
    keep = zoo.BATCH_NORM_MOMENTUM
    told = new["batch_stats"]["norm_0"]  # started at 1
    np.testing.assert_allclose(told["mean"], keep + (1 - keep) * hidden.mean(0), rtol=1e-4)
    np.testing.assert_allclose(told["var"], keep + (1 - keep) * hidden.var(0), rtol=1e-4)

    def by_hand(mean: Any, var: Any) -> np.ndarray:
        h = (hidden - mean) / np.sqrt(np.asarray(var) + 1e-5)
        h = np.maximum(h * weights["norm_0"]["scale"] + weights["norm_0"]["bias"], 0)
        return h @ weights["output"]["kernel"] + weights["output"]["bias"]

    np.testing.assert_allclose(out, by_hand(hidden.mean(0), hidden.var(0)), rtol=1e-3, atol=1e-4)
    evaluated, _ = forward(model, params, new, x)
    expected = by_hand(told["mean"], told["var"])
    np.testing.assert_allclose(evaluated, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("mlp", (6,)), ("cnn", (8,)), ("gru", (6,))])
def test_training_in_a_loop_fits_its_batch(name: str, shape: tuple[int, ...]) -> None:
    """Protects the whole path: a model inside a while_loop, differentiated, learns its batch."""
    model, x, params, state = built(shape, True, model=name, hidden=(8,), batch_norm=True)
    labels = jnp.asarray([0, 1, 2, 0, 1])

    def objective(params: Any, state: Any, key: Any) -> Any:
        out, state = model.apply(params, state, x, train=True, key=key, dropout=jnp.float32(0.05))
        return -jnp.mean(nn.log_softmax(out)[jnp.arange(5), labels]), state

    def body(carry: Any) -> Any:
        step, params, state, _ = carry
        key = jax.random.fold_in(jax.random.key(1), step)
        grad = jax.value_and_grad(objective, has_aux=True)
        (loss, state), grads = grad(params, state, key)
        params = jax.tree.map(lambda p, g: p - 0.2 * g, params, grads)
        return step + 1, params, state, loss

    @functools.partial(jax.jit, compiler_options=FAST)
    def run(steps: jax.Array) -> jax.Array:
        start = (jnp.int32(0), params, state, jnp.float32(0))
        return jax.lax.while_loop(lambda c: c[0] < steps, body, start)[-1]

    first, last = float(run(jnp.int32(1))), float(run(jnp.int32(300)))
    assert last < 0.35 * min(first, 1.1)
