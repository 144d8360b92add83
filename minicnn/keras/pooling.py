"""Poolings besides `MaxPooling2D`: means of windows, means and maxima of whole images."""

from typing import Any

import numpy as np

from minicnn.layer import Layer
from minicnn.layers import Pooling2D
from minicnn.windows import sum_windows, windows


class AveragePooling2D(Pooling2D):
    """The mean of every window, for each channel: images (h, w, c) -> (oh, ow, c).

    Cells of padding do not count, neither in the sum nor in the number of cells, as in TensorFlow.
    In the backward pass every cell of a window gets an equal share of its gradient.

    Parameters
    ----------
    pool_size, strides, padding
        As for `MaxPooling2D`.
    """

    samples_are_independent = True

    def _cells(self, dtype: np.dtype) -> np.ndarray:
        """How many cells of the image each window has: (1, oh, ow, 1)."""
        g = self.geometry(self.input_shape)
        return windows(np.ones((1, g.h, g.w, 1), dtype), g).sum(axis=(3, 4))

    def forward(self, x):
        x = self.checked_input(x)
        g = self.geometry(self.input_shape)
        cells = windows(x, g)  # (n, oh, ow, kh, kw, c)
        y = np.zeros((len(x), g.oh, g.ow, x.shape[-1]), x.dtype)
        for ki in range(g.kh):  # adds long rows; `cells.sum` takes several times as long
            for kj in range(g.kw):
                y += cells[:, :, :, ki, kj]
        y /= self._cells(x.dtype)
        return y, y.shape

    def backward(self, dy, cache):
        dy = self.checked_gradient(dy, cache)  # (n, oh, ow, c)
        dy = dy / self._cells(dy.dtype)
        g = self.geometry(self.input_shape)
        n, oh, ow, c = dy.shape
        dwindows = np.broadcast_to(dy[:, :, :, None, None], (n, oh, ow, g.kh, g.kw, c))
        return sum_windows(dwindows, g), {}


class _GlobalPooling(Layer):
    """Images (h, w, c) -> (c,), or (1, 1, c) with `keepdims`."""

    def __init__(self, keepdims: bool = False, **options: Any):
        super().__init__(**options)
        self.keepdims = self.check.flag(keepdims, "keepdims")

    def output_shape(self, input_shape):
        c = self.check.image_shape(input_shape)[-1]
        return (1, 1, c) if self.keepdims else (c,)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel over the whole image; its gradient is shared by all cells."""

    samples_are_independent = True

    def forward(self, x):
        y = self.checked_input(x).mean(axis=(1, 2), keepdims=self.keepdims)
        return y, y.shape

    def backward(self, dy, cache):
        h, w, c = self.input_shape
        dy = self.checked_gradient(dy, cache).reshape(-1, 1, 1, c) / (h * w)
        return np.broadcast_to(dy, (len(dy), h, w, c)).astype(dy.dtype), {}


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel; equal ones share its gradient, as in TensorFlow."""

    samples_are_independent = True

    def forward(self, x):
        x = self.checked_input(x)
        y = x.max(axis=(1, 2), keepdims=self.keepdims)
        return y, (x == x.max(axis=(1, 2), keepdims=True), y.shape)

    def backward(self, dy, cache):
        largest, y_shape = cache
        dy = self.checked_gradient(dy, y_shape).reshape(-1, 1, 1, self.input_shape[-1])
        return largest * (dy / largest.sum(axis=(1, 2), keepdims=True, dtype=dy.dtype)), {}

    def branches(self, cache):
        return [cache[0]]
