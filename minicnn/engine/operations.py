"""The fast counterparts of the layers: the same numbers, computed by compiled kernels.

Each operation has the passes of its layer, over a shard of a batch:

    y, cache = operation.forward(x, run)
    dx, grads = operation.backward(dy, cache)     # grads: in the order of layer.params
    grads = operation.weight_gradients(dy, cache)  # for a first layer, whose dx nobody needs

Arrays are contiguous, of the model's dtype, and of the right shapes: kernels do not check.
"""

import functools
import math
import weakref
from typing import Any, NamedTuple

import numpy as np

from minicnn.activations import ACTIVATIONS
from minicnn.engine import algorithms
from minicnn.engine.kernels import dense, pooled_gradients, pooling, relu, softmax
from minicnn.engine.updates import Product
from minicnn.layer import Layer, asks_for, forward_options, step_generator
from minicnn.shapes import Geometry, window_geometry
from minicnn.validation import plain

Grads = list[np.ndarray]

# What a kernel raises its outputs to, for activations that do nothing else.
FLOORS = {"linear": -math.inf, "relu": 0.0}


class Run(NamedTuple):
    """What a forward pass has to know besides its input."""

    training: bool
    seed: tuple[int, ...]  # identifies the step
    first: int  # the shard's first sample, counted from the start of the batch


class Operation:
    """Base class: an operation that stands for one layer, or for two that are fused."""

    in_shards = True  # whether samples are independent, so that a batch may be cut

    def __init__(self, layer: Layer, index: int):
        self.layer = layer
        self.index = index  # of the layer in its model

    def prepare(self) -> None:
        """Compute what depends on the present weights alone, before some passes."""

    def forward(self, x: np.ndarray, run: Run) -> tuple[np.ndarray, Any]:
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, Grads]:
        raise NotImplementedError

    def weight_gradients(self, dy: np.ndarray, cache: Any) -> Grads:
        return self.backward(dy, cache)[1]

    def _grads(self, *gradients: np.ndarray) -> Grads:
        """Those of kernel and bias, or of the kernel alone if there is no bias."""
        return list(gradients[: len(self.layer.params)])

    def _bias(self) -> np.ndarray:
        """The bias, or zeros if there is none."""
        bias = self.layer.params.get("bias")
        if bias is None:
            kernel = self.layer.params["kernel"]
            bias = np.zeros(kernel.shape[-1], kernel.dtype)
        return bias


def knows_activation(layer: Layer) -> bool:
    """Whether the layer has no activation of the user's own."""
    activation = getattr(layer, "activation", None)
    return activation is None or activation in ACTIVATIONS.values()


_cached_geometry = functools.lru_cache(window_geometry)  # asked for by every plan


def _geometry(layer: Any, window: tuple[int, int]) -> Geometry:
    return _cached_geometry(layer.input_shape[:2], window, layer.strides, layer.padding)


