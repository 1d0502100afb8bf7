"""Linen modules, NNX modules and plain functions as models, and models from a user's file."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from convergence.errors import UserError
from convergence.models import Model, build_model, from_functions, from_linen, from_nnx
from convergence.models.user import load_user_model
from convergence.spec import ModelSpec

ZERO = jnp.float32(0.0)
# Small programs that run once: compile them without the optimiser's costly passes.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
X = jax.random.normal(jax.random.key(3), (8, 4))
Y = jnp.asarray([0, 1, 2] * 2 + [0, 1])


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(nn.Dense(8)(x))
        x = nn.Dropout(0.25, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x)


class NnxNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.5, rngs=rngs)
        self.drop = nnx.Dropout(0.25, rngs=rngs)
        self.rest = nnx.List([nnx.Linear(8, 8, rngs=rngs), nnx.Linear(8, 3, rngs=rngs)])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.drop(jax.nn.relu(self.norm(self.first(x))))
        for layer in self.rest:
            x = layer(x)
        return x


def plain() -> Model:
    def init(key: jax.Array, x: jax.Array) -> Any:
        return {"w": jax.random.normal(key, (x.shape[1], 3)), "b": jnp.zeros(3)}

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return x @ params["w"] + params["b"]

    return from_functions(init, apply)


MODELS = {
    "linen": lambda: from_linen(LinenNet()),
    "nnx": lambda: from_nnx(NnxNet),
    "functions": plain,
}


def train(model: Model, params: Any, state: Any, steps: int) -> tuple[Any, Any, list[float]]:
    """Some steps of gradient descent in one compiled loop: params, state, first and last loss."""

    def objective(params: Any, state: Any, key: Any) -> Any:
        out, state = model.apply(params, state, X, train=True, key=key, dropout=ZERO)
        return -jnp.mean(jax.nn.log_softmax(out)[jnp.arange(8), Y]), state

    def body(step: Any, carry: Any) -> Any:
        params, state, losses = carry
        key = jax.random.fold_in(jax.random.key(4), step)
        (loss, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, key)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        return params, state, losses.at[step].set(loss)

    def run(params: Any, state: Any) -> Any:
        return jax.lax.fori_loop(0, steps, body, (params, state, jnp.zeros(steps)))

    params, state, losses = jax.jit(run, compiler_options=FAST)(params, state)
    return params, state, [float(losses[0]), float(losses[-5:].mean())]


@pytest.mark.parametrize("name", MODELS)
def test_adapted_model_trains(name: str) -> None:
    """Protects users' models, with their BatchNorm and Dropout, inside grad inside a loop."""
    model = MODELS[name]()
    params, state = jax.jit(model.init, compiler_options=FAST)(jax.random.key(0), X)
    other, _ = jax.jit(model.init, compiler_options=FAST)(jax.random.key(1), X)
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)
    assert any(not np.array_equal(a, b) for a, b in pairs)  # seeds differ
    assert bool(state) == (name != "functions")
    new_params, new_state, (first, last) = train(model, params, state, 150)
    assert last < 0.7 * first
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert jax.tree.structure(new_params) == jax.tree.structure(params)
    if state:
        moved = zip(jax.tree.leaves(state), jax.tree.leaves(new_state), strict=True)
        assert all(not np.array_equal(a, b) for a, b in moved)  # batch statistics are carried


