"""Max pooling: the largest value of every window, and which cell of the window it came from."""

import numpy as np
from numba.extending import register_jitable

from minicnn.kernels.jit import jit


@jit
def forward(x, g, winner, floor):
    """Maxima y (n, oh, ow, c) of images x (n, h, w, c).

    `winner` (n, oh, ow, c) is filled with the winning cell of each window, ki*kw + kj; any integer
    type that can hold kh*kw - 1. Cells outside the image never win, not even against -inf. Maxima
    below `floor` are raised to it: 0 is a ReLU on the way, -inf is none.
    """
    y = np.empty((len(x), g.oh, g.ow, x.shape[3]), x.dtype)
    put_maxima(x, g, winner, floor, y)
    return y


@jit
def put_maxima(x, g, winner, floor, y):
    """`forward` into a given y; of images with more channels than y has, the first ones count."""
    inside = g.top == g.left == 0 and (
        (g.oh - 1) * g.sh + g.kh <= g.h and (g.ow - 1) * g.sw + g.kw <= g.w
    )
    if inside and g.kh == g.kw == 2:
        _four_cells(x, g, winner, floor, y)
    else:
        _any_cells(x, g, winner, floor, y)


@jit
def _four_cells(x, g, winner, floor, y):
    """Windows of 2x2, all inside the image: two rounds of a cup, held in vector registers."""
    for image in range(len(x)):
        for i in range(g.oh):
            for j in range(g.ow):
                row, column = i * g.sh, j * g.sw
                upper_left, upper_right = x[image, row, column], x[image, row, column + 1]
                lower_left, lower_right = x[image, row + 1, column], x[image, row + 1, column + 1]
                best, best_cell = y[image, i, j], winner[image, i, j]
                for ch in range(y.shape[3]):
                    a, b = upper_left[ch], upper_right[ch]
                    right = _beats(b, a)
                    upper, upper_cell = b if right else a, np.uint8(right)
                    a, b = lower_left[ch], lower_right[ch]
                    right = _beats(b, a)
                    lower, lower_cell = b if right else a, np.uint8(2 + right)
                    down = _beats(lower, upper)
                    largest = lower if down else upper
                    best[ch] = floor if largest < floor else largest
                    best_cell[ch] = lower_cell if down else upper_cell


@register_jitable
def _beats(late, early):
    """Whether a cell beats an earlier one: if it is larger, or NaN and the other is not."""
    # The first of equal maxima wins, as in TensorFlow: after ReLU, ties at zero are the rule. The
    # first NaN beats all, as in NumPy: `late > early` would drop it.
    return not (late <= early or early != early)


@jit
def _any_cells(x, g, winner, floor, y):
    n, _, _, c = y.shape
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
                            if untouched or _beats(values[ch], best[ch]):
                                best[ch] = values[ch]
                                best_cell[ch] = cell
                        untouched = False
                best = y[image, i, j]
                for ch in range(c):
                    best[ch] = floor if best[ch] < floor else best[ch]


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
