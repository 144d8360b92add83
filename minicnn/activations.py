"""Activation functions. The backward pass of each needs only its output y, so z is not kept."""

from collections import ChainMap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.validation import Tensor, usual_float_errors


class Activation(NamedTuple):
    """A function and its derivative: y = forward(z), dz = backward(dy, y).

    One of your own: `Dense(64, Activation("tanh", np.tanh, lambda dy, y: dy * (1 - y**2)))`.
    """

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray]
    has_kink: bool = False  # at z = 0, where y is 0

    @usual_float_errors
    def __call__(self, z: Any) -> np.ndarray:
        """The function of an array, as `tf.nn.relu(z)`."""
        return np.asarray(self.forward(np.asarray(z))).view(Tensor)

    def branches(self, y: np.ndarray) -> list[np.ndarray]:
        """On which side of the kink each element is, if there is one: see `Layer.branches`."""
        return [y > 0] if self.has_kink else []


def linear(z: np.ndarray) -> np.ndarray:
    """y = z."""
    return z


def linear_backward(dy: np.ndarray, _y: np.ndarray) -> np.ndarray:
    """dz = dy."""
    return dy


def relu(z: np.ndarray) -> np.ndarray:
    """y = max(z, 0); NaN stays NaN."""
    return np.maximum(z, 0)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy where z > 0, else 0; at z = 0 exactly it is 0, as in TensorFlow."""
    return dy * (y > 0)


def softmax(z: np.ndarray) -> np.ndarray:
    """y = exp(z) / sum(exp(z)) over the last axis, computed in double precision.

    The largest z is subtracted first: the quotient is the same, and no exp can overflow.
    """
    shifted = z.astype(np.float64) - z.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(z.dtype)


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz_i = y_i (dy_i - sum_j dy_j y_j), from dy_i/dz_j = y_i (1[i = j] - y_j)."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


ACTIVATIONS = {
    "linear": Activation("linear", linear, linear_backward),
    "relu": Activation("relu", relu, relu_backward, has_kink=True),
    "softmax": Activation("softmax", softmax, softmax_backward),
}
FURTHER: dict[str, Activation] = {}  # `minicnn.keras` adds its own
NAMED = ChainMap(ACTIVATIONS, FURTHER)