@pytest.mark.parametrize("name", ["linen", "nnx"])
def test_adapted_dropout_follows_the_key(name: str) -> None:
    """Protects repeatability: masks come from the step's key alone, and evaluation has none."""
    model = MODELS[name]()
    params, state = jax.jit(model.init, compiler_options=FAST)(jax.random.key(0), X)

    @jax.jit
    def out(key: jax.Array) -> jax.Array:
        return model.apply(params, state, X, train=True, key=key, dropout=ZERO)[0]

    one, again, two = (out(jax.random.key(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)
    calm, same = model.apply(params, state, X, train=False, key=None, dropout=ZERO)
    assert same is state
    assert calm.dtype == jnp.float32
    assert not np.array_equal(calm, one)


def test_nnx_params_have_names_for_keys() -> None:
    """Protects files and fingerprints of params: NNX numbers list members, paths are text."""
    params, state = jax.eval_shape(from_nnx(NnxNet).init, jax.random.key(0), X)
    assert set(params["rest"]) == {"0", "1"}
    assert set(state["norm"]) == {"mean", "var"}
    assert "drop" not in state  # random streams are no state: the step's key sets them


def test_nnx_streams_differ_by_layer() -> None:
    """Protects two dropout layers of a module from dropping the same units."""

    class Twice(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.a = nnx.Dropout(0.5, rngs=rngs)
            self.b = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return jnp.concatenate([self.a(x), self.b(x)], axis=1)

    model = from_nnx(Twice)
    out, _ = model.apply({}, {}, jnp.ones((8, 4)), train=True, key=jax.random.key(0), dropout=ZERO)
    assert not np.array_equal(out[:, :4], out[:, 4:])


def test_nnx_instance_starts_from_its_own_weights() -> None:
    """Protects what is promised of a module that is already made."""
    module = NnxNet(nnx.Rngs(0))
    params, _ = from_nnx(module).init(jax.random.key(5), X)
    assert np.array_equal(params["first"]["kernel"], module.first.kernel[...])


def test_keywords_are_passed_where_they_are_asked_for() -> None:
    """Protects functions that want the traced rate and the key."""
    seen: list[dict[str, Any]] = []

    def apply(params: Any, x: jax.Array, *, dropout: Any, key: Any, deterministic: Any) -> Any:
        seen.append({"dropout": dropout, "key": key, "deterministic": deterministic})
        return x

    model = from_functions(lambda key, x: {}, apply)
    key = jax.random.key(0)
    model.apply({}, {}, X, train=True, key=key, dropout=jnp.float32(0.3))
    assert seen[0]["key"] is key
    assert float(seen[0]["dropout"]) == pytest.approx(0.3)
    assert seen[0]["deterministic"] is False


def examples() -> list[str]:
    """The complete files in the docstring of load_user_model's module."""
    text = inspect.getdoc(inspect.getmodule(load_user_model)) or ""
    blocks = [part.split("\n\n", 1)[1] for part in text.split("::\n")[1:] for part in ["\n" + part]]
    files = []
    for block in blocks:
        lines = []
        for line in block.splitlines():
            if line and not line.startswith("    "):
                break
            lines.append(line)
        files.append(textwrap.dedent("\n".join(lines)))
    return files


@pytest.mark.parametrize("index", range(3))
def test_documented_examples_work(index: int, tmp_path: Path) -> None:
    """Protects the docstring's three files: each is loaded and trained as it is printed."""
    files = examples()
    assert len(files) == 3
    file = tmp_path / "file.py"
    file.write_text(files[index])
    model = build_model(
        ModelSpec(model=f"{file}:net"), (4,), 3, use_dropout=False, compute_dtype="float32"
    )
    assert model.output_bias is not None
    params, state = jax.jit(model.init, compiler_options=FAST)(jax.random.key(0), X)
    bias = params
    for part in model.output_bias:
        bias = bias[part]
    assert bias.shape == (3,)
    *_, (first, last) = train(model, params, state, 100)
    assert last < 0.9 * first


HEAD = "import jax, jax.numpy as jnp\nfrom flax import linen as nn, nnx\n"
FAULTS = {
    "net = nn.Dense(5)": r"returned the shape \(2, 5\) for a batch .* needed is \(2, 3\)",
    "net = nn.Dense": "is a class; give a module made from it",
    "net = 3": "gave a int; needed is a Linen module",
    "def net(shape, outputs):\n    return 'x'": "gave a str",
    "def net(shape, outputs):\n    return shape[7]": r"\(line 4\): IndexError",
    "def net(shape, outputs):\n    return nnx.Linear(4, 3, rngs=nnx.Rngs(0))": "without .* rngs",
    "net = nnx.Linear(4, 3, rngs=nnx.Rngs(0))": "without being given rngs",
    "net = (lambda key, x: {}, lambda params, x: x @ jnp.ones((7, 3)))": r"\(line 3\): TypeError",
    "net = (lambda key, x: {'w': jnp.ones(3, int)}, lambda p, x: x)": "parameter w is int32",
    "net = nn.Sequential([nn.Dropout(0.5, deterministic=False), nn.Dense(3)])": "InvalidRngError",
    "nett = nn.Dense(3)": "has no attribute 'net'; did you mean 'nett'",
}


@pytest.mark.parametrize("body", FAULTS)
def test_faults_are_told(body: str, tmp_path: Path) -> None:
    """Protects users: a model that does not fit is told before anything is trained."""
    file = tmp_path / "mine.py"
    file.write_text(HEAD + body + "\n")
    with pytest.raises(UserError, match=f"--model: .*{FAULTS[body]}"):
        load_user_model(f"{file}:net", (4,), 3)


def test_state_of_changing_form_is_told(tmp_path: Path) -> None:
    """Protects the loop's carry from a module whose state grows as it trains."""
    file = tmp_path / "mine.py"
    file.write_text(
        HEAD
        + textwrap.dedent("""
        class Grows(nnx.Module):
            def __init__(self, rngs):
                self.out = nnx.Linear(4, 3, rngs=rngs)
                self.seen = nnx.Variable(jnp.zeros(1))

            def __call__(self, x):
                self.seen[...] = self.seen[...]
                self.seen.set_value(jnp.zeros(x.shape[0]))
                return self.out(x)

        def net(shape, outputs, rngs):
            return Grows(rngs)
        """)
    )
    with pytest.raises(UserError, match="changes the form of its state"):
        load_user_model(f"{file}:net", (4,), 3)
