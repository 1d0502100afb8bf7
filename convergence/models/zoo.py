"""The bundled models, as Linen modules with one signature and stable layer names.

Hidden layers are ``product -> batch norm -> activation -> dropout``, the last two where asked for.
The output layer is called ``output`` in each of them.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from convergence.models.layers import Activation, Convolution, Dropout, Gru, identity
from convergence.models.watching import ACTIVE, CAPTURED

Array = jax.Array

# Share of the old running statistics kept at each step; Flax's .99 would lag behind in the short
# runs of a laboratory, this is PyTorch's and Keras' neighbour.
BATCH_NORM_MOMENTUM = 0.9


class Network(nn.Module):
    """What the zoo's members share: their options and the tail of a hidden layer.

    Attributes:
        outputs: width of the output layer.
        hidden: widths of the hidden layers (cnn: channels).
        activation: non-linearity of the hidden layers.
        batch_norm: normalise over the batch before each activation.
        use_dropout: the program contains dropout layers.
        native: the cnn's convolutions are ``jax.lax``'s own.
        dtype: type of the forward pass; parameters and outputs are float32.
        biases: layers have biases; a normalisation keeps its own.
    """

    outputs: int
    hidden: tuple[int, ...] = ()
    activation: Activation = nn.relu
    batch_norm: bool = False
    use_dropout: bool = False
    native: bool = False
    dtype: jnp.dtype | None = None
    biases: bool = True

    default_hidden: ClassVar[tuple[int, ...]] = ()

    def widths(self) -> tuple[int, ...]:
        """The hidden widths: those given, or the model's own."""
        return self.hidden or self.default_hidden

    def finish(
        self,
        x: Array,
        index: int,
        activation: Activation,
        train: bool,
        key: Array | None,
        dropout: Array,
    ) -> Array:
        """Batch norm, activation and dropout of hidden layer ``index``; the shape is kept."""
        if self.batch_norm:
            norm = nn.BatchNorm(
                use_running_average=not train,
                momentum=BATCH_NORM_MOMENTUM,
                dtype=jnp.float32,  # its statistics need the digits
                name=f"norm_{index}",
            )
            x = norm(x.astype(jnp.float32)).astype(x.dtype)
        x = activation(x)
        self.sow(CAPTURED, f"{ACTIVE}_{index}", x)  # nothing, unless someone watches
        if self.use_dropout:
            x = Dropout(name=f"dropout_{index}")(x, dropout, key if train else None)
        return x

    def dense(self, width: int, name: str) -> nn.Dense:
        """A dense layer with the network's options."""
        return nn.Dense(width, use_bias=self.biases, dtype=self.dtype, name=name)

    def read_out(self, x: Array) -> Array:
        """The output layer on the flattened input: float32 ``[batch, outputs]``."""
        flat = x.reshape(x.shape[0], -1)
        return self.dense(self.outputs, "output")(flat).astype(jnp.float32)


class Linear(Network):
    """Linear or logistic regression: no hidden layer, whatever the other options say."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool, key: Array | None, dropout: Array) -> Array:
        """``[batch, *shape] -> [batch, outputs]``."""
        return self.read_out(x)


class Mlp(Network):
    """A fully connected network on the flattened input; two layers of 128 unless told otherwise."""

    default_hidden: ClassVar[tuple[int, ...]] = (128, 128)

    @nn.compact
    def __call__(self, x: Array, *, train: bool, key: Array | None, dropout: Array) -> Array:
        """``[batch, *shape] -> [batch, outputs]``."""
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.widths()):
            x = self.dense(width, f"dense_{index}")(x)
            x = self.finish(x, index, self.activation, train, key, dropout)
        return self.read_out(x)


class Cnn2d(Network):
    """Convolutions of 3x3 over (height, width, channels), the first of stride 1, the rest of 2."""

    default_hidden: ClassVar[tuple[int, ...]] = (16, 32)

    @nn.compact
    def __call__(self, x: Array, *, train: bool, key: Array | None, dropout: Array) -> Array:
        """``[batch, height, width, channels] -> [batch, outputs]``."""
        for index, width in enumerate(self.widths()):
            layer = Convolution(
                width,
                (3, 3),
                stride=1 if index == 0 else 2,
                native=self.native,
                biases=self.biases,
                dtype=self.dtype,
                name=f"conv_{index}",
            )
            x = self.finish(layer(x), index, self.activation, train, key, dropout)
        return self.read_out(x)


class Cnn1d(Network):
    """Convolutions of stride 2 over (length, channels) or (features,): windows 5, 3, 3, ….

    With the default channels this is the CNN of Greydanus & Kobak, "Scaling down deep learning
    with MNIST-1D" (40 -> 19 -> 10 -> 5 positions, padding 1, then one dense layer).
    """

    default_hidden: ClassVar[tuple[int, ...]] = (25, 25, 25)

    @nn.compact
    def __call__(self, x: Array, *, train: bool, key: Array | None, dropout: Array) -> Array:
        """``[batch, length(, channels)] -> [batch, outputs]``."""
        if x.ndim == 2:
            x = x[:, :, None]
        for index, width in enumerate(self.widths()):
            layer = Convolution(
                width,
                (5 if index == 0 else 3,),
                stride=2,
                native=self.native,
                biases=self.biases,
                dtype=self.dtype,
                name=f"conv_{index}",
            )
            x = self.finish(layer(x), index, self.activation, train, key, dropout)
        return self.read_out(x)


class GruNetwork(Network):
    """Gated recurrent layers over a series, then one dense layer on the last state.

    Images are read row by row. The gates keep their own non-linearities (sigmoid and tanh):
    ``activation`` does not apply. Batch norm and dropout act on the states that a layer hands on.
    """

    default_hidden: ClassVar[tuple[int, ...]] = (32,)

    @nn.compact
    def __call__(self, x: Array, *, train: bool, key: Array | None, dropout: Array) -> Array:
        """``[batch, length(, channels)]`` or ``[batch, height, width, channels]`` to outputs."""
        x = x[:, :, None] if x.ndim == 2 else x.reshape(*x.shape[:2], -1)
        widths = self.widths()
        for index, width in enumerate(widths):
            x = Gru(width, biases=self.biases, dtype=self.dtype, name=f"gru_{index}")(x)
            if index == len(widths) - 1:
                x = x[:, -1]
            x = self.finish(x, index, identity, train, key, dropout)
        return self.read_out(x)
