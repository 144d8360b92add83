"""Activations besides those of the core, by name and as functions: `activation="tanh"`.

Each is an `Activation`: its forward pass, and its backward pass from its output y alone.
"""

import numpy as np

from minicnn.activations import ACTIVATIONS, FURTHER, Activation
from minicnn.keras.left_out import module_getattr

__all__ = ["leaky_relu", "linear", "relu", "sigmoid", "softmax", "tanh"]
__getattr__ = module_getattr("activations")

SLOPE = 0.2  # of keras.activations.leaky_relu

linear, relu, softmax = (ACTIVATIONS[name] for name in ("linear", "relu", "softmax"))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + exp(-z)) = exp(z) / (exp(z) + 1), whichever exp cannot overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, small.dtype.type(1), small) / (1 + small)


def _sigmoid_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy y (1 - y)."""
    return dy * y * (1 - y)


def _tanh_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy (1 - y^2)."""
    return dy * (1 - y * y)


def _leaky_relu(z: np.ndarray) -> np.ndarray:
    """y = z where z > 0, else 0.2 z."""
    return np.where(z > 0, z, z * z.dtype.type(SLOPE))


def _leaky_relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dy where z > 0, else 0.2 dy; y has the sign of z."""
    return np.where(y > 0, dy, dy * dy.dtype.type(SLOPE))


sigmoid = Activation("sigmoid", _sigmoid, _sigmoid_backward)
tanh = Activation("tanh", np.tanh, _tanh_backward)
# Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).
leaky_relu = Activation("leaky_relu", _leaky_relu, _leaky_relu_backward, has_kink=True)

FURTHER |= {each.name: each for each in (sigmoid, tanh, leaky_relu)}
