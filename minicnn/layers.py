"""The layers: what each computes, and how the gradient of the loss flows back through it.

Every layer keeps the contract of `minicnn.layer.Layer`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import activations, engine
from minicnn.initializers import INITIALIZERS
from minicnn.layer import Layer
from minicnn.shapes import Geometry, Shape, window_geometry
from minicnn.validation import Check
from minicnn.validation.configuration import Configurable
from minicnn.windows import sum_windows, windows

__all__ = ["Activation", "Conv2D", "Dense", "Dropout", "Flatten", "Input", "Layer", "MaxPooling2D"]
__all__ += ["ReLU", "Softmax"]

REGULARIZERS: dict[str, type] = {}  # by name; `minicnn.keras` adds its own


class Input(Configurable):
    """The shape of one sample, as a model's first entry; it is not listed in `model.layers`."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = self.start_shape = Check("Input").shape(shape, "shape")


class KernelLayer(Layer):
    """A layer with a kernel, usually a bias, and an activation at its end.

    Parameters
    ----------
    activation : "relu", "softmax", "linear", None or Activation
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    kernel_regularizer, bias_regularizer : see `Layer.regularizers`, optional
    """

    def __init__(
        self,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.use_bias = self.check.flag(use_bias, "use_bias")
        self.activation = _activation(self, activation)
        self.kernel_initializer, self.bias_initializer = (
            self.check.choice(value, "initializer", INITIALIZERS, Callable)
            for value in (kernel_initializer, bias_initializer)
        )
        self.kernel_regularizer, self.bias_regularizer = (
            None
            if value is None
            else self.check.choice(value, "regularizer", REGULARIZERS, Callable)
            for value in (kernel_regularizer, bias_regularizer)
        )
        chosen = {"kernel": self.kernel_regularizer, "bias": self.bias_regularizer}
        self.regularizers = {key: each for key, each in chosen.items() if each is not None}

    def kernel_shape(self, input_shape: Shape) -> Shape:
        """Shape of the kernel for such inputs; its last axis is that of the bias."""
        raise NotImplementedError

    def new_params(self, input_shape, rng, dtype):
        shapes = {"kernel": self.kernel_shape(input_shape)}
        if self.use_bias:
            shapes["bias"] = shapes["kernel"][-1:]
        params = {}
        for key, shape in shapes.items():
            initializer = getattr(self, f"{key}_initializer")
            params[key] = np.array(initializer(shape, rng, dtype), dtype, order="C")
            if params[key].shape != shape:
                raise ValueError(
                    f"{self.who}: {key}_initializer gave an array of shape {params[key].shape}, "
                    f"expected {shape}"
                )
        return params

    def activated(self, z: np.ndarray) -> np.ndarray:
        """y = activation(z + bias)."""
        return self.activation.forward(z + self.params["bias"] if self.use_bias else z)

    def gradients(self, dkernel: np.ndarray, dz: np.ndarray) -> dict[str, np.ndarray]:
        """Those of kernel and bias; every position of every sample adds to that of the bias."""
        grads = {"kernel": dkernel}
        if self.use_bias:
            grads["bias"] = dz.sum(axis=tuple(range(dz.ndim - 1)))
        return grads

    def branches(self, cache):
        _, y = cache
        return self.activation.branches(y)


class Conv2D(KernelLayer):
    """Convolution: images (h, w, c) -> (oh, ow, filters).

        y[n, i, j, f] = activation(bias[f] + sum over ki, kj, c of
                                   x[n, i*sh + ki - top, j*sw + kj - left, c] kernel[ki, kj, c, f])

    Cells outside the image count as zero; output sizes are those of `shapes.window_geometry`.
    (This is cross-correlation; deep learning calls it convolution.) In the backward pass, each
    product x * kernel in a sum gives x the gradient dz * kernel, and the kernel dz * x.

    Weights: kernel (kh, kw, c, filters), bias (filters,).

    Parameters
    ----------
    filters : int
    kernel_size, strides : int or pair of int
        Height and width.
    padding : "valid" or "same"
    algorithm : "auto", "winograd", "few_channels", "im2col" or "direct"
        How the engine computes the convolution; all agree up to rounding. After `build`,
        `algorithm_` is the engine's choice.
    others
        As for every `KernelLayer` and `Layer`.

    Images that no window fits are a ValueError, in `build`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        algorithm: str = "auto",
        **options: Any,
    ):
        super().__init__(**options)
        self.filters = self.check.integer(filters, "filters")
        self.kernel_size = self.check.pair(kernel_size, "kernel_size")
        self.strides = self.check.pair(strides, "strides")
        self.padding = self.check.padding(padding)
        self.algorithm = engine.algorithm_name(algorithm, self.who)
        self.algorithm_: str | None = None

    def geometry(self, input_shape: Shape) -> Geometry:
        """The positions of the kernel on images of that shape."""
        return _geometry(self, "kernel_size", input_shape)

    def output_shape(self, input_shape):
        geometry = self.geometry(input_shape)
        return geometry.oh, geometry.ow, self.filters

    def kernel_shape(self, input_shape: Shape) -> Shape:
        return *self.kernel_size, input_shape[-1], self.filters

    def build(self, input_shape, rng, dtype="float32"):
        shape = self.check.shape(input_shape, "input_shape")
        c, geometry = shape[-1], self.geometry(shape)
        algorithm = engine.choose_algorithm(self.algorithm, geometry, c, self.filters, self.who)
        super().build(shape, rng, dtype)
        self.algorithm_ = algorithm

    def forward(self, x):
        x = self.checked_input(x)
        cells = windows(x, self.geometry(self.input_shape))  # (n, oh, ow, kh, kw, c)
        z = np.tensordot(cells, self.params["kernel"], axes=3)  # sum over kh, kw, c
        y = self.activated(z)  # (n, oh, ow, f)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        kernel, geometry = self.params["kernel"], self.geometry(self.input_shape)
        dz = self.activation.backward(self.checked_gradient(dy, y.shape), y)
        cells = windows(x, geometry).reshape(-1, kernel[..., 0].size)  # (n*oh*ow, kh*kw*c)
        dkernel = (cells.T @ dz.reshape(-1, self.filters)).reshape(kernel.shape)
        dcells = np.tensordot(dz, kernel, axes=(3, 3))  # sum over filters: (n, oh, ow, kh, kw, c)
        return sum_windows(dcells, geometry), self.gradients(dkernel, dz)


class Pooling2D(Layer):
    """What poolings of windows share: see `MaxPooling2D` for the parameters."""

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        **options: Any,
    ):
        super().__init__(**options)
        self.pool_size = self.check.pair(pool_size, "pool_size")
        self.strides = self.check.pair(self.pool_size if strides is None else strides, "strides")
        self.padding = self.check.padding(padding)

    def geometry(self, input_shape: Shape) -> Geometry:
        """The positions of the window on images of that shape."""
        return _geometry(self, "pool_size", input_shape)

    def output_shape(self, input_shape):
        geometry = self.geometry(input_shape)
        return geometry.oh, geometry.ow, input_shape[-1]


class MaxPooling2D(Pooling2D):
    """The largest value of every window, for each channel: images (h, w, c) -> (oh, ow, c).

    Cells of padding are never chosen. The gradient of a window goes to the one cell that was
    chosen; among equal ones that is the first in row-major order, as in TensorFlow.

    Parameters
    ----------
    pool_size : int or pair of int
        Height and width.
    strides : int or pair of int, optional
        `pool_size` by default.
    padding : "valid" or "same"
        "valid" drops the rows and columns left over, an odd last one for instance.
    """

    def forward(self, x):
        x = self.checked_input(x)
        geometry = self.geometry(self.input_shape)
        y = windows(x, geometry, padding=-np.inf).max(axis=(3, 4))
        # In the image, -inf becomes the lowest finite number, so that padding (-inf) never wins.
        raised = windows(np.maximum(x, np.finfo(x.dtype).min), geometry, padding=-np.inf)
        n, oh, ow, kh, kw, c = raised.shape
        winner = raised.reshape(n, oh, ow, kh * kw, c).argmax(axis=3)  # the first, or the first NaN
        return y, winner  # both (n, oh, ow, c)

    def backward(self, dy, cache):
        winner = cache  # (n, oh, ow, c)
        dy = self.checked_gradient(dy, winner.shape)
        g = self.geometry(self.input_shape)
        numbers = np.arange(g.kh * g.kw).reshape(g.kh, g.kw, 1)  # of the cells of a window
        chosen = winner[:, :, :, None, None] == numbers  # (n, oh, ow, kh, kw, c)
        return sum_windows(dy[:, :, :, None, None] * chosen, g), {}

    def branches(self, cache):
        return [cache]


class Flatten(Layer):
    """All axes of a sample in one, row by row: (h, w, c) -> (h*w*c,)."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x):
        x = self.checked_input(x)
        y = x.reshape(len(x), *self.output_shape(self.input_shape))
        return y, y.shape

    def backward(self, dy, cache):
        dy = self.checked_gradient(dy, cache)
        return dy.reshape(len(dy), *self.input_shape), {}


class Dense(KernelLayer):
    """Every output is a weighted sum of all inputs: y = activation(x @ kernel + bias).

    Inputs (..., inputs) give (..., units); axes before the last are treated like samples. Weights:
    kernel (inputs, units), bias (units,).

    Parameters
    ----------
    units : int
    others
        As for every `KernelLayer` and `Layer`.
    """

    def __init__(self, units: int, activation: Any = None, **options: Any):
        super().__init__(activation, **options)
        self.units = self.check.integer(units, "units")

    def output_shape(self, input_shape: Shape) -> Shape:
        return *self.check.vector_shape(input_shape)[:-1], self.units

    def kernel_shape(self, input_shape: Shape) -> Shape:
        return input_shape[-1], self.units

    def forward(self, x):
        x = self.checked_input(x)
        y = self.activated(x @ self.params["kernel"])
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        dz = self.activation.backward(self.checked_gradient(dy, y.shape), y)
        rows, dz_rows = x.reshape(-1, x.shape[-1]), dz.reshape(-1, self.units)
        dx = dz @ self.params["kernel"].T
        return dx, self.gradients(rows.T @ dz_rows, dz)


class Dropout(Layer):
    """Sets each input to 0 with probability `rate`, and divides the others by 1 - rate.

    This keeps the expected sum; outside of training the layer does nothing. Srivastava et al.,
    "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
        Fixes the masks of each step. By default they depend on `set_random_seed`.
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any):
        super().__init__(**options)
        self.rate = self.check.number(rate, "rate", 0, 1)
        self.seed = None if seed is None else self.check.integer(seed, "seed", 0, maximum=None)

    def forward(self, x, training=False, rng=None):
        x = self.checked_input(x)
        if not training or self.rate == 0:
            return x, None
        scale = x.dtype.type(1 / (1 - self.rate))
        mask = (rng.random(x.shape) >= self.rate) * scale
        return x * mask, mask

    def backward(self, dy, cache):
        mask = cache
        return (dy if mask is None else self.checked_gradient(dy, mask.shape) * mask), {}


class _ActivationLayer(Layer):
    activation: activations.Activation

    def forward(self, x):
        y = self.activation.forward(self.checked_input(x))
        return y, y

    def backward(self, dy, cache):
        y = cache
        return self.activation.backward(self.checked_gradient(dy, y.shape), y), {}

    def branches(self, cache):
        return self.activation.branches(cache)


class Activation(_ActivationLayer):
    """An activation as a layer of its own."""

    def __init__(self, activation: Any, **options: Any):
        super().__init__(**options)
        self.activation = _activation(self, activation)


class ReLU(_ActivationLayer):
    """max(x, 0), element by element; the gradient at 0 is 0."""

    activation = activations.ACTIVATIONS["relu"]


class Softmax(_ActivationLayer):
    """Scores to probabilities over the last axis: exp(x) / sum(exp(x))."""

    activation = activations.ACTIVATIONS["softmax"]

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.check.vector_shape(input_shape)


def _activation(layer: Layer, value: Any) -> activations.Activation:
    """`value` as an activation; None is the linear one."""
    name = "linear" if value is None else value
    return layer.check.choice(name, "activation", activations.NAMED, activations.Activation)


def _geometry(layer: Conv2D | Pooling2D, name: str, input_shape: Shape) -> Geometry:
    h, w, _ = layer.check.image_shape(input_shape)
    window = getattr(layer, name)
    try:
        return window_geometry((h, w), window, layer.strides, layer.padding, name)
    except ValueError as error:
        raise ValueError(f"{layer.who}: {error}") from None
