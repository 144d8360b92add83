"""Initializers besides those of the core: He's, LeCun's, Glorot's normal one, and plain ones.

He et al., "Delving Deep into Rectifiers" (2015); LeCun et al., "Efficient BackProp" (1998); Glorot
and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
"""

import math
from typing import Any

import numpy as np

from minicnn.initializers import INITIALIZERS, GlorotUniform, Initializer, Zeros
from minicnn.keras.left_out import module_getattr
from minicnn.session import random_stream
from minicnn.shapes import Shape
from minicnn.validation import Check

__getattr__ = module_getattr("initializers")

# Standard deviation of a normal distribution of deviation 1 that is cut off at -2 and 2.
OF_TRUNCATED = 0.87962566103423978


class _Random(Initializer):
    """An initializer that draws: from its own `seed`, from the `rng` of the call, or neither."""

    seed: int | None = None

    def __call__(self, shape: Shape, rng: Any = None, dtype: Any = "float32") -> np.ndarray:
        check = Check(type(self).__name__)
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        elif rng is None:
            rng = random_stream()
        return self.draw(check.shape(shape, "shape"), rng).astype(check.float_dtype(dtype))

    def draw(self, shape: Shape, rng: np.random.Generator) -> np.ndarray:
        """An array of that shape, in double precision."""
        raise NotImplementedError


def _truncated_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers between -2 and 2; others are drawn again."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(outside.sum())
    return values


class RandomNormal(_Random):
    """Normal, with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape, rng):
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """As `RandomNormal`, but what is more than two deviations from the mean is drawn again."""

    def draw(self, shape, rng):
        return self.mean + self.stddev * _truncated_normal(shape, rng)


class RandomUniform(_Random):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape, rng):
        return rng.uniform(self.minval, self.maxval, shape)


class _Scaled(_Random):
    """Variance `scale` / fan, where the fan is that of the inputs, or the mean of both fans.

    The normal ones are truncated at two deviations; the others are uniform.
    """

    scale, of_inputs, normal = 1.0, True, True

    def __init__(self, seed: int | None = None):
        self.seed = seed

    def draw(self, shape, rng):
        *window, inputs, outputs = Check(type(self).__name__).kernel_shape(shape)
        fan = math.prod(window) * (inputs if self.of_inputs else (inputs + outputs) / 2)
        deviation = math.sqrt(self.scale / fan)
        if not self.normal:
            limit = math.sqrt(3) * deviation
            return rng.uniform(-limit, limit, shape)
        return deviation / OF_TRUNCATED * _truncated_normal(shape, rng)


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in, for layers with ReLU."""

    scale = 2.0


class HeUniform(_Scaled):
    """Uniform of variance 2 / fan_in: the limit is sqrt(6 / fan_in)."""

    scale, normal = 2.0, False


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in."""


class LecunUniform(_Scaled):
    """Uniform of variance 1 / fan_in: the limit is sqrt(3 / fan_in)."""

    normal = False


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    of_inputs = False


class Constant(Initializer):
    """Every number is `value`."""

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(self, shape, rng=None, dtype="float32"):
        return np.full(shape, self.value, dtype)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape, rng=None, dtype="float32"):
        return np.ones(shape, dtype)


zeros, glorot_uniform, ones, constant = Zeros, GlorotUniform, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
he_normal, he_uniform, glorot_normal = HeNormal, HeUniform, GlorotNormal
lecun_normal, lecun_uniform = LecunNormal, LecunUniform

INITIALIZERS |= {
    name: cls
    for name, cls in dict(globals()).items()
    if name.islower() and isinstance(cls, type) and issubclass(cls, Initializer)
}
INITIALIZERS |= {cls.__name__.lower(): cls for cls in set(INITIALIZERS.values())}
