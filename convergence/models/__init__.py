"""Models as pure functions: `build_model` gives a bundled one or the user's own."""

from __future__ import annotations

import jax.numpy as jnp

from convergence import names
from convergence.errors import UserError, unknown_name
from convergence.models import zoo
from convergence.models.adapters import from_functions, from_linen, from_nnx
from convergence.models.base import Model
from convergence.models.layers import ACTIVATIONS
from convergence.models.user import load_user_model
from convergence.spec import ModelSpec

__all__ = [
    "ACTIVATIONS",
    "MODELS",
    "Model",
    "build_model",
    "from_functions",
    "from_linen",
    "from_nnx",
    "load_user_model",
]

# Members by name, then by the number of axes of an example.
MODELS: dict[str, dict[int, type[zoo.Network]]] = {
    "linear": {1: zoo.Linear, 2: zoo.Linear, 3: zoo.Linear},
    "mlp": {1: zoo.Mlp, 2: zoo.Mlp, 3: zoo.Mlp},
    "cnn": {1: zoo.Cnn1d, 2: zoo.Cnn1d, 3: zoo.Cnn2d},
    "gru": {1: zoo.GruNetwork, 2: zoo.GruNetwork, 3: zoo.GruNetwork},
}
_SHORTEST = {zoo.Cnn1d: 5, zoo.Cnn2d: 3}  # a window must fit into the input once


def _check_shape(name: str, member: type[zoo.Network], shape: tuple[int, ...]) -> None:
    shortest = _SHORTEST.get(member, 1)
    space = shape[:1] if member is zoo.Cnn1d else shape[:2]
    if min(space) < shortest:
        raise UserError(
            f"{name} slides a window of {shortest} over each example, but these have the shape "
            f"{shape}; use mlp or linear.",
            "model",
        )


def build_model(
    spec: ModelSpec,
    shape: tuple[int, ...],
    outputs: int,
    *,
    use_dropout: bool,
    compute_dtype: str,
    native: bool = False,
) -> Model:
    """The model that a spec names, for examples of one shape.

    Args:
        spec: name, widths, activation, batch norm, and whether there are biases. Initialisers,
            the output bias' start and dropout rate are not read here: the first two are
            `weights.initialise`'s, the rate is traced.
        shape: of one example: (features,), (length, channels) or (height, width, channels).
        outputs: classes, or 1 for regression.
        use_dropout: the program contains dropout layers (some arm has a rate above 0).
        compute_dtype: "float32" or "bfloat16", of the forward pass; parameters stay float32.
        native: convolutions by ``jax.lax`` instead of as matrix products.

    Returns:
        The model; linear has no hidden layer and takes no dropout.

    Raises:
        UserError: unknown name, a shape the model cannot read, or a fault in a user's own file.
    """
    if ":" in spec.model:
        if spec.bias == "none":
            raise UserError("a user's own model chooses its own biases; leave zero.", "bias")
        return load_user_model(spec.model, shape, outputs)
    if spec.model not in MODELS:
        raise unknown_name(spec.model, names.MODELS, "model", "model")
    if spec.activation not in ACTIVATIONS:
        raise unknown_name(spec.activation, ACTIVATIONS, "activation", "activation")
    members = MODELS[spec.model]
    if len(shape) not in members:
        raise UserError(f"{spec.model} reads examples of 1 to 3 axes, not {shape}.", "model")
    member = members[len(shape)]
    _check_shape(spec.model, member, shape)
    module = member(
        outputs=outputs,
        hidden=spec.hidden,
        activation=ACTIVATIONS[spec.activation],
        batch_norm=spec.batch_norm,
        use_dropout=use_dropout,
        native=native,
        dtype=jnp.dtype(compute_dtype),
        biases=spec.bias != "none",
    )
    dropout = use_dropout and member is not zoo.Linear
    output_bias = ("output", "bias") if module.biases else None
    return from_linen(module)._replace(has_dropout=dropout, output_bias=output_bias)
