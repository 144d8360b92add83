"""Max pooling: the largest value of every window, and the cell of the window that holds it.

    y[n, i, j, c]       =  max over ki, kj of  x[n, i*sh + ki - top, j*sw + kj - left, c]
    winner[n, i, j, c]  =  ki*kw + kj  of the maximum
    dx[n, row, column, c]  =  sum of dy[n, i, j, c] over the windows that (row, column) won

Cells outside the image never win, not even against -inf.

Memory layout:

    x (n, h, w, c)              | pixel (0, 0): c values | pixel (0, 1) | ...
    y, winner (n, oh, ow, c)    | window (0, 0): c values | window (0, 1) | ...

    numbers of the cells of a 2x2 window:     0  1
                                              2  3
"""

import numpy as np

from minicnn.engine.compiling import called_by_kernels, inlined, jit


def no_pooling(g, x):
    """The arguments pool, winner, floor of a kernel that can pool its outputs, but is not to."""
    return g._replace(kh=0), np.empty((len(x), 0, 0, 0), np.uint8), x.dtype.type(0)


@jit
def forward(x, g, winner, floor):
    """Maxima of all windows.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images.
    g : Geometry
    winner : integer ndarray (n, oh, ow, c)
        Filled with the winning cell of each window. Its dtype must be able to hold kh*kw - 1.
    floor : float of the dtype of x
        Maxima below it are raised to it: 0 merges a ReLU into the pooling, -inf has no effect.

    Returns
    -------
    ndarray (n, oh, ow, c)
        Maxima y.
    """
    y = np.empty((len(x), g.oh, g.ow, x.shape[3]), x.dtype)
    put_maxima(x, g, winner, floor, y)
    return y


@called_by_kernels
def put_maxima(x, g, winner, floor, y):
    """Like `forward`, but write the maxima into y (n, oh, ow, c).

    If x has more channels than y, only the first c channels of x are used.
    """
    if is_2x2_inside(g):
        _put_maxima_2x2(x, g, winner, floor, y)
    else:
        _put_maxima_of_any_size(x, g, winner, floor, y)


@inlined
def is_2x2_inside(g):
    """Whether the windows are of 2x2, and all of them inside the image."""
    inside = g.top == g.left == 0 and (
        (g.oh - 1) * g.sh + g.kh <= g.h and (g.ow - 1) * g.sw + g.kw <= g.w
    )
    return inside and g.kh == g.kw == 2


@inlined
def _put_maxima_2x2(x, g, winner, floor, y):
    """`put_maxima` for windows of 2x2 that are all inside the image.

    The larger value of the upper row is compared to the larger value of the lower row. As there is
    no branch, the loop over channels is compiled to vector instructions.
    """
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


@inlined
def _beats(late, early):
    """Whether a cell wins against an earlier one: it is larger, or it is NaN and the other not."""
    # The first of equal maxima wins, as in TensorFlow: after ReLU, ties at zero are the rule. The
    # first NaN wins against all others, as in NumPy: `late > early` would drop it.
    return not (late <= early or early != early)


@inlined
def _put_maxima_of_any_size(x, g, winner, floor, y):
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
    """Gradient of the images: each value of dy goes to the cell that won its window.

    Parameters
    ----------
    dy : ndarray (n, oh, ow, c)
        Gradient of the maxima.
    winner : integer ndarray (n, oh, ow, c)
        As filled by `forward`.
    g : Geometry

    Returns
    -------
    ndarray (n, h, w, c)
        dx.
    """
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
