"""Named initialisers, a user's own, and the output bias: the weights that a run starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers as jax_init

from convergence import names, randomness
from convergence.errors import UserError, unknown_name
from convergence.models.base import Model, Path, PyTree, leaf_path
from convergence.spec import ModelSpec
from convergence.userfile import load_attribute, split_reference, told

Array = jax.Array
Initialiser = Callable[..., Array]  # (key, shape, dtype) -> array


def _normal(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.normal(key, shape, dtype)


def _uniform(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


# Fans by the receptive-field rule: a kernel [*window, in, out] has fan-in window * in and fan-out
# window * out. The normals of lecun, glorot and he are cut at two standard deviations and
# rescaled to the variance they name, as in Flax and Keras.
INITIALISERS: dict[str, Initialiser | None] = {
    "default": None,  # the model's own draw
    "zeros": jax_init.zeros,
    "constant": jax_init.ones,
    "normal": _normal,  # standard deviation 1
    "uniform": _uniform,  # on [-1, 1]
    "lecun_normal": jax_init.lecun_normal(),  # variance 1 / fan-in (LeCun et al., 1998)
    "lecun_uniform": jax_init.lecun_uniform(),
    "glorot_normal": jax_init.glorot_normal(),  # 2 / (fan-in + fan-out) (Glorot & Bengio, 2010)
    "glorot_uniform": jax_init.glorot_uniform(),
    "he_normal": jax_init.he_normal(),  # 2 / fan-in (He et al., 2015)
    "he_uniform": jax_init.he_uniform(),
    "orthogonal": jax_init.orthogonal(),  # Saxe et al., 2014
    "lsuv": jax_init.orthogonal(),  # then scaled layer by layer: `scaling.unit_variance`
}


def _own(reference: str) -> Initialiser:
    """A user's ``function(key, shape, dtype) -> array``, held to its contract."""
    function = load_attribute(reference, "init")
    path, _ = split_reference(reference, "init")
    if not callable(function):
        raise UserError(f"{reference} is not a function f(key, shape, dtype).", "init")

    def draw(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        try:
            values = jnp.asarray(function(key, shape, dtype))
        except Exception as error:
            raise UserError(f"the initialiser failed in {told(error, path)}", "init") from error
        if values.shape != tuple(shape) or values.dtype != dtype:
            raise UserError(
                f"{reference} returned {values.dtype}{list(values.shape)} for a kernel"
                f" {dtype}{list(shape)}; needed is an array of that shape and type.",
                "init",
            )
        return values

    return draw


def _drawn_by(name: str) -> Initialiser | None:
    if ":" in name:
        return _own(name)
    if name not in INITIALISERS:
        raise unknown_name(name, names.INITIALISERS, "init", "initialiser")
    return INITIALISERS[name]


def check(spec: ModelSpec, model: Model, shape: tuple[int, ...]) -> None:
    """Tries an initialiser on every kernel of a model; nothing is computed.

    Args:
        spec: names the initialiser and the model.
        model: what `spec` describes.
        shape: of one example.

    Raises:
        UserError: lsuv for a model whose layers cannot be seen; no such file or function, an error
            in it (told with its line), or an array of another shape or type than asked for.
    """
    name = spec.init
    if name == "lsuv" and model.watch is None:
        raise UserError(
            f"lsuv scales layer by layer, and the layers of {spec.model} cannot be seen (only"
            " those of a Linen module can); use orthogonal.",
            "init",
        )
    if ":" not in name:
        return
    draw = _own(name)
    key = jax.eval_shape(lambda: randomness.root_key(0))
    for leaf in jax.tree.leaves(model.form(shape)[0]):
        if leaf.ndim >= 2:
            jax.eval_shape(lambda k, one=leaf: draw(k, one.shape, one.dtype), key)


def initialise(
    params: PyTree,
    key: Array,
    name: str,
    scale: Array,
    *,
    bias: str,
    output_bias: Path | None,
    prior: Array | None,
) -> PyTree:
    """The initial params: every kernel redrawn by a named initialiser and scaled.

    Kernels are leaves with two axes or more; other leaves (biases, normalisation) keep the
    model's values. Each kernel's key is the given one with the kernel's path folded in, so that
    adding a layer moves no other layer's draw.

    Args:
        params: the model's own draw, also the template of shapes and types.
        key: typed key of the ``init`` source.
        name: one of `names.INITIALISERS`; "default" keeps the model's own kernels, "lsuv" draws
            them orthogonal; or ``path/to/file.py:function`` of a user's own ``function(key, shape,
            dtype) -> array`` in jax.numpy.
        scale: scalar, may be traced; multiplies every kernel, also with "default".
        bias: "zero" leaves the output bias to the model (the zoo's is 0); "prior" writes
            ``prior`` into it, so that the first predictions are the targets' mean behaviour;
            "none" is a model without biases, and does as "zero".
        output_bias: path of the output bias in params, None if unknown.
        prior: ``[outputs]``: log class frequencies, or 0 for standardised targets.

    Raises:
        UserError: unknown name, a fault in a user's file, or ``bias="prior"`` where the output
            bias is unknown.
    """
    draw = _drawn_by(name)
    if bias == "prior" and output_bias is None:
        raise UserError(
            "prior needs a model with one recognisable output bias; this one has none.", "bias"
        )

    def leaf(path: tuple[Any, ...], value: Array) -> Array:
        where = leaf_path(path)
        if value.ndim >= 2:
            if draw is not None:
                value = draw(randomness.fold_name(key, "/".join(where)), value.shape, value.dtype)
            return value * scale.astype(value.dtype)
        if bias == "prior" and where == output_bias:
            if prior is None or prior.shape != value.shape:
                raise ValueError(f"prior must have the output bias' shape {value.shape}")
            return prior.astype(value.dtype)
        return value

    return jax.tree_util.tree_map_with_path(leaf, params)
