"""Activation functions. The way back of each needs only its output, so layers keep nothing else."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.kernels import softmax as kernel
from minicnn.kernels.relu import grad_before_floor


class Activation(NamedTuple):
    """A function and its derivative over arrays: y = forward(z), dz = backward(dy, y).

    `forward(z, out=z)` may put y in the place of z.
    """

    name: str
    forward: Callable[..., np.ndarray]
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray]
    floor: float | None = None  # if it does nothing but raise z to it
    has_kink: bool = False  # at z = 0

    def branches(self, y: np.ndarray) -> list[np.ndarray]:
        """Which cells are above the kink, if there is one: see `Layer.branches`."""
        return [y > 0] if self.has_kink else []


def linear(z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = z."""
    return z


def linear_backward(dy: np.ndarray, _y: np.ndarray) -> np.ndarray:
    """dz = dy."""
    return dy


def relu(z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = max(z, 0); NaN stays NaN."""
    return np.maximum(z, 0, out=out)


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy where z > 0, else 0; at z = 0 exactly it is 0, as in TensorFlow."""
    return grad_before_floor(dy, y, dy.dtype.type(0))


def softmax(z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = exp(z) / sum(exp(z)) over the last axis.

    The largest z is taken off first: the quotient is the same, and no exp can overflow.
    """
    return kernel.softmax(z.reshape(-1, z.shape[-1])).reshape(z.shape)


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz_i = y_i (dy_i - sum_j dy_j y_j), from dy_i/dz_j = y_i (1[i = j] - y_j)."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


ACTIVATIONS = {
    "linear": Activation("linear", linear, linear_backward, floor=-math.inf),
    "relu": Activation("relu", relu, relu_backward, floor=0, has_kink=True),
    "softmax": Activation("softmax", softmax, softmax_backward),
}


def get(name: str | None, who: str) -> Activation:
    """The activation of that name; None is "linear"."""
    if name is None:
        return ACTIVATIONS["linear"]
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    known = ", ".join(f'"{key}"' for key in ACTIVATIONS)
    raise ValueError(f"{who}: activation must be one of {known} or None, received {name!r}")
