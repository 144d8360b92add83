"""Penalties on weights that are added to the loss: `Dense(64, kernel_regularizer="l2")`.

The penalty of a step is that of the weights before it, and the loss that `fit` and `evaluate`
report includes it, as in Keras.
"""

import numpy as np

from minicnn.keras.left_out import module_getattr
from minicnn.layers import REGULARIZERS
from minicnn.validation.configuration import Configurable

__getattr__ = module_getattr("regularizers")


class Regularizer(Configurable):
    """Base class. One of your own defines both methods."""

    def __call__(self, weight: np.ndarray) -> float:
        """The penalty."""
        raise NotImplementedError

    def gradient(self, weight: np.ndarray) -> np.ndarray:
        """The gradient of the penalty with respect to the weight."""
        raise NotImplementedError


class L1L2(Regularizer):
    """l1 sum |w| + l2 sum w^2, with the gradient l1 sign(w) + 2 l2 w."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1, self.l2 = float(l1), float(l2)

    def __call__(self, weight):
        return float(self.l1 * np.abs(weight).sum() + self.l2 * np.square(weight).sum())

    def gradient(self, weight):
        return (self.l1 * np.sign(weight) + 2 * self.l2 * weight).astype(weight.dtype)


class L1(L1L2):
    """l1 sum |w|."""

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 sum w^2."""

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)


l1, l2, l1_l2 = L1, L2, L1L2
REGULARIZERS |= {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2}
