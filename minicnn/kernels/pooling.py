"""Max pooling: the largest value of every window, and which cell of the window it came from."""

import numpy as np

from minicnn.kernels.jit import jit


@jit
def forward(x, g, winner):
    """Maxima y (n, oh, ow, c) of images x (n, h, w, c).

    `winner` (n, oh, ow, c) is filled with the winning cell of each window, ki*kw + kj; any integer
    type that can hold kh*kw - 1. Cells outside the image never win, not even against -inf.
    """
    n, _, _, c = x.shape
    y = np.empty((n, g.oh, g.ow, c), x.dtype)
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                untouched = True
                for ki in range(g.kh):
                    for kj in range(g.kw):
                        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
                        if not (0 <= row < g.h and 0 <= column < g.w):
                            continue
                        cell = ki * g.kw + kj
                        values = x[image, row, column]
                        best = y[image, i, j]
                        best_cell = winner[image, i, j]
                        for ch in range(c):
                            # The first maximum wins, as in TensorFlow: after ReLU, ties at zero
                            # are the rule. The first NaN beats all, as in NumPy: `>` alone would
                            # drop it.
                            is_first_nan = values[ch] != values[ch] and best[ch] == best[ch]
                            if untouched or values[ch] > best[ch] or is_first_nan:
                                best[ch] = values[ch]
                                best_cell[ch] = cell
                        untouched = False
    return y


@jit
def grad_input(dy, winner, g):
    """Gradient dx (n, h, w, c): each dy (n, oh, ow, c) goes to the one cell that won its window."""
    n, _, _, c = dy.shape
    dx = np.zeros((n, g.h, g.w, c), dy.dtype)
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                for ki in range(g.kh):
                    for kj in range(g.kw):
                        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
                        if not (0 <= row < g.h and 0 <= column < g.w):
                            continue
                        cell = ki * g.kw + kj
                        target, source = dx[image, row, column], dy[image, i, j]
                        best_cell = winner[image, i, j]
                        for ch in range(c):
                            if best_cell[ch] == cell:
                                target[ch] += source[ch]
    return dx
