"""A model from a user's own file, checked before anything is trained.

The attribute is a Linen module, a pair of functions, or a function that makes the model for
given examples. Three complete files, each used as ``--model=file.py:attribute``:

A Linen module; ``train`` is passed where it is asked for, batch statistics are carried::

    # file.py:net
    from flax import linen as nn

    class Net(nn.Module):
        outputs: int

        @nn.compact
        def __call__(self, x, train):
            x = nn.Dense(32)(x.reshape(x.shape[0], -1))
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            return nn.Dense(self.outputs)(x)

    def net(shape, outputs):  # or, for known outputs: net = Net(10)
        return Net(outputs)

An NNX module, made anew for each seed from the ``rngs`` it is given::

    # file.py:net
    import jax
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, features, outputs, rngs):
            self.hidden = nnx.Linear(features, 32, rngs=rngs)
            self.dropout = nnx.Dropout(0.1, rngs=rngs)
            self.output = nnx.Linear(32, outputs, rngs=rngs)

        def __call__(self, x):
            return self.output(self.dropout(jax.nn.relu(self.hidden(x))))

    def net(shape, outputs, rngs):
        return Net(shape[0], outputs, rngs)

Two plain functions::

    # file.py:net
    import jax
    import jax.numpy as jnp

    def net(shape, outputs):
        def init(key, x):
            first, second = jax.random.split(key)
            return {
                "hidden": jax.random.normal(first, (shape[0], 32)) / shape[0] ** 0.5,
                "output": jax.random.normal(second, (32, outputs)) / 32**0.5,
                "bias": jnp.zeros(outputs),
            }

        def apply(params, x):
            return jnp.tanh(x @ params["hidden"]) @ params["output"] + params["bias"]

        return init, apply
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from convergence import randomness
from convergence.errors import UserError
from convergence.models.adapters import from_functions, from_linen, from_nnx
from convergence.models.base import Model, PyTree, leaf_path
from convergence.userfile import load_attribute, split_reference, told

Array = jax.Array
_FIELD = "model"
_WANTED = (
    "a Linen module, a pair (init, apply), or a function of (shape, outputs) or "
    "(shape, outputs, rngs) that returns one or an NNX module"
)


def load_user_model(reference: str, shape: tuple[int, ...], outputs: int) -> Model:
    """The model that an attribute of a user's file describes.

    See the top of this file for what the attribute may be, with three complete examples.

    Args:
        reference: ``path/to/file.py:attribute``.
        shape: of one example.
        outputs: classes, or 1 for regression.

    Returns:
        The model. Its output bias is known where exactly one bias of that width stands beside a
        kernel of that width.

    Raises:
        UserError: no such file or attribute, an error in the file (told with its line), a model
            whose outputs, params or state have another form than needed.
    """
    path, _ = split_reference(reference, _FIELD)
    attribute = load_attribute(reference, _FIELD)
    model = _attempt(lambda: _as_model(attribute, reference, shape, outputs), path)
    params = _check(model, reference, path, shape, outputs)
    return model._replace(output_bias=_find_output_bias(params, outputs))


def _attempt(action: Callable[[], Any], path: Path) -> Any:
    """The action's result; the user's own errors are told with their line."""
    try:
        return action()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the model failed in {told(error, path)}", _FIELD) from error


def _as_model(attribute: Any, reference: str, shape: tuple[int, ...], outputs: int) -> Model:
    if isinstance(attribute, type) and issubclass(attribute, nn.Module):
        raise UserError(f"{reference} is a class; give a module made from it.", _FIELD)
    if callable(attribute) and not isinstance(attribute, nn.Module) and not _is_nnx(attribute):
        make: Callable[..., Any] = attribute
        if "rngs" in inspect.signature(make).parameters:
            return from_nnx(lambda rngs: make(shape, outputs, rngs=rngs))
        attribute = make(shape, outputs)
    if isinstance(attribute, nn.Module):
        return from_linen(attribute)
    if isinstance(attribute, tuple) and len(attribute) == 2 and all(map(callable, attribute)):
        return from_functions(*attribute)
    if _is_nnx(attribute):
        raise UserError(
            f"{reference} makes its NNX module without being given rngs, so that every seed would "
            "start from the same weights; make it a function of (shape, outputs, rngs).",
            _FIELD,
        )
    raise UserError(f"{reference} gave a {type(attribute).__name__}; needed is {_WANTED}.", _FIELD)


def _is_nnx(value: Any) -> bool:
    from flax import nnx

    return isinstance(value, nnx.Module)


def _check(
    model: Model, reference: str, path: Path, shape: tuple[int, ...], outputs: int
) -> PyTree:
    """The params' shapes; raises UserError where the model does not keep to its contract."""
    key = randomness.wrap(jnp.zeros(2, jnp.uint32))
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    params, state = _attempt(lambda: jax.eval_shape(model.init, key, x), path)
    for where, leaf in jax.tree_util.tree_leaves_with_path(params):
        if leaf.dtype != jnp.float32:
            name = "/".join(leaf_path(where))
            raise UserError(
                f"{reference}: the parameter {name} is {leaf.dtype}; needed is float32.", _FIELD
            )
    for train in (True, False):

        def forward(params: PyTree, state: PyTree, x: Any, rate: Any, train: bool = train) -> Any:
            return model.apply(
                params, state, x, train=train, key=key if train else None, dropout=rate
            )

        out, new = _attempt(lambda f=forward: jax.eval_shape(f, params, state, x, rate), path)  # type: ignore[misc]
        if out.shape != (2, outputs):
            raise UserError(
                f"{reference} returned the shape {out.shape} for a batch of two examples of "
                f"{shape}; needed is (2, {outputs}).",
                _FIELD,
            )
        if jax.tree.map(_form, new) != jax.tree.map(_form, state):
            raise UserError(f"{reference}: a step changes the form of its state.", _FIELD)
    return params


def _form(leaf: Any) -> tuple[Any, ...]:
    return leaf.shape, leaf.dtype


def _find_output_bias(params: PyTree, outputs: int) -> tuple[str, ...] | None:
    shapes = {
        leaf_path(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    kernels = [p for p, shape in shapes.items() if len(shape) >= 2 and shape[-1] == outputs]
    beside = {path[:-1] for path in kernels}
    found = [p for p, shape in shapes.items() if shape == (outputs,) and p[:-1] in beside]
    return found[0] if len(found) == 1 else None
