"""Adapters: a Linen or NNX module, or two plain functions, as a `Model`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from convergence import randomness
from convergence.models.base import Model, PyTree, Watched
from convergence.models.watching import watched

if TYPE_CHECKING:  # NNX takes long to import and few runs need it
    from flax import nnx

Array = jax.Array
_KEYWORDS = frozenset(("train", "training", "deterministic", "key", "dropout"))


def _accepted(function: Callable[..., Any]) -> frozenset[str]:
    """Which of our keywords a user's function takes."""
    return _KEYWORDS & frozenset(inspect.signature(function).parameters)


def _keywords(
    accepted: frozenset[str], train: bool, key: Array | None, dropout: Array
) -> dict[str, Any]:
    offered = {
        "train": train,
        "training": train,
        "deterministic": not train,
        "key": key,
        "dropout": dropout,
    }
    return {name: value for name, value in offered.items() if name in accepted}


def from_linen(module: nn.Module) -> Model:
    """A Linen module as a Model.

    The module's ``__call__`` takes the batch and, if it likes, the keywords ``train`` (or
    ``training``, or ``deterministic``), ``key`` (the step's typed dropout key) and ``dropout``
    (the traced rate). Collections other than ``params``, such as ``batch_stats``, become the
    state. Linen's own ``Dropout`` works too, with a rate fixed in the module.
    """
    accepted = _accepted(type(module).__call__)

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        rngs = {"params": key, "dropout": randomness.fold_name(key, "dropout")}
        keywords = _keywords(accepted, False, None, jnp.zeros((), jnp.float32))
        variables = dict(module.init(rngs, x, **keywords))
        params = variables.pop("params", {})
        return params, variables

    def apply(
        params: PyTree, state: PyTree, x: Array, *, train: bool, key: Array | None, dropout: Array
    ) -> tuple[Array, PyTree]:
        outputs, new = module.apply(
            {"params": params, **state},
            x,
            rngs=None if key is None else {"dropout": key},
            mutable=list(state),
            **_keywords(accepted, train, key, dropout),
        )
        return outputs.astype(jnp.float32), dict(new) if train else state

    def watch(params: PyTree, state: PyTree, x: Array) -> Watched:
        return watched(module, _keywords(accepted, False, None, jnp.zeros(())), params, state, x)

    return Model(init, apply, has_dropout=True, output_bias=None, watch=watch)


def _named(tree: Any) -> Any:
    """The same nested dict with names for keys (NNX numbers the members of lists)."""
    if isinstance(tree, dict):
        return {str(name): _named(branch) for name, branch in tree.items()}
    return tree


def _numbered(template: Any, tree: Any) -> Any:
    """Undoes `_named`: the same nested dict with the template's keys."""
    if isinstance(template, dict):
        return {name: _numbered(branch, tree[str(name)]) for name, branch in template.items()}
    return tree


def _streams(template: PyTree, key: Array | None) -> PyTree:
    """NNX's random streams for one step: the step's key with each stream's path folded in."""
    root = randomness.wrap(jnp.zeros(2, jnp.uint32)) if key is None else key

    def leaf(path: tuple[Any, ...], value: Any) -> Array:
        if not jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            return jnp.zeros(value.shape, value.dtype)  # how often the stream was drawn from
        stream = randomness.fold_name(root, jax.tree_util.keystr(path))
        return jax.random.split(stream, value.shape) if value.shape else stream

    return jax.tree_util.tree_map_with_path(leaf, template)


def from_nnx(source: nnx.Module | Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """An NNX module as a Model.

    Args:
        source: a constructor ``rngs -> module``; or a module, which then starts from the same
            params in every run (the source of randomness ``init`` has no effect on it).

    The module is put into training or evaluation mode by its own ``train()`` and ``eval()``, and
    its ``__call__`` may take the keywords that `from_linen` lists. Its params are its
    ``nnx.Param``; its random streams are set from the step's key, so that the counters that NNX
    carries play no part; all its other variables, such as batch statistics, are the state.
    Dropout rates are fixed in the module.
    """
    from flax import nnx

    def construct(key: Array) -> nnx.Module:
        return source if isinstance(source, nnx.Module) else source(nnx.Rngs(key))

    def split(module: nnx.Module) -> tuple[Any, PyTree, PyTree, PyTree]:
        graph, *states = nnx.split(module, nnx.Param, nnx.RngState, ...)
        params, streams, rest = (nnx.to_pure_dict(state) for state in states)
        return graph, params, streams, rest

    abstract = nnx.eval_shape(construct, randomness.wrap(jnp.zeros(2, jnp.uint32)))
    accepted = _accepted(type(abstract).__call__)
    graph, params_like, streams_like, rest_like = split(abstract)

    def init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        _, params, _, rest = split(construct(key))
        return _named(params), _named(rest)

    def apply(
        params: PyTree, state: PyTree, x: Array, *, train: bool, key: Array | None, dropout: Array
    ) -> tuple[Array, PyTree]:
        # Without the copy, a module that writes to its variables (BatchNorm) fails inside grad.
        module = nnx.merge(
            graph,
            _numbered(params_like, params),
            _streams(streams_like, key),
            _numbered(rest_like, state),
            copy=True,
        )
        module.train() if train else module.eval()
        outputs = module(x, **_keywords(accepted, train, key, dropout))
        _, _, _, rest = split(module)
        return outputs.astype(jnp.float32), _named(rest) if train else state

    return Model(init, apply, has_dropout=True, output_bias=None)


def from_functions(init: Callable[..., PyTree], apply: Callable[..., Array]) -> Model:
    """Two plain functions as a Model without state.

    Args:
        init: ``(key, x) -> params``, any nested structure of float32 arrays.
        apply: ``(params, x) -> outputs``; it may take the keywords ``train``, ``key`` and
            ``dropout`` as well (see `from_linen`).
    """
    accepted = _accepted(apply)

    def model_init(key: Array, x: Array) -> tuple[PyTree, PyTree]:
        return init(key, x), {}

    def model_apply(
        params: PyTree, state: PyTree, x: Array, *, train: bool, key: Array | None, dropout: Array
    ) -> tuple[Array, PyTree]:
        outputs = apply(params, x, **_keywords(accepted, train, key, dropout))
        return outputs.astype(jnp.float32), state

    return Model(model_init, model_apply, has_dropout=True, output_bias=None)
