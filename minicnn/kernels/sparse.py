"""Gradients of a convolution below a max pooling, where of each window one output counts at most.

In the gradient of the convolution's outputs all is zero but the winners, and ReLU puts out some of
these: 16 % are left in the tutorial's network. So zeros are left out of the sums of `direct`:

    dkernel[:, :, :, f] = sum over the positions (i, j) where f won of  dy * x's window at (i, j)
    dx's window at (i, j) += sum over the filters f that won there of   dy * kernel[:, :, :, f]

Both add up windows times numbers, which is `add_windows`. To look up what is not zero has its
price, but of 25 products 4 are left, and sums are the formula's, without Winograd's rounding.
"""

from functools import cache

import numpy as np
from numba.extending import register_jitable

from minicnn.kernels.jit import jit, named
from minicnn.kernels.registers import CACHE_LINE, LANES, add_windows
from minicnn.kernels.relu import grad_before_floor


@jit
def prepare(kernel):
    """The kernel as `gradients` reads it, (kh, f, run): runs of kw*c numbers for each filter."""
    kh, kw, c, f = kernel.shape
    runs = aligned_zeros((kh, f, _run(kw, c)), kernel.dtype)
    rows = kernel.reshape(kh, kw * c, f)
    for ki in range(kh):
        _transpose(rows[ki], runs[ki])
    return runs


def gradients(x, y, dy, winner, floor, runs, g, pool):
    """dx (n, h, w, c), dkernel (kh, kw, c, f) and dbias (f,), summed over the images.

    x are the images, y (n, ph, pw, f) the pooled outputs, raised to `floor`, and dy their gradient;
    `winner` is the cell of its window that each came from, and `runs` is `prepare(kernel)`. The
    convolution has the geometry g, the pooling has `pool`.
    """
    return _loops(g.kh, runs.shape[2])(x, y, dy, winner, floor, runs, g, pool)


def weight_gradients(x, y, dy, winner, floor, g, pool):
    """`gradients` without dx."""
    run = _run(g.kw, x.shape[3])
    no_runs = np.empty((0, 0, run), x.dtype)
    _, dkernel, dbias = _loops(g.kh, run)(x, y, dy, winner, floor, no_runs, g, pool)
    return dkernel, dbias


