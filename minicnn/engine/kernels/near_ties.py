"""Near ties in max pooling, decided by the formula instead of by Winograd's outputs.

The largest cell of a pooling window gets the gradient, if it is above the 0 of ReLU. Where two of
these values are nearly equal, Winograd's rounding errors can make the wrong one the larger. This
changes gradients by a thousandth of their size, whereas rounding alone changes them by a
ten-millionth. It happened in one of 20 training steps of the tutorial's network, and was the main
reason why training in single precision parted from Keras.

In each window of 2x2, five values are compared: the outputs z of its cells, and the floor. Those
that are not below the largest one, y, by more than a margin may be the largest by the formula:

    margin   =  MARGIN * epsilon * (largest |y| of the image)
    z[i, j]  =  bias + sum over ki, kj, c of  x[i + ki - top, j + kj - left, c] * kernel[ki, kj, c]

If there are several of them, z is computed for all four cells in double precision. This is so rare
that its time does not count.

Memory layout:

    z (n, oh, ow, f)             | output (0, 0): f values | output (0, 1) | ...
    y, winner (n, ph, pw, f)     | window (0, 0): f values | window (0, 1) | ...
"""

import numpy as np

from minicnn.engine.compiling import called_by_kernels, inlined

# This makes the margin at least 5 times an output's root mean square error, and usually 17 times.
MARGIN = 8
# If more filters have a near tie in the same window, the image is uniform there, as in a blank
# border. Then the outputs are also equal by the formula, and it does not matter which one wins.
MOST_IN_WINDOW = 2
# Limits the time where the image is uniform and only few filters have outputs above the floor.
MOST_IN_IMAGE = 8


@called_by_kernels
def decide_near_ties(x, kernel, bias, g, z, pool, winner, floor, y):
    """Correct y and winner where values are nearly equal, for windows of 2x2 inside the image.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images; they may have more channels than the kernel.
    kernel : ndarray (kh, kw, c, f)
    bias : ndarray (f,)
    g, pool : Geometry
        Of the convolution and of the pooling.
    z : ndarray (n, oh, ow, f)
        Outputs of the convolution.
    winner, floor, y
        As filled by `pooling.put_maxima`.
    """
    undecided = np.empty(kernel.shape[3], np.int32)
    for image in range(len(x)):
        margin = y.dtype.type(MARGIN * np.finfo(y.dtype).eps) * _largest(y[image])
        allowed = MOST_IN_IMAGE
        for i in range(pool.oh):
            for j in range(pool.ow):
                row, column, best = i * pool.sh, j * pool.sw, y[image, i, j]
                upper, lower = z[image, row], z[image, row + 1]
                count = _mark_undecided(
                    upper[column], upper[column + 1], lower[column], lower[column + 1],
                    floor, best, margin, undecided,
                )  # fmt: skip
                if count == 0 or count > min(allowed, MOST_IN_WINDOW):
                    continue
                allowed -= count
                for o in range(len(undecided)):
                    if undecided[o]:
                        top, left = row - g.top, column - g.left
                        cells = winner[image, i, j]
                        _decide(x[image], kernel, bias, top, left, o, floor, cells, best)


@inlined
def _largest(y):
    """The largest absolute value of the outputs (ph, pw, f) of an image."""
    by_filter = y[0, 0].copy()  # first by filter, which is compiled to vector instructions
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            pixel = y[i, j]
            for o in range(len(by_filter)):
                size = abs(pixel[o])
                by_filter[o] = size if size > by_filter[o] else by_filter[o]
    largest = by_filter[0]
    for o in range(len(by_filter)):
        largest = by_filter[o] if by_filter[o] > largest else largest
    return largest


@inlined
def _mark_undecided(a, b, c, d, floor, best, margin, undecided):
    """Mark the filters with several values that could be the largest; return their number."""
    count = 0
    for o in range(len(undecided)):
        least = best[o] - margin
        near = (a[o] >= least) + (b[o] >= least) + (c[o] >= least) + (d[o] >= least)
        undecided[o] = near + (floor >= least) > 1
        count += undecided[o]
    return count


@inlined
def _decide(x, kernel, bias, top, left, o, floor, winner, best):
    """Put the largest of four outputs of filter o into `best`, and its cell into `winner`.

    `top` and `left` are where the window of x for the first of the cells begins.
    """
    largest = -np.inf
    for cell in range(4):
        at = top + cell // 2, left + cell % 2
        value = bias[o] + _sum_over_window(x, kernel, at, o)
        if value > largest:
            largest = value
            winner[o] = cell
    best[o] = largest if largest > floor else floor


@inlined
def _sum_over_window(x, kernel, at, o):
    """An output of the convolution without its bias, summed in double precision."""
    kh, kw, c, _ = kernel.shape
    total = 0.0
    for ki in range(max(0, -at[0]), min(kh, len(x) - at[0])):
        for kj in range(max(0, -at[1]), min(kw, x.shape[1] - at[1])):
            pixel, factors = x[at[0] + ki, at[1] + kj], kernel[ki, kj]
            for ch in range(c):
                total += np.float64(pixel[ch]) * np.float64(factors[ch, o])
    return total
