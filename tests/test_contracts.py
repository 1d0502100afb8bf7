"""What every loss, schedule, optimiser, initialiser, activation and model must keep to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convergence import losses, metrics, names, optimizers, schedules, spec, weights
from convergence.models import ACTIVATIONS, MODELS, build_model
from convergence.spec import ModelSpec

HYPER = {k: jnp.float32(v) for k, v in spec.hyperparameters(spec.Setting()).items()}
# Another value of each number that the parts read; none equals the default.
OTHER = {
    **HYPER,
    "label_smoothing": jnp.float32(0.1),
    "focal_gamma": jnp.float32(0.5),
    "gce_q": jnp.float32(0.3),
    "huber_delta": jnp.float32(0.2),
    "quantile": jnp.float32(0.9),
    "momentum": jnp.float32(0.8),
    "beta1": jnp.float32(0.7),
    "beta2": jnp.float32(0.95),
    "epsilon": jnp.float32(1e-3),
    "weight_decay": jnp.float32(0.1),
}
# Small programs that run once: compile them without the optimiser's costly passes.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# At a rate of 0 these go on: an average follows, a scale is applied to what was before.
MOVE_AT_REST = ("schedule_free_sgd", "schedule_free_adamw", "mechanize_sgd", "mechanize_adam")
MOVE_AT_REST += ("cocob", "dadapt_adamw")
LOSSES = [(task, name) for task, table in losses.BY_TASK.items() for name in table]
EXAMPLES = {"linear": (6,), "mlp": (6,), "cnn": (8,), "gru": (5, 2)}
SHAPES = [(*pair, "float32") for pair in EXAMPLES.items()]
SHAPES += [("cnn", (5, 4, 2), "bfloat16"), ("gru", (3,), "bfloat16")]


def finite(tree: Any) -> bool:
    return all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))


def types(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.asarray(leaf).dtype), tree)


def counted(function: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """The jitted function, and a list that grows by one each time it is traced."""
    traces: list[int] = []

    def inner(*args: Any) -> Any:
        traces.append(1)
        return function(*args)

    return jax.jit(inner, compiler_options=FAST), traces


@pytest.mark.parametrize(
    ("offered", "implemented"),
    [
        (names.CLASSIFICATION_LOSSES, losses.CLASSIFICATION),
        (names.REGRESSION_LOSSES, losses.REGRESSION),
        (names.OPTIMIZERS, optimizers.OPTIMIZERS),
        (names.SCHEDULES, {*schedules.BY_PROGRESS, "inverse_sqrt"}),
        (names.INITIALISERS, weights.INITIALISERS),
        (names.ACTIVATIONS, ACTIVATIONS),
        (names.MODELS, MODELS),
        (names.TASKS, losses.DEFAULTS),
        (names.TASKS, metrics.BY_TASK),
    ],
)
def test_names_are_implemented(offered: tuple[str, ...], implemented: Any) -> None:
    """Protects flags from offering a name that nothing answers to, and the reverse."""
    assert len(set(offered)) == len(offered)
    assert set(offered) == set(implemented)


def test_everything_is_documented() -> None:
    """Protects the rule that a public loss, layer, model or function says what it is."""
    tables: list[Any] = [*losses.CLASSIFICATION.values(), *losses.REGRESSION.values()]
    tables += [member for members in MODELS.values() for member in members.values()]
    tables += [member.__call__ for members in MODELS.values() for member in members.values()]
    tables += [losses.build_loss, optimizers.build_optimizer, schedules.shape, build_model]
    tables += [weights.initialise, weights.twin, schedules.plateau_close, metrics.per_row]
    for thing in tables:
        assert (thing.__doc__ or "").strip(), thing


@pytest.mark.parametrize(("task", "name"), LOSSES)
def test_loss_contract(task: str, name: str) -> None:
    """Protects training from non-finite losses, recompilation, and numbers that are not read."""
    loss = losses.build_loss(name, task)
    assert loss.tasks == (task,)
    key = jax.random.key(0)
    if task == "classification":
        rough = jax.random.normal(key, (6, 4)) * jnp.asarray([1, 1, 1, 0, 300, 1e4])[:, None]
        targets = jnp.asarray([0, 1, 2, 3, 0, 1], jnp.int32)
    else:
        targets = jnp.asarray([0.0, 1.0, -1.0, 0.5, 1e3, -1e4], jnp.float32)
        rough = (targets + jnp.asarray([0, 0.1, -0.1, 2, 0, 1]))[:, None]

    def value(outputs: jax.Array, hyper: Any) -> tuple[jax.Array, jax.Array]:
        rows = loss.per_example(outputs, targets, hyper)
        return loss.reduce(rows), rows

    run, traces = counted(jax.value_and_grad(value, has_aux=True))
    (total, rows), grad = run(rough, HYPER)
    assert rows.shape == (6,)
    assert rows.dtype == total.dtype == grad.dtype == jnp.float32
    assert total.shape == ()
    assert finite((total, rows, grad))
    assert bool(jnp.all(rows >= 0))
    (other, _), _ = run(rough, OTHER)
    assert len(traces) == 1
    reads = {"cross_entropy", "focal", "gce", "huber", "quantile"}
    assert (float(other) != float(total)) == (name in reads)


@pytest.mark.parametrize("name", names.REGRESSION_LOSSES)
def test_regression_losses_are_flat_at_a_perfect_fit(name: str) -> None:
    """Protects a run that fits its batch exactly from a NaN slope (the root of rmse at 0)."""
    loss = losses.build_loss(name, "regression")
    targets = jnp.asarray([1.0, -2.0, 0.0])
    value, grad = jax.value_and_grad(
        lambda outputs: loss.reduce(loss.per_example(outputs, targets, HYPER))
    )(targets[:, None])
    assert abs(float(value)) < 1e-6
    assert finite(grad)


@pytest.mark.parametrize("name", names.OPTIMIZERS)
def test_optimizer_contract(name: str) -> None:
    """Protects the loop's carry (types), finiteness at a zero gradient, and the one program."""
    optimizer = optimizers.build_optimizer(name)
    # Small, so that the first guesses of those that find their own rate move it.
    params = {"kernel": 1e-3 * jnp.ones((3, 2)), "bias": jnp.zeros(2)}
    grads = jax.tree.map(jnp.zeros_like, params)
    grads["kernel"] = grads["kernel"].at[0].set(0.5)
    state = optimizer.init(params)
    run, traces = counted(optimizer.update)
    rate, value = jnp.float32(names.RATE_FREE.get(name, 0.1)), jnp.float32(1.0)
    new, new_state = run(grads, state, params, rate, value, HYPER)
    assert types(new) == types(params)
    assert types(new_state) == types(state)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert finite((new, new_state))
    again, _ = run(grads, new_state, new, rate, value, HYPER)
    other, _ = run(grads, new_state, new, rate, value, OTHER)
    still, _ = run(grads, new_state, new, jnp.float32(0.0), value, HYPER)
    assert len(traces) == 1
    assert not np.array_equal(again["kernel"], other["kernel"])
    if name not in MOVE_AT_REST:
        assert np.array_equal(still["kernel"], new["kernel"])
    held = optimizer.eval_params(new, new_state)
    assert types(held) == types(params)
    same = all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(held), jax.tree.leaves(new)))
    assert same or name.startswith("schedule_free")


