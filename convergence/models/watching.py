"""What goes on inside a Linen module: its layers' products and its hidden units, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

from convergence.models.base import Layer, Path, PyTree, Watched

Array = jax.Array
CAPTURED = "intermediates"  # Flax' name of the collection
ACTIVE, PRODUCTS = "active", "products"  # what the zoo's layers sow there
_RECURRENT = "recurrent"  # kernels of a layer that tells its products with the input apart


def watched(
    module: nn.Module, keywords: Mapping[str, Any], params: PyTree, state: PyTree, x: Array
) -> Watched:
    """A forward pass with its layers told.

    Layers are the submodules that hold kernels themselves (leaves with two axes or more); what a
    lifted transformation (``nn.scan``) hides is not seen.
    """
    called: dict[Path, None] = {}

    def noted(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.method_name == "__call__":
            called[tuple(context.module.path)] = None
        return call(*args, **kwargs)

    with nn.intercept_methods(noted):
        outputs, told = module.apply(
            {"params": params, **state},
            x,
            capture_intermediates=True,
            mutable=[CAPTURED, *state],
            **keywords,
        )
    captured = told.get(CAPTURED, {})
    layers = []
    for path in called:
        layer = _layer(path, _inside(params, path), _inside(captured, path))
        layers += [layer] if layer else []
    active = {name: values[-1] for name, values in captured.items() if name.split("_")[0] == ACTIVE}
    return Watched(outputs, tuple(layers), active)


def _inside(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree.get(part, {}) if isinstance(tree, Mapping) else {}
    return tree


def _layer(path: Path, params: Any, told: Any) -> Layer | None:
    if not isinstance(params, Mapping) or not isinstance(told, Mapping):
        return None
    own = {name: leaf for name, leaf in params.items() if getattr(leaf, "ndim", 0) >= 2}
    apart = PRODUCTS in told
    values = told.get(PRODUCTS if apart else "__call__", ())
    if not own or not values or not hasattr(values[0], "ndim"):
        return None
    names = [name for name in own if not (apart and name.startswith(_RECURRENT))]
    kernels = tuple((*path, name) for name in names)
    return Layer("/".join(path) or "model", kernels, values[0])


__all__ = ["ACTIVE", "CAPTURED", "PRODUCTS", "watched"]
