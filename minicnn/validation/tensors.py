"""What calls return in Keras' style: arrays and numbers with TensorFlow's method `numpy`."""

import numpy as np


class Tensor(np.ndarray):
    """An array, as calling a model or a layer returns it."""

    def numpy(self) -> np.ndarray:
        """The same numbers as a plain array."""
        return np.asarray(self)


class Number(float):
    """A float, as calling a loss returns it."""

    def numpy(self) -> np.float32:
        """The number in single precision, as TensorFlow gives it."""
        return np.float32(self)
