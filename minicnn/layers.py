"""The layers: what each computes, and how the gradient of a loss flows back through it.

The contract they keep is that of `minicnn.layer.Layer`:

    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)

The loops are in `minicnn.kernels`; what they compute can be read here.
"""

import math
from typing import Any

import numpy as np

from minicnn import activations
from minicnn.configuration import Configurable
from minicnn.kernels import dense, direct, im2col, planes, pooling, winograd
from minicnn.layer import KernelLayer, Layer, image_shape, vector_shape
from minicnn.shapes import (
    Geometry,
    Shape,
    padding_name,
    positive_int,
    positive_ints,
    positive_pair,
    window_geometry,
)

__all__ = ["Conv2D", "Dense", "Flatten", "Input", "Layer", "MaxPooling2D", "ReLU", "Softmax"]

CONVOLUTIONS = {"winograd": winograd, "planes": planes, "im2col": im2col, "direct": direct}
FEW = 8  # channels or filters, for which Winograd's transforms cost more than they save


class Conv2D(KernelLayer):
    """Convolution: images (h, w, c) -> (oh, ow, filters).

    The formula stands in `minicnn.kernels.direct`, the output's size in
    `minicnn.shapes.window_geometry`. Weights: kernel (kh, kw, c, filters), bias (filters,).

    Parameters
    ----------
    filters : int
    kernel_size, strides : int or pair of int
        Height and width.
    padding : "valid" or "same"
    activation : "relu", "softmax", "linear" or None
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    algorithm : "auto", "winograd", "planes", "im2col" or "direct"
        How to compute it; all agree up to rounding. After `build`, `algorithm_` says what was
        taken.
    name : str, optional
    input_shape : (h, w, c), optional
        Deprecated in favour of `Input`.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no positive integers and for unknown names; in `build`, for images that
        no window fits, and for an algorithm that cannot serve the geometry.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        algorithm: str = "auto",
        name: str | None = None,
        input_shape: Any = None,
    ):
        super().__init__(
            activation, use_bias, kernel_initializer, bias_initializer, name, input_shape
        )
        self.filters = positive_int(filters, "filters", self.who)
        self.kernel_size = positive_pair(kernel_size, "kernel_size", self.who)
        self.strides = positive_pair(strides, "strides", self.who)
        self.padding = padding_name(padding, self.who)
        if not isinstance(algorithm, str) or algorithm not in ("auto", *CONVOLUTIONS):
            known = ", ".join(f'"{key}"' for key in ("auto", *CONVOLUTIONS))
            raise ValueError(
                f"{self.who}: algorithm must be one of {known}, received {algorithm!r}"
            )
        self.algorithm = algorithm
        self.algorithm_: str | None = None
        self._prepared_kernel: Any = None
        # A copy of the kernel, and what was made of it; in a dict, which copies of the layer share.
        self._last_prepared: dict[str, Any] = {}

    def geometry(self, input_shape: Shape) -> Geometry:
        """Where the kernel stands on images of that shape."""
        return _sliding(self, "kernel_size", input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        geometry = self.geometry(input_shape)
        return geometry.oh, geometry.ow, self.filters

    def kernel_shape(self, input_shape: Shape) -> Shape:
        return *self.kernel_size, input_shape[-1], self.filters

    def build(self, input_shape: Shape, rng: np.random.Generator, dtype: Any = "float32") -> None:
        algorithm = self.choose_algorithm(positive_ints(input_shape, "input_shape", self.who))
        super().build(input_shape, rng, dtype)
        self.algorithm_ = algorithm

    def choose_algorithm(self, input_shape: Shape) -> str:
        """What `algorithm` means for images of that shape."""
        geometry = self.geometry(input_shape)
        if self.algorithm != "auto":
            reason = CONVOLUTIONS[self.algorithm].why_not(geometry)
            if reason is not None:
                raise ValueError(
                    f'{self.who}: algorithm="{self.algorithm}" cannot serve it: {reason}'
                )
            return self.algorithm
        if input_shape[-1] < FEW:
            return "planes"
        return "im2col" if self.filters < FEW or winograd.why_not(geometry) else "winograd"

    def prepared(self) -> "Conv2D":
        if self.algorithm_ != "winograd":
            return self  # the others use the kernel as it is
        kernel, last = self.params["kernel"], self._last_prepared.get("kernel")
        # To compare kernels is quicker than to transform one; who predicts again has the same one.
        if last is None or last[0].item(0) != kernel.item(0) or not (last[0] == kernel).all():
            last = self._last_prepared["kernel"] = kernel.copy(), self._prepare_kernel()
        layer = self.twin()
        layer._prepared_kernel = last[1]
        return layer

    def kernel_and_bias(self):
        return self._prepare_kernel(), self.bias()

    def _prepare_kernel(self) -> Any:
        if self._prepared_kernel is not None:
            return self._prepared_kernel
        return CONVOLUTIONS[self.algorithm_].prepare(self.params["kernel"])

    def forward(self, x):
        x = self.checked_input(x)
        geometry = self.geometry(self.input_shape)
        z = CONVOLUTIONS[self.algorithm_].forward(x, *self.kernel_and_bias(), geometry)
        y = self.activation.forward(z, out=z)
        return y, (x, y, geometry)

    def backward(self, dy, cache):
        x, _, geometry = cache
        dz = self._before_activation(dy, cache)
        kernel = self._prepare_kernel()
        dx, dkernel = CONVOLUTIONS[self.algorithm_].gradients(x, dz, kernel, geometry)
        return dx, self._with_bias(dkernel, dz)

    def weight_gradients(self, dy, cache):
        x, _, geometry = cache
        dz = self._before_activation(dy, cache)
        dkernel = CONVOLUTIONS[self.algorithm_].grad_kernel(x, dz, geometry)
        return self._with_bias(dkernel, dz)

    def _before_activation(self, dy, cache):
        _, y, _ = cache
        return self.activation.backward(self.checked_gradient(dy, y.shape), y)

    def _with_bias(self, dkernel, dz):
        if not self.use_bias:
            return {"kernel": dkernel}
        return {"kernel": dkernel, "bias": sum_of_rows(dz)}  # one bias was added at every position


class MaxPooling2D(Layer):
    """The largest value of every window, each channel by itself: (h, w, c) -> (oh, ow, c).

    Cells of padding never win. The gradient of a window goes to its one winner, among equals the
    first in row-major order, as in TensorFlow.

    Parameters
    ----------
    pool_size : int or pair of int
        Height and width.
    strides : int or pair of int, optional
        As `pool_size`, if not given.
    padding : "valid" or "same"
        "valid" drops the rows and columns left over, an odd last one for instance.
    name : str, optional
    input_shape : (h, w, c), optional
        Deprecated in favour of `Input`.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no positive integers and for unknown names; in `build`, for images that
        no window fits.
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        name: str | None = None,
        input_shape: Any = None,
    ):
        super().__init__(name, input_shape)
        self.pool_size = positive_pair(pool_size, "pool_size", self.who)
        self.strides = positive_pair(
            self.pool_size if strides is None else strides, "strides", self.who
        )
        self.padding = padding_name(padding, self.who)
        last_cell = math.prod(self.pool_size) - 1
        self._winner_dtype = np.min_scalar_type(last_cell)

    def geometry(self, input_shape: Shape) -> Geometry:
        """Where the windows stand on images of that shape."""
        return _sliding(self, "pool_size", input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        geometry = self.geometry(input_shape)
        return geometry.oh, geometry.ow, input_shape[-1]

    def forward(self, x, floor=-math.inf):
        x = self.checked_input(x)
        geometry = self.geometry(self.input_shape)
        winner = self.new_winners(len(x))
        y = pooling.forward(x, geometry, winner, x.dtype.type(floor))  # floor: see the kernel
        return y, (winner, geometry)

    def backward(self, dy, cache):
        winner, geometry = cache
        dy = self.checked_gradient(dy, winner.shape)
        return pooling.grad_input(dy, winner, geometry), {}  # nothing to learn: no gradients

    def branches(self, cache):
        winner, _ = cache
        return [winner]

    def new_winners(self, samples: int) -> np.ndarray:
        """Room for which cell of its window each output comes from."""
        shape = (samples, *self.output_shape(self.input_shape))
        return np.empty(shape, self._winner_dtype)


class Flatten(Layer):
    """All axes of a sample in one, row by row: (h, w, c) -> (h*w*c,)."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x):
        x = self.checked_input(x)
        return x.reshape(len(x), *self.output_shape(self.input_shape)), x.shape

    def backward(self, dy, cache):
        x_shape = cache
        dy = self.checked_gradient(dy, (x_shape[0], *self.output_shape(self.input_shape)))
        return dy.reshape(x_shape), {}


class Dense(KernelLayer):
    """Every output a weighted sum of all inputs: activation(x @ kernel + bias).

    Inputs (..., inputs) give (..., units); axes before the last are treated like samples. Weights:
    kernel (inputs, units), bias (units,).

    Parameters
    ----------
    units : int
    activation : "relu", "softmax", "linear" or None
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    name : str, optional
    input_shape : tuple, optional
        Deprecated in favour of `Input`.

    Raises
    ------
    TypeError, ValueError
        For `units` that is no positive integer and for unknown names.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        name: str | None = None,
        input_shape: Any = None,
    ):
        super().__init__(
            activation, use_bias, kernel_initializer, bias_initializer, name, input_shape
        )
        self.units = positive_int(units, "units", self.who)

    def output_shape(self, input_shape: Shape) -> Shape:
        return *vector_shape(input_shape, self.who)[:-1], self.units

    def kernel_shape(self, input_shape: Shape) -> Shape:
        return input_shape[-1], self.units

    def forward(self, x):
        x = self.checked_input(x)
        rows = x.reshape(-1, x.shape[-1])
        y = dense.forward(rows, *self.kernel_and_bias(), self.kernels_floor(x.dtype))
        if self.activation.floor is None:
            y = self.activation.forward(y, out=y)
        y = y.reshape(*x.shape[:-1], self.units)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        dy = self.checked_gradient(dy, y.shape)
        if self.activation.floor is None:
            dy = self.activation.backward(dy, y)
        rows = (a.reshape(-1, a.shape[-1]) for a in (x, y, dy))
        dx, *grads = dense.gradients(*rows, self.params["kernel"], self.kernels_floor(x.dtype))
        grads = dict(zip(self.params, grads, strict=False))  # the bias', if there is one
        return dx.reshape(x.shape), grads


