"""Activation functions. The way back of each needs only its output, so layers keep nothing else."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Activation(NamedTuple):
    """A function y = forward(z) and its derivative, dz = backward(dy, y), over arrays."""

    name: str
    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    """y = exp(z) / sum(exp(z)) over the last axis.

    The largest z is taken off first: the quotient is the same, and no exp can overflow.
    """
    exponentials = np.exp(z - z.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz_i = y_i (dy_i - sum_j dy_j y_j), from dy_i/dz_j = y_i (1[i = j] - y_j)."""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


ACTIVATIONS = {
    "linear": Activation("linear", linear, linear_backward),
    "relu": Activation("relu", relu, relu_backward),
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
