"""Initial weights: `initializer(shape, rng, dtype)` draws an array."""

from typing import Any

import numpy as np

from minicnn.session import random_stream
from minicnn.shapes import Shape
from minicnn.validation import Check
from minicnn.validation.configuration import Configurable


class Initializer(Configurable):
    """Base class. An initializer of your own needs `__call__(shape, rng, dtype)` and no more.

    >>> class HeNormal(Initializer):
    ...     def __call__(self, shape, rng, dtype="float32"):
    ...         return rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(dtype)
    """

    def __call__(
        self, shape: Shape, rng: np.random.Generator | None = None, dtype: Any = "float32"
    ) -> np.ndarray:
        """An array of that shape; a random one is drawn from `rng`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Zeros(Initializer):
    """All zeros: right for biases, wrong for kernels, whose units would all stay the same."""

    def __call__(self, shape, rng=None, dtype="float32"):
        check = Check("Zeros")
        return np.zeros(check.shape(shape, "shape"), check.float_dtype(dtype))


class GlorotUniform(Initializer):
    """Uniform in [-limit, limit), limit = sqrt(6 / (fan_in + fan_out)).

    The fans of a dense kernel (inputs, units) are these two sizes; those of a convolution's kernel
    (kh, kw, c, f) are kh*kw*c and kh*kw*f. The variance 2 / (fan_in + fan_out) keeps signals from
    growing or fading in the forward and the backward pass: Glorot and Bengio, "Understanding the
    difficulty of training deep feedforward neural networks" (2010), equation 16.

    Parameters
    ----------
    seed : int, optional
        Draws the same numbers at every call. Without it they come from the `rng` of the call.
    """

    def __init__(self, seed: int | None = None):
        check = Check("GlorotUniform")
        self.seed = None if seed is None else check.integer(seed, "seed", 0, maximum=None)

    def __call__(self, shape, rng=None, dtype="float32"):
        check = Check("GlorotUniform")
        *window, inputs, outputs = check.kernel_shape(shape)
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        rng = random_stream() if rng is None else check.generator(rng, "rng")
        limit = np.sqrt(6 / (np.prod(window, dtype=int) * (inputs + outputs)))
        return rng.uniform(-limit, limit, shape).astype(check.float_dtype(dtype))


INITIALIZERS = {"glorot_uniform": GlorotUniform, "zeros": Zeros}