@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize("steps", [0, 1, 8, 1000])
@pytest.mark.parametrize("name", names.SCHEDULES)
def test_schedule_contract(name: str, steps: int, warmup: int) -> None:
    """Protects the table of shapes: type, length, and factors between 0 and 1 that do move."""
    if 0 < steps <= warmup:
        return
    vector = schedules.shape(name, steps, warmup=warmup)
    assert vector.shape == (steps,)
    assert vector.dtype == np.float32
    assert np.all((vector >= 0) & (vector <= 1))
    if steps == 1000:
        assert np.all(vector > 0)
        assert vector.max() > 0.99
        if name not in ("constant", "plateau"):
            assert vector[warmup:].min() <= 0.23


@pytest.mark.parametrize("name", names.INITIALISERS)
def test_initialiser_contract(name: str) -> None:
    """Protects initial params: finite, typed, deterministic by key, scaled by a traced number."""
    params = {"conv": jnp.ones((3, 4, 8)), "bias": jnp.ones(7)}

    def draw(key: jax.Array, scale: jax.Array) -> Any:
        return weights.initialise(
            params, key, name, scale, bias="zero", output_bias=None, prior=None
        )

    run, traces = counted(draw)
    one = run(jax.random.key(1), jnp.float32(1.0))
    two = run(jax.random.key(1), jnp.float32(2.0))
    other = run(jax.random.key(2), jnp.float32(1.0))
    assert len(traces) == 1
    assert finite(one)
    assert types(one) == types(params)
    assert np.array_equal(one["bias"], params["bias"])
    assert np.array_equal(2 * one["conv"], two["conv"])
    fixed = name in ("default", "zeros", "constant")
    assert np.array_equal(one["conv"], other["conv"]) == fixed


@pytest.mark.parametrize("name", names.ACTIVATIONS)
def test_activation_contract(name: str) -> None:
    """Protects gradients at 0 and far out, and the type of a bfloat16 forward pass."""
    function = ACTIVATIONS[name]
    x = jnp.asarray([-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])
    assert finite(function(x))
    assert finite(jax.vmap(jax.grad(function))(x))
    assert function(x).dtype == jnp.float32
    assert function(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize(("name", "shape", "dtype"), SHAPES)
def test_model_contract(name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Protects the step: finite gradients, float32 params and outputs, one program for all."""
    chosen = ModelSpec(model=name, hidden=(4,), batch_norm=True)
    model = build_model(chosen, shape, 3, use_dropout=True, compute_dtype=dtype)
    x = jax.random.normal(jax.random.key(0), (4, *shape))
    params, state = jax.jit(model.init, compiler_options=FAST)(jax.random.key(1), x)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state))} == {jnp.dtype("float32")}

    def objective(params: Any, state: Any, rate: jax.Array) -> Any:
        out, new = model.apply(params, state, x, train=True, key=jax.random.key(2), dropout=rate)
        return jnp.mean(jnp.square(out)), (out, new)

    run, traces = counted(jax.value_and_grad(objective, has_aux=True))
    (_, (out, new)), grads = run(params, state, jnp.float32(0.5))
    (_, (kept, _)), _ = run(params, state, jnp.float32(0.0))
    assert len(traces) == 1
    assert out.shape == (4, 3)
    assert out.dtype == jnp.float32
    assert finite((out, new, grads))
    assert types(grads) == types(params)
    assert types(new) == types(state)
    assert model.has_dropout == (name != "linear")
    assert np.array_equal(out, kept) == (name == "linear")
    assert bool(state) == (name != "linear")
    assert model.output_bias == ("output", "bias")
    assert params["output"]["bias"].shape == (3,)

    def evaluate(rate: jax.Array) -> Any:
        out, same = model.apply(params, state, x, train=False, key=None, dropout=rate)
        assert same is state  # evaluating learns no statistics …
        return out

    run, _ = counted(evaluate)
    assert np.array_equal(run(jnp.float32(0.0)), run(jnp.float32(0.5)))  # … and drops nothing
