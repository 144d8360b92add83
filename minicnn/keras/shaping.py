"""Small layers without weights: `LeakyReLU`, `Rescaling`, `Reshape`."""

import math
from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.shapes import Shape


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope x.

    Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).
    """

    samples_are_independent = True

    def __init__(self, negative_slope: float = 0.3, **options: Any):
        super().__init__(**options)
        self.negative_slope = self.check.number(negative_slope, "negative_slope", 0, from_low=True)

    def forward(self, x):
        x = self.checked_input(x)
        slope = np.where(x > 0, 1, self.negative_slope).astype(x.dtype)
        return x * slope, slope

    def backward(self, dy, cache):
        slope = cache
        return self.checked_gradient(dy, slope.shape) * slope, {}

    def branches(self, cache):
        return [cache]


class Rescaling(Layer):
    """x scale + offset: `Rescaling(1 / 255)` brings bytes to the range from 0 to 1."""

    samples_are_independent = True

    def __init__(self, scale: float, offset: float = 0.0, **options: Any):
        super().__init__(**options)
        self.scale = float(self.check.real(scale, "scale"))
        self.offset = float(self.check.real(offset, "offset"))

    def forward(self, x):
        x = self.checked_input(x)
        return x * x.dtype.type(self.scale) + x.dtype.type(self.offset), x.shape

    def backward(self, dy, cache):
        dy = self.checked_gradient(dy, cache)
        return dy * dy.dtype.type(self.scale), {}


class Reshape(Layer):
    """The numbers of a sample, row by row, in another shape; one size may be -1: what is left."""

    samples_are_independent = True

    def __init__(self, target_shape: tuple[int, ...], **options: Any):
        super().__init__(**options)
        sizes = self.check.instance(target_shape, tuple | list, "target_shape", "a tuple")
        self.target_shape = tuple(
            size if size == -1 else self.check.integer(size, "each size of target_shape")
            for size in sizes
        )
        if self.target_shape.count(-1) > 1:
            raise ValueError(
                f"{self.who}: expected at most one -1 in target_shape, received {target_shape!r}"
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        known = math.prod(size for size in self.target_shape if size != -1)
        left, rest = divmod(math.prod(input_shape), known)
        if rest or (left != 1 and -1 not in self.target_shape):
            raise ValueError(
                f"{self.who}: target_shape {self.target_shape} does not fit the "
                f"{math.prod(input_shape)} numbers of inputs of shape {input_shape}"
            )
        return tuple(left if size == -1 else size for size in self.target_shape)

    def forward(self, x):
        x = self.checked_input(x)
        return x.reshape(len(x), *self.output_shape(self.input_shape)), len(x)

    def backward(self, dy, cache):
        dy = self.checked_gradient(dy, (cache, *self.output_shape(self.input_shape)))
        return dy.reshape(cache, *self.input_shape), {}
