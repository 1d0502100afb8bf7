"""Layers that the zoo needs and Flax lacks: traced dropout, im2col convolution, a lean GRU."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from convergence import randomness
from convergence.models.tiling import FEW, out_length, tiled_convolution
from convergence.models.watching import CAPTURED, PRODUCTS

Array = jax.Array
Activation = Callable[[Array], Array]


def identity(x: Array) -> Array:
    """The input itself: what makes a deep linear network of an mlp."""
    return x


ACTIVATIONS: dict[str, Activation] = {
    "relu": nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "elu": nn.elu,
    "leaky_relu": nn.leaky_relu,
    "identity": identity,
}


def dropout(x: Array, rate: Array, key: Array) -> Array:
    """Inverted dropout: zeroes a share of the elements and scales the others to keep the mean.

    Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting",
    in the inverted form that leaves evaluation alone. With rate 0 the result equals ``x``.

    Args:
        x: activations of any shape and float type.
        rate: scalar in [0, 1), may be traced.
        key: typed key, used once.

    Returns:
        An array of x's shape and type.
    """
    keep = 1.0 - rate
    kept = jax.random.bernoulli(key, keep, x.shape)
    return jnp.where(kept, x / keep.astype(x.dtype), jnp.zeros((), x.dtype))


class Dropout(nn.Module):
    """A dropout layer whose rate is an argument (Linen's own wants a Python number).

    The layer folds its own path into the step's key, so that the keys of all layers and steps
    differ and adding a layer moves no other layer's draws.
    """

    @nn.compact
    def __call__(self, x: Array, rate: Array, key: Array | None) -> Array:
        """Dropout on x if there is a key, x itself if not (evaluation)."""
        if key is None:
            return x
        return dropout(x, rate, randomness.fold_name(key, "/".join(self.path)))


def patches(x: Array, window: Sequence[int], stride: int, padding: int) -> Array:
    """The windows of an image or a series side by side (im2col), by static slices.

    Slices rather than a gather: their transpose is a padding, not a scatter.

    Args:
        x: ``[batch, *space, channels]`` with one or two spatial axes.
        window: the window's size along each spatial axis.
        stride: step of the window, the same along each axis.
        padding: zeros put on both ends of each axis.

    Returns:
        ``[batch, *positions, prod(window) * channels]``, in the order of a kernel of shape
        ``[*window, channels, features]``.
    """
    space = x.shape[1:-1]
    padded = jnp.pad(x, ((0, 0), *((padding, padding) for _ in space), (0, 0)))
    spans = [
        stride * (out_length(length, size, stride, padding) - 1) + 1
        for length, size in zip(space, window, strict=True)
    ]
    pieces = []
    for corner in itertools.product(*(range(size) for size in window)):
        cut = [slice(at, at + span, stride) for at, span in zip(corner, spans, strict=True)]
        pieces.append(padded[(slice(None), *cut, slice(None))])
    return jnp.concatenate(pieces, axis=-1)


class Convolution(nn.Module):
    """A 1-D or 2-D convolution as one matrix product over patches, or tiles of few channels.

    On CPU a native convolution inside a loop runs on a path that is an order of magnitude slower
    than a product; on accelerators ``native`` may be the faster. The kernel has the usual shape
    ``[*window, channels, features]`` in both cases (the product sees a reshaped view), so that
    initialisers find their fan-in and fan-out and the two share parameters.

    Attributes:
        features: output channels.
        window: the window's size along each spatial axis.
        stride: step along each spatial axis.
        padding: zeros on both ends of each spatial axis.
        native: use ``jax.lax.conv_general_dilated``.
        biases: add a bias a feature.
        dtype: type of the computation; parameters are float32.
    """

    features: int
    window: tuple[int, ...]
    stride: int = 1
    padding: int = 1
    native: bool = False
    biases: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """``[batch, *space, channels] -> [batch, *positions, features]``."""
        shape = (*self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = None
        if self.biases:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.native:
            letters = "HW"[: len(self.window)]
            y = jax.lax.conv_general_dilated(
                x,
                kernel,
                window_strides=(self.stride,) * len(self.window),
                padding=((self.padding, self.padding),) * len(self.window),
                dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
            )
        elif x.shape[-1] <= FEW:
            y = tiled_convolution(x, kernel, self.stride, self.padding)
        else:
            flat = kernel.reshape(math.prod(shape[:-1]), self.features)
            y = patches(x, self.window, self.stride, self.padding) @ flat
        return y if bias is None else y + bias


class Gru(nn.Module):
    """A gated recurrent layer over a sequence, its input products taken out of the loop.

    Cho et al., 2014, in the variant of cuDNN and Flax (the reset gate acts on the hidden product):
    ``r, z = sigmoid(x W + h U)``; ``n = tanh(x W_n + b_n + r * (h U_n + c_n))``;
    ``h' = (1 - z) * n + z * h``. Kernels are kept one a gate, so that initialisers see each gate's
    own fan-in; recurrent ones start orthogonal.

    Attributes:
        features: width of the hidden state.
        biases: the gates have biases.
        dtype: type of the computation; parameters are float32.
    """

    features: int
    biases: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """``[batch, length, channels] -> [batch, length, features]``, the state at each step."""
        width, zeros = self.features, nn.initializers.zeros_init()
        fan, square = nn.initializers.lecun_normal(), nn.initializers.orthogonal()
        gates = ("reset", "update", "new")
        inputs = [self.param(f"input_{g}", fan, (x.shape[-1], width), jnp.float32) for g in gates]
        hidden = [self.param(f"recurrent_{g}", square, (width, width), jnp.float32) for g in gates]
        bias = hidden_bias = None
        if self.biases:
            bias = self.param("bias", zeros, (3 * width,), jnp.float32)
            hidden_bias = self.param("recurrent_bias", zeros, (width,), jnp.float32)
        x, w, u, bias, hidden_bias = nn.dtypes.promote_dtype(
            x,
            jnp.concatenate(inputs, axis=1),
            jnp.concatenate(hidden, axis=1),
            bias,
            hidden_bias,
            dtype=self.dtype,
        )
        # Time first, for the scan, and an array a gate: of one array's slices XLA makes scalar code
        # on CPU, which takes five times as long.
        products = x @ w if bias is None else x @ w + bias
        self.sow(CAPTURED, PRODUCTS, products)  # nothing, unless someone watches
        driven = jnp.split(jnp.swapaxes(products, 0, 1), 3, axis=-1)

        def step(h: Array, drive: list[Array]) -> tuple[Array, Array]:
            of_reset, of_update, of_new = jnp.split(h @ u, 3, axis=-1)
            reset = nn.sigmoid(drive[0] + of_reset)
            update = nn.sigmoid(drive[1] + of_update)
            if hidden_bias is not None:
                of_new = of_new + hidden_bias
            new = jnp.tanh(drive[2] + reset * of_new)
            h = (1.0 - update) * new + update * h
            return h, h

        start = jnp.zeros((x.shape[0], width), x.dtype)
        _, states = jax.lax.scan(step, start, driven)
        return jnp.swapaxes(states, 0, 1)