class _ActivationLayer(Layer):
    activation: activations.Activation

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def forward(self, x):
        y = self.activation.forward(self.checked_input(x))
        return y, y

    def backward(self, dy, cache):
        y = cache
        return self.activation.backward(self.checked_gradient(dy, y.shape), y), {}

    def branches(self, cache):
        return self.activation.branches(cache)


class ReLU(_ActivationLayer):
    """max(x, 0), cell by cell; the gradient at 0 is 0."""

    activation = activations.ACTIVATIONS["relu"]


class Softmax(_ActivationLayer):
    """Scores to probabilities over the last axis: exp(x) / sum(exp(x))."""

    activation = activations.ACTIVATIONS["softmax"]

    def output_shape(self, input_shape: Shape) -> Shape:
        return vector_shape(input_shape, self.who)


class Input(Configurable):
    """The shape of one sample, as a model's first entry: `Sequential([Input((28, 28, 1)), ...])`.

    Not a layer: it is listed neither in `model.layers` nor in the summary.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.shape = positive_ints(shape, "shape", "Input")


def sum_of_rows(dz: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last. As a matrix product, since NumPy's sum takes six times as
    long over so short a last axis."""
    rows = dz.reshape(-1, dz.shape[-1])
    return np.ones(len(rows), dz.dtype) @ rows


def _sliding(layer: Conv2D | MaxPooling2D, name: str, input_shape: Shape) -> Geometry:
    h, w, _ = image_shape(input_shape, layer.who)
    try:
        return window_geometry((h, w), getattr(layer, name), layer.strides, layer.padding, name)
    except ValueError as error:
        raise ValueError(f"{layer.who}: {error}") from None
