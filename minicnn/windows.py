"""All windows of a batch of images, and the transpose of taking them.

Convolution and pooling both look at an image through windows. `windows` shows every cell of the
image in each window that covers it. Its transpose, `sum_windows`, adds up over the windows what
belongs to the same cell: that is how gradients of windows become gradients of images.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.shapes import Geometry


def windows(x: np.ndarray, g: Geometry, padding: float = 0.0) -> np.ndarray:
    """The windows of images x (n, h, w, c), as a view: (n, oh, ow, kh, kw, c).

    Cells outside the image have the value `padding`.
    """
    below = max(0, (g.oh - 1) * g.sh + g.kh - g.top - g.h)
    right = max(0, (g.ow - 1) * g.sw + g.kw - g.left - g.w)
    border = (0, 0), (g.top, below), (g.left, right), (0, 0)
    padded = np.pad(x, border, constant_values=padding)
    cells = sliding_window_view(padded, (g.kh, g.kw), axis=(1, 2))  # as if strides were 1
    return np.moveaxis(cells, 3, 5)[:, :: g.sh, :: g.sw]


def sum_windows(dwindows: np.ndarray, g: Geometry) -> np.ndarray:
    """Gradient dx (n, h, w, c) of the images from that of their windows (n, oh, ow, kh, kw, c)."""
    n, c = len(dwindows), dwindows.shape[-1]
    height = max(g.top + g.h, (g.oh - 1) * g.sh + g.kh)
    width = max(g.left + g.w, (g.ow - 1) * g.sw + g.kw)
    dpadded = np.zeros((n, height, width, c), dwindows.dtype)
    for ki in range(g.kh):
        for kj in range(g.kw):
            rows = slice(ki, ki + g.oh * g.sh, g.sh)
            columns = slice(kj, kj + g.ow * g.sw, g.sw)
            dpadded[:, rows, columns] += dwindows[:, :, :, ki, kj]
    return dpadded[:, g.top : g.top + g.h, g.left : g.left + g.w]