@register_jitable
def _run(kw, c):
    """How long a run for kw*c numbers is."""
    return -(-kw * c // LANES) * LANES


@cache
def _loops(kh, run):
    """Compiled for one height of kernel and length of run: the compiler unrolls what it knows."""

    @jit
    @named("gradients", f"{kh}_{run}")
    def gradients(x, y, dy, winner, floor, runs, g, pool):
        (n, _, _, c), f = x.shape, dy.shape[3]
        dz = grad_before_floor(dy, y, floor)
        windows = pool.oh * pool.ow
        values, won = dz.reshape(n, windows, f), winner.reshape(n, windows, f)

        padded = _padded_image(g, c, run, x.dtype)
        width = padded.shape[1]
        corners, cells = _windows(pool, g.sh * width, g.sw * c)
        starts, numbers, count = _empty_lists(1, windows, x.dtype)
        total = aligned_zeros((f, kh, run), x.dtype)
        for image in range(n):
            _copy(x[image].reshape(g.h, g.w * c), _inside(padded, g, c))
            for o in range(f):
                count[0] = _list_windows(
                    values[image], won[image], o, corners, cells, starts[0], numbers[0]
                )
                # Windows of x are rows of the padded image apart, sums are one run apart.
                at = o * kh * run
                add_windows(kh, run, total, at, padded, width, starts, numbers, 0, count)
        dkernel = np.empty((kh, g.kw * c, f), x.dtype)
        for ki in range(kh):
            _transpose(total[:, ki, : g.kw * c], dkernel[ki])

        dx = np.empty((n if len(runs) else 0, g.h, g.w, c), x.dtype)
        corners, cells = _windows(pool, g.ow, 1)
        most = f * -(-pool.kh // pool.sh) * -(-pool.kw // pool.sw)  # where windows overlap
        starts, numbers, count = _empty_lists(g.oh * g.ow if len(dx) else 0, most, x.dtype)
        for image in range(len(dx)):
            _list_filters(values[image], won[image], corners, cells, run, starts, numbers, count)
            padded[:] = 0
            for ki in range(kh):  # outside: one row of all filters stays in the first-level cache
                for i in range(g.oh):
                    for j in range(g.ow):
                        at = (i * g.sh + ki) * width + j * g.sw * c
                        position = i * g.ow + j
                        add_windows(
                            1, run, padded, at, runs[ki], 0, starts, numbers, position, count
                        )
            _copy(_inside(padded, g, c), dx[image].reshape(g.h, g.w * c))
        return dx, dkernel.reshape(kh, g.kw, c, f), _sum_of_pixels(dz)

    return gradients


@register_jitable
def _list_windows(values, won, o, corners, cells, starts, numbers):
    """Windows of the image where filter o won; returns how many."""
    k = np.uintp(0)
    for window in range(len(corners)):
        start = corners[window] + cells[won[window, o]]
        k = _append(start, values[window, o], starts, numbers, k)
    return k


@register_jitable
def _list_filters(values, won, corners, cells, run, starts, numbers, count):
    """For each position, runs of the filters that won there."""
    count[:] = 0
    for window in range(len(corners)):
        for o in range(values.shape[1]):
            position = np.uintp(corners[window] + cells[won[window, o]])
            count[position] = _append(
                o * run, values[window, o], starts[position], numbers[position], count[position]
            )


@register_jitable
def _sum_of_pixels(dz):
    """Of each filter; a matrix product is faster than a loop."""
    rows = dz.reshape(-1, dz.shape[3])
    return np.dot(np.ones(len(rows), dz.dtype), rows)


@register_jitable
def aligned_zeros(shape, dtype):
    """Zeros that begin with a cache line: vectors that straddle two take twice as long to load."""
    size = 1
    for length in shape:
        size *= length
    room = np.zeros(size + CACHE_LINE, dtype)
    skip = -room.ctypes.data % CACHE_LINE // room.itemsize
    return room[skip : skip + size].reshape(shape)


@register_jitable
def _windows(pool, down, across):
    """Where the first cell of each pooling window is, in the image or in the padding outside, and
    how far each cell of a window is from its first; for steps of `down` and `across`."""
    corners = np.empty(pool.oh * pool.ow, np.intp)
    for i in range(pool.oh):
        for j in range(pool.ow):
            corner = (i * pool.sh - pool.top) * down + (j * pool.sw - pool.left) * across
            corners[i * pool.ow + j] = corner
    cells = np.empty(pool.kh * pool.kw, np.intp)
    for cell in range(pool.kh * pool.kw):
        cells[cell] = cell // pool.kw * down + cell % pool.kw * across
    return corners, cells


@register_jitable
def _empty_lists(lists, most, dtype):
    """Where windows start, the numbers they are to be multiplied with, and the lists' lengths."""
    return (
        np.empty((lists, most), np.intp),
        np.empty((lists, most), dtype),
        np.empty(lists, np.uintp),
    )


@register_jitable
def _append(start, number, starts, numbers, k):
    """Put a window in a list of k, if its number is not 0 (and NaN is not); returns the new k.

    k has no sign: of other numbers, Numba asks whether they count from the end.
    """
    # Written in any case, and kept if the list grows: a branch would be mispredicted too often.
    starts[k], numbers[k] = start, number
    return k + np.uintp(number != 0)


@register_jitable
def _padded_image(g, c, run, dtype):
    """Zeros for an image and its border, a row of pixels per line: as far as runs reach."""
    width = max((g.ow - 1) * g.sw * c + run, (g.left + g.w) * c)
    return aligned_zeros((max((g.oh - 1) * g.sh + g.kh, g.top + g.h), width), dtype)


@register_jitable
def _inside(padded, g, c):
    """The image without its border, (h, w*c)."""
    return padded[g.top : g.top + g.h, g.left * c : (g.left + g.w) * c]


@register_jitable
def _copy(source, target):
    for row in range(len(source)):
        values, places = source[row], target[row]
        for cell in range(len(values)):
            places[cell] = values[cell]


@register_jitable
def _transpose(matrix, transposed):
    """transposed[j, i] = matrix[i, j], by patches of 16 x 16, which fit into the cache."""
    height, width = matrix.shape
    for top in range(0, height, 16):
        for left in range(0, width, 16):
            for j in range(left, min(left + 16, width)):
                for i in range(top, min(top + 16, height)):
                    transposed[j, i] = matrix[i, j]
