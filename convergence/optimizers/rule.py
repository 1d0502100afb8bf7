"""What an optimiser is to the training loop, and what its definition is to this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from convergence.packing import Packed, Packing, is_kernel

Array = jax.Array
PyTree = Any
Hyper = dict[str, Array]
# Built anew inside each traced step from that step's rate and the traced hyperparameters.
Build = Callable[[Array, Hyper], optax.GradientTransformationExtraArgs]


class Optimizer(NamedTuple):
    """An optimiser as three pure functions.

    Attributes:
        init: ``params -> opt_state``.
        update: ``(grads, opt_state, params, rate, value, hyper) -> (new params, opt_state)``;
            ``rate`` is the step's float32 scalar learning rate, ``value`` its loss (for
            optimisers that look at it), ``hyper`` the traced hyperparameters by name.
        eval_params: ``(params, opt_state) -> params`` to evaluate with; the params themselves
            except for optimisers that average.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]
    eval_params: Callable[[PyTree, PyTree], PyTree]


def trained_params(params: PyTree, opt_state: PyTree) -> PyTree:
    """The params that are trained are those to evaluate with."""
    return params


class Rule(NamedTuple):
    """How an optimiser of the table is made.

    Attributes:
        build: the transformation of a step's rate and hyperparameters; it ends in the update that
            is added to the params.
        eval_params: as `Optimizer.eval_params`.
        whole: it looks at single layers, and so must see the tree instead of packed vectors.
    """

    build: Build
    eval_params: Callable[[PyTree, PyTree], PyTree] = trained_params
    whole: bool = False


def kernel_decay(weight_decay: Array) -> optax.GradientTransformation:
    """Adds ``weight_decay * kernel`` to the updates of kernels; other leaves stay as they are."""
    return optax.add_decayed_weights(weight_decay, mask=is_kernel)


def assemble(rule: Rule, packing: Packing | None) -> Optimizer:
    """The rule as functions of packed params (of params as they are, without a packing)."""
    names = ("momentum", "beta1", "beta2", "epsilon", "weight_decay")
    layout = packing if rule.whole else None

    def seen(tree: PyTree) -> PyTree:
        if rule.whole and layout is None and isinstance(tree, Packed):
            raise ValueError("this optimiser looks at single layers: give it their packing")
        return layout.unpack(tree) if layout else tree

    def init(params: PyTree) -> PyTree:
        # The state's form and its first values do not depend on the numbers.
        zero = jnp.zeros((), jnp.float32)
        return rule.build(zero, dict.fromkeys(names, zero)).init(seen(params))

    def update(
        grads: PyTree, opt_state: PyTree, params: PyTree, rate: Array, value: Array, hyper: Hyper
    ) -> tuple[PyTree, PyTree]:
        transformation = optax.with_extra_args_support(rule.build(rate, hyper))
        # Bias correction raises a float32 to an int32 count, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = transformation.update(
                seen(grads), opt_state, seen(params), value=value
            )
        return optax.apply_updates(params, layout.pack(updates) if layout else updates), opt_state

    return Optimizer(init, update, rule.eval_params)
