"""What the rest of the laboratory needs to know of a model: two pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from convergence import randomness

Array = jax.Array
PyTree = Any  # nested dicts of arrays
Path = tuple[str, ...]


class Layer(NamedTuple):
    """A layer with kernels, as a forward pass met it.

    Attributes:
        name: as a reader knows it, "/" between the parts of its path.
        kernels: paths in the params of the kernels that made `product`.
        product: what it made of its input, ``[batch, ..., units]``, before any non-linearity of
            the model's own.
    """

    name: str
    kernels: tuple[Path, ...]
    product: Array


class Watched(NamedTuple):
    """What went on inside a forward pass.

    Attributes:
        outputs: as `Model.apply` gives them.
        layers: those with kernels, in the order in which they were called.
        active: by name, the hidden units after their non-linearity ``[batch, ..., units]``; empty
            where the model does not tell.
    """

    outputs: Array
    layers: tuple[Layer, ...]
    active: dict[str, Array]


class Model(NamedTuple):
    """A model as two pure functions; both may be jitted, mapped and differentiated.

    Attributes:
        init: ``(key, x) -> (params, state)``. ``key`` is a typed key and ``x`` a prepared float32
            example batch ``[batch, *shape]``, of which only the shape matters. ``params`` are
            what is trained; ``state`` is what the forward pass carries along (running statistics
            of batch normalisation), ``{}`` if there is none.
        apply: ``(params, state, x, *, train, key, dropout) -> (outputs, new state)``. ``train`` is
            a Python bool, ``key`` this step's typed dropout key (None when evaluating),
            ``dropout`` the traced rate. Outputs are float32 ``[batch, outputs]``: logits, or
            predictions in prepared units. When evaluating, the state comes back unchanged.
        has_dropout: the program contains dropout layers (of a user's model: may contain them).
        output_bias: path of the output layer's bias in ``params``, None if unknown.
        watch: ``(params, state, x) -> Watched``, a pass as when evaluating whose layers are told;
            None where they cannot be seen (NNX modules, plain functions).
    """

    init: Callable[[Array, Array], tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree]]
    has_dropout: bool
    output_bias: tuple[str, ...] | None
    watch: Callable[[PyTree, PyTree, Array], Watched] | None = None

    def form(self, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        """Shapes and dtypes of (params, state) for examples of this shape; nothing is computed."""
        key = jax.eval_shape(lambda: randomness.root_key(0))
        x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        params, state = jax.eval_shape(self.init, key, x)
        return params, state


def leaf_path(path: tuple[Any, ...]) -> Path:
    """A JAX key path as plain names: ``(DictKey('a'), DictKey('b')) -> ('a', 'b')``."""
    return tuple(
        str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part))))
        for part in path
    )
