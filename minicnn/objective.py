"""What is run in place of a model's layers and its loss: the same numbers, with less work.

A softmax is merged into the loss behind it, and a convolution with the pooling behind it.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.activations import ACTIVATIONS
from minicnn.kernels import pooling, sparse
from minicnn.layer import Layer
from minicnn.layers import CONVOLUTIONS, Conv2D, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy


class Objective(NamedTuple):
    """What training makes small: a loss at the end of layers. See `objective`."""

    layers: list[Layer]
    loss: SparseCategoricalCrossentropy
    predictions: Callable[[np.ndarray], np.ndarray]  # from the last layer's output


def objective(layers: list[Layer], loss: SparseCategoricalCrossentropy) -> Objective:
    """`layers` and `loss` as they are run; see the two functions that follow."""
    return merge_softmax(merge_poolings(layers), loss)


def merge_softmax(layers: list[Layer], loss: SparseCategoricalCrossentropy) -> Objective:
    """`layers` and `loss`, with a softmax between the two merged into the loss.

    Keras does the same under TensorFlow: a model that ends in softmax is trained on its logits,
    where the loss cannot overflow and needs no clipping. The merged layer shares its weights with
    the last of `layers`.
    """
    last = layers[-1]
    if loss.from_logits or getattr(last, "activation", None) is not ACTIVATIONS["softmax"]:
        return Objective(layers, loss, ACTIVATIONS["linear"].forward)
    loss = SparseCategoricalCrossentropy(from_logits=True, name=loss.name)
    return Objective([*layers[:-1], _linear(last)], loss, ACTIVATIONS["softmax"].forward)


def merge_poolings(layers: list[Layer]) -> list[Layer]:
    """The same layers, with each convolution and the max pooling behind it in one.

    The activation between the two then comes behind the pooling, if it is but a floor. It makes no
    difference, to the bit: the larger of two numbers is the same one before and after ReLU, and
    where ReLU has made both zero, no gradient passes in either order.
    """
    found: list[Layer] = []
    for layer in layers:
        before = found[-1] if found else None
        both = type(layer) is MaxPooling2D and type(before) is Conv2D
        if both and before.activation.floor is not None:
            found[-1] = PooledConv2D(before, layer)
        else:
            found.append(layer)
    return found


class PooledConv2D(Layer):
    """A convolution, a max pooling, and the convolution's activation, which costs a quarter there.

    On the way back most gradients are zero, one in four at the most is not. Here it is known which:
    the winners of the pooling, of which `kernels.sparse` makes the gradients.

    Parameters
    ----------
    convolution, pooling : layers, built
        The weights are the convolution's own.
    """

    def __init__(self, convolution: Conv2D, pooling: MaxPooling2D):
        self.name, self.params = convolution.name, convolution.params
        self.input_shape = convolution.input_shape
        self.convolution, self.pooling = convolution, pooling
        self.activation = convolution.activation
        # Where the kernel stands on images, and the pooling's windows on its outputs.
        self.geometries = [layer.geometry(layer.input_shape) for layer in (convolution, pooling)]

    def output_shape(self, input_shape):
        return self.pooling.output_shape(self.convolution.output_shape(input_shape))

    def prepared(self):
        layer = self.twin()
        layer.convolution = self.convolution.prepared()
        layer._runs = functools.cache(self._runs)  # when they are first needed: in training alone
        return layer

    def _runs(self):
        return sparse.prepare(self.params["kernel"])

    def forward(self, x):
        x = self.checked_input(x)
        algorithm = CONVOLUTIONS[self.convolution.algorithm_]
        geometry, pool = self.geometries
        operands = *self.convolution.kernel_and_bias(), geometry
        winner, floor = self.pooling.new_winners(len(x)), self.convolution.kernels_floor(x.dtype)
        if hasattr(algorithm, "forward_pooled"):
            y = algorithm.forward_pooled(x, *operands, pool, winner, floor)
        else:
            y = pooling.forward(algorithm.forward(x, *operands), pool, winner, floor)
        return y, (x, y, winner)

    def backward(self, dy, cache):
        operands = self._operands(dy, cache)
        dx, *grads = sparse.gradients(*operands, self._runs(), *self.geometries)
        return dx, dict(zip(self.params, grads, strict=False))  # if there is a bias

    def weight_gradients(self, dy, cache):
        grads = sparse.weight_gradients(*self._operands(dy, cache), *self.geometries)
        return dict(zip(self.params, grads, strict=False))

    def branches(self, cache):
        _, y, winner = cache
        return [winner, *self.activation.branches(y)]

    def _operands(self, dy, cache):
        x, y, winner = cache
        floor = self.convolution.kernels_floor(x.dtype)
        return x, y, self.checked_gradient(dy, y.shape), winner, floor


def _linear(layer: Layer) -> Layer:
    """The layer without its activation; it shares the weights."""
    layer = layer.twin()
    layer.activation = ACTIVATIONS["linear"]
    return layer
