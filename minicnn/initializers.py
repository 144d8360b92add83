"""Initial weights: `initializer(shape, rng, dtype)` draws an array."""

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.configuration import Configurable
from minicnn.session import random_stream
from minicnn.shapes import positive_int, positive_ints


class Initializer(Configurable):
    """Base class. A user's own needs `__call__(shape, rng, dtype)` and nothing else."""

    def __call__(
        self, shape: tuple[int, ...], rng: np.random.Generator | None = None, dtype="float32"
    ) -> np.ndarray:
        """An array of that shape and dtype, drawn from `rng` if chance has a part in it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Zeros(Initializer):
    """All zeros: right for biases, wrong for kernels, whose units would stay alike for ever."""

    def __call__(self, shape, rng=None, dtype="float32"):
        who = type(self).__name__
        return np.zeros(positive_ints(shape, "shape", who), checks.float_dtype(dtype, who))


class GlorotUniform(Initializer):
    """Uniform in [-limit, limit), limit = sqrt(6 / (fan_in + fan_out)).

    A dense kernel (inputs, units) has these two as fans; a convolution's (kh, kw, c, f) has
    kh*kw*c and kh*kw*f. The variance 2 / (fan_in + fan_out) keeps signals from growing or fading
    on the way there and back: Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks" (2010), equation 16.

    Parameters
    ----------
    seed : int, optional
        Draws the same numbers at every call. Without it they come from the `rng` of the call.
    """

    def __init__(self, seed: int | None = None):
        if seed is not None:
            seed = positive_int(seed, "seed", "GlorotUniform", minimum=0, maximum=None)
        self.seed = seed

    def __call__(self, shape, rng=None, dtype="float32"):
        who = type(self).__name__
        shape, dtype = positive_ints(shape, "shape", who), checks.float_dtype(dtype, who)
        if len(shape) < 2:
            raise ValueError(
                f"{who}: expected the shape of a kernel, (inputs, units) or (kh, kw, c, f), "
                f"received {shape}"
            )
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        elif rng is None:
            rng = random_stream()
        elif not isinstance(rng, np.random.Generator):
            raise TypeError(f"{who}: rng must be a numpy.random.Generator, received {rng!r}")
        *window, inputs, outputs = shape
        limit = np.sqrt(6 / (np.prod(window, dtype=int) * (inputs + outputs)))
        return rng.uniform(-limit, limit, shape).astype(dtype)


INITIALIZERS = {"glorot_uniform": GlorotUniform, "zeros": Zeros}


def get(initializer: Any, who: str) -> Initializer:
    """The initializer of that name, or the given one if it can be called."""
    if isinstance(initializer, str) and initializer in INITIALIZERS:
        return INITIALIZERS[initializer]()
    if callable(initializer) and not isinstance(initializer, type):
        return initializer
    known = ", ".join(f'"{key}"' for key in INITIALIZERS)
    raise ValueError(
        f"{who}: initializer must be one of {known} or an instance of an initializer, "
        f"received {initializer!r}"
    )