def activate(name: str, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = activation(z); with `out=z`, ReLU puts it in the place of z."""
    if name == "relu":
        return np.maximum(z, 0, out=out)
    if name == "softmax":
        return softmax.softmax(z.reshape(-1, z.shape[-1])).reshape(z.shape)
    return z


def activation_gradient(name: str, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz, from dy and the output y."""
    if name == "relu":
        return relu.relu_backward(dy, y, dy.dtype.type(0))
    return ACTIVATIONS[name].backward(dy, y)


# For each layer: a copy of its kernel, and what an algorithm prepared from it.
_prepared: "weakref.WeakKeyDictionary[Layer, tuple[np.ndarray, Any]]" = weakref.WeakKeyDictionary()


class Convolution(Operation):
    """Conv2D, by the algorithm that was chosen when the layer was built."""

    def __init__(self, layer, index):
        super().__init__(layer, index)
        self.name = layer.algorithm_
        self.geometry = _geometry(layer, layer.kernel_size)
        self.activation = layer.activation.name
        self.floor = FLOORS.get(self.activation)
        self.kernel: Any = None

    def prepare(self):
        kernel = self.layer.params["kernel"]
        if self.name != "winograd":
            self.kernel = kernel  # the other algorithms use it as it is
            return
        last = _prepared.get(self.layer)
        # Comparing kernels is faster than transforming one, and in prediction they are the same.
        if last is None or last[0].item(0) != kernel.item(0) or not (last[0] == kernel).all():
            kernel = kernel.copy()
            last = _prepared[self.layer] = kernel, algorithms.prepare(self.name, kernel)
        self.kernel = last[1]

    def forward(self, x, run):
        algorithm = algorithms.ALGORITHMS[self.name]
        z = algorithm.forward(x, self.kernel, self._bias(), self.geometry)
        y = activate(self.activation, z, out=z)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        dz = activation_gradient(self.activation, dy, y)
        dx, dkernel = algorithms.gradients(self.name, x, dz, self.kernel, self.geometry)
        return dx, self._grads(dkernel, sum_of_rows(dz))

    def weight_gradients(self, dy, cache):
        x, y = cache
        dz = activation_gradient(self.activation, dy, y)
        dkernel = algorithms.ALGORITHMS[self.name].grad_kernel(x, dz, self.geometry)
        return self._grads(dkernel, sum_of_rows(dz))


class PooledConvolution(Operation):
    """Conv2D, its activation and MaxPooling2D in one.

    In the backward pass at most one gradient of a window is not zero, that of the pooling's winner;
    `kernels.pooled_gradients` leaves out the zeros.
    """

    def __init__(self, convolution: Convolution, pooling: "MaxPooling"):
        super().__init__(convolution.layer, convolution.index)
        self.convolution, self.pooling = convolution, pooling
        self.geometries = convolution.geometry, pooling.geometry
        self.runs: Any = None

    def prepare(self):
        self.convolution.prepare()
        self.runs = None

    def forward(self, x, run):
        algorithm = algorithms.ALGORITHMS[self.convolution.name]
        geometry, pool = self.geometries
        operands = self.convolution.kernel, self._bias(), geometry
        winner, floor = self.pooling.new_winners(len(x)), self._floor(x)
        if hasattr(algorithm, "forward_pooled"):
            y = algorithm.forward_pooled(x, *operands, pool, winner, floor)
        else:
            y = pooling.forward(algorithm.forward(x, *operands), pool, winner, floor)
        return y, (x, y, winner)

    def backward(self, dy, cache):
        x, y, winner = cache
        if self.runs is None:  # in training alone; two threads at once would do the same
            self.runs = pooled_gradients.prepare(self.layer.params["kernel"])
        dx, *grads = pooled_gradients.gradients(
            x, y, dy, winner, self._floor(x), self.runs, *self.geometries
        )
        return dx, self._grads(*grads)

    def weight_gradients(self, dy, cache):
        x, y, winner = cache
        return self._grads(
            *pooled_gradients.weight_gradients(x, y, dy, winner, self._floor(x), *self.geometries)
        )

    def _floor(self, x: np.ndarray) -> np.floating:
        return x.dtype.type(self.convolution.floor)


class MaxPooling(Operation):
    """MaxPooling2D."""

    def __init__(self, layer, index):
        super().__init__(layer, index)
        self.geometry = _geometry(layer, layer.pool_size)
        self.winner_dtype = np.min_scalar_type(math.prod(layer.pool_size) - 1)

    def new_winners(self, samples: int) -> np.ndarray:
        """Memory for which cell of its window each output comes from."""
        g = self.geometry
        return np.empty((samples, g.oh, g.ow, self.layer.input_shape[2]), self.winner_dtype)

    def forward(self, x, run):
        winner = self.new_winners(len(x))
        return pooling.forward(x, self.geometry, winner, x.dtype.type(-math.inf)), winner

    def backward(self, dy, cache):
        return pooling.grad_input(dy, cache, self.geometry), []


class Dense(Operation):
    """Dense."""

    def __init__(self, layer, index):
        super().__init__(layer, index)
        self.activation = layer.activation.name
        self.floor = FLOORS.get(self.activation)

    def forward(self, x, run):
        rows = x.reshape(-1, x.shape[-1])
        y = dense.forward(rows, self.layer.params["kernel"], self._bias(), self._floor(x))
        if self.floor is None:
            y = activate(self.activation, y)
        y = y.reshape(*x.shape[:-1], self.layer.units)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        if self.floor is None:
            dy = activation_gradient(self.activation, dy, y)
        rows, *others = (array.reshape(-1, array.shape[-1]) for array in (x, y, dy))
        kernel = self.layer.params["kernel"]
        dx, dz, dbias = dense.gradients(rows, *others, kernel, self._floor(x))
        return dx.reshape(x.shape), self._grads(Product(rows, dz), dbias)

    def _floor(self, x: np.ndarray) -> np.floating:
        return x.dtype.type(-math.inf if self.floor is None else self.floor)


class Flatten(Operation):
    """Flatten."""

    def forward(self, x, run):
        return x.reshape(len(x), -1), x.shape

    def backward(self, dy, cache):
        return dy.reshape(cache), []


class Dropout(Operation):
    """Dropout: each shard draws the numbers that the whole batch would have drawn for it."""

    def forward(self, x, run):
        if not run.training or self.layer.rate == 0:
            return x, None
        rng = step_generator(self.layer, run.seed, self.index)
        rng.bit_generator.advance(run.first * math.prod(x.shape[1:]))  # one draw for each number
        return self.layer.forward(x, training=True, rng=rng)

    def backward(self, dy, cache):
        return (dy if cache is None else dy * cache), []


class ElementwiseActivation(Operation):
    """ReLU and Softmax as layers."""

    def forward(self, x, run):
        y = activate(self.layer.activation.name, x)
        return y, y

    def backward(self, dy, cache):
        return activation_gradient(self.layer.activation.name, dy, cache), []


class AsWritten(Operation):
    """Any other layer: its own forward and backward, on the whole batch unless it allows shards.

    What it returns is checked, since compiled kernels would read out of bounds in silence.
    """

    def __init__(self, layer, index):
        super().__init__(layer, index)
        whole = bool(layer.state) or asks_for(layer, "rng")
        self.in_shards = layer.samples_are_independent and not whole
        self.output_shape = layer.output_shape(layer.input_shape)

    def forward(self, x, run):
        options = forward_options(self.layer, run.training, run.seed, self.index)
        y, cache = self.layer.forward(x, **options)
        return self._checked(y, "an output", (len(x), *self.output_shape), x.dtype), cache

    def backward(self, dy, cache):
        dx, grads = self.layer.backward(dy, cache)
        dx = self._checked(dx, "dx", (len(dy), *self.layer.input_shape), dy.dtype)
        if set(grads) != set(self.layer.params):
            raise ValueError(
                f"{self.layer.who}: expected gradients of {list(self.layer.params)} from backward, "
                f"received {list(grads)}"
            )
        return dx, [
            self._checked(grads[key], f"a gradient of {key}", weight.shape, weight.dtype)
            for key, weight in self.layer.params.items()
        ]

    def _checked(self, array: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        array = self.layer.check.real_array(array, name)
        if array.shape != shape:
            raise ValueError(
                f"{self.layer.who}: expected {name} of shape {shape}, received {array.shape}"
            )
        return plain(array, dtype)


def sum_of_rows(dz: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last, as a matrix product: NumPy's sum takes six times as long."""
    rows = dz.reshape(-1, dz.shape[-1])
    return np.ones(len(rows), dz.dtype) @ rows
