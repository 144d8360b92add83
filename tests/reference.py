"""What layers and kernels are compared with: plain loops and Keras; and random geometries.

Nothing here uses minicnn's own geometry or kernels: the rules are implemented a second time, from
their description, so that the same mistake would have to be made twice to go unnoticed.
"""

import math
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import minicnn
from minicnn.checking.cases import Window, random_window
from minicnn.keras_reference import layer_pass
from minicnn.shapes import Geometry, window_geometry

# The same examples in every run; compiling a kernel may take longer than any deadline.
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


class Case(Window):
    """A window that slides over images, with a second implementation of the rules for it."""

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.h, self.w, self.c

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        return self.kh, self.kw, self.c, self.f

    @property
    def output_size(self) -> tuple[int, int]:
        return self._rows()[2], self._columns()[2]

    @property
    def geometry(self) -> Geometry:
        """The geometry as minicnn computes it, for its kernels."""
        return window_geometry(
            (self.h, self.w), (self.kh, self.kw), (self.sh, self.sw), self.padding
        )

    def _rows(self):
        return padding_rule(self.h, self.kh, self.sh, self.padding)

    def _columns(self):
        return padding_rule(self.w, self.kw, self.sw, self.padding)

    def padded(self, x, fill=0):
        """Copy of `x` with the border that padding adds."""
        (top, bottom, _), (left, right, _) = self._rows(), self._columns()
        border = ((0, 0), (top, bottom), (left, right), (0, 0))
        return np.pad(x, border, constant_values=fill)

    def cropped(self, padded):
        """The part of `padded` that is the image."""
        top, left = self._rows()[0], self._columns()[0]
        return padded[:, top : top + self.h, left : left + self.w]

    def windows(self, padded):
        """Each output position (i, j) and a view of its window in all images, (n, kh, kw, c)."""
        for i in range(self.output_size[0]):
            for j in range(self.output_size[1]):
                row, column = i * self.sh, j * self.sw
                yield i, j, padded[:, row : row + self.kh, column : column + self.kw]


def padding_rule(size, window, stride, padding):
    """Cells before, cells after, number of windows: items 3 and 4."""
    if padding == "valid":
        return 0, 0, (size - window) // stride + 1
    count = math.ceil(size / stride)
    total = max((count - 1) * stride + window - size, 0)
    return total // 2, total - total // 2, count


@st.composite
def cases(draw, images=5, longest=10):
    """Hypothesis strategy: random cases."""
    return Case(*random_window(lambda low, high: draw(st.integers(low, high)), images, longest))


def random_array(rng, shape, dtype, whole=False):
    """Normal numbers; or integers from -3 to 3, whose sums of products are exact."""
    values = rng.integers(-3, 4, shape) if whole else rng.standard_normal(shape)
    return values.astype(dtype)


def conv_loops(x, kernel, bias, case):
    """Convolution, window by window."""
    y = np.empty((case.n, *case.output_size, case.f), x.dtype)
    for i, j, window in case.windows(case.padded(x)):
        y[:, i, j] = np.einsum("nklc,klcf->nf", window, kernel) + bias
    return y


def conv_gradient_loops(x, kernel, dy, case):
    """(dx, dkernel): the gradient of each factor is dy times the other factor, summed."""
    dpadded, dkernel = case.padded(np.zeros_like(x)), np.zeros_like(kernel)
    for i, j, dwindow in case.windows(dpadded):
        dwindow += np.einsum("nf,klcf->nklc", dy[:, i, j], kernel)
    for i, j, window in case.windows(case.padded(x)):
        dkernel += np.einsum("nklc,nf->klcf", window, dy[:, i, j])
    return case.cropped(dpadded), dkernel


def pool_loops(x, case):
    """(y, winner): the largest value of each window, and the number of its cell.

    The first of equal values wins, the first NaN wins over all, and padding never wins.
    """
    y = np.empty((case.n, *case.output_size, case.c), x.dtype)
    winner = np.empty(y.shape, int)
    is_image = case.windows(case.padded(np.ones(x.shape, bool), fill=False))
    for (i, j, window), (_, _, inside) in zip(case.windows(case.padded(x)), is_image, strict=True):
        for image, channel in np.ndindex(case.n, case.c):
            values = window[image, :, :, channel].ravel()
            cells = np.flatnonzero(inside[image, :, :, channel])
            nans = [cell for cell in cells if np.isnan(values[cell])]
            best = nans[0] if nans else max(cells, key=values.__getitem__)  # max: the first
            y[image, i, j, channel], winner[image, i, j, channel] = values[best], best
    return y, winner


def pool_gradient_loops(dy, winner, case):
    """dx: each dy to the cell that won."""
    dpadded = case.padded(np.zeros(case.x_shape, dy.dtype))
    for i, j, dwindow in case.windows(dpadded):
        for image, channel in np.ndindex(case.n, case.c):
            cell = winner[image, i, j, channel]
            dwindow[image, cell // case.kw, cell % case.kw, channel] += dy[image, i, j, channel]
    return case.cropped(dpadded)


class Pass(NamedTuple):
    """Forward and backward through one layer: output, gradient of the input, of each weight."""

    y: np.ndarray
    dx: np.ndarray
    grads: list[np.ndarray]


def built(layer, input_shape, rng, dtype, whole=False):
    """`layer` with random weights, biases included."""
    layer.build(input_shape, rng, dtype)
    layer.set_weights([random_array(rng, w.shape, dtype, whole) for w in layer.params.values()])
    return layer


def run(layer, x, dy):
    """One pass through a layer of minicnn."""
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    assert list(grads) == list(layer.params)
    assert {a.dtype for a in (y, dx, *grads.values())} == {x.dtype}
    return Pass(y, dx, list(grads.values()))


def run_both(name, arguments, x, rng, whole=False):
    """(minicnn's pass, Keras' pass) through a new layer with random weights and a random dy."""
    layer = getattr(minicnn.layers, name)(**arguments)
    built(layer, x.shape[1:], rng, x.dtype, whole)
    dy = random_array(rng, (len(x), *layer.output_shape(x.shape[1:])), x.dtype, whole)
    y, dx, *grads = layer_pass(layer, x, dy).values()
    return run(layer, x, dy), Pass(y, dx, grads)
