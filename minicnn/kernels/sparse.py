"""Gradients of a convolution below a max pooling, where of each window one output counts at most.

In the gradient of the convolution's outputs all is zero but the winners, and ReLU puts out some of
these: 16 % are left in the tutorial's network. So zeros are left out of the sums of `direct`:

    dkernel[:, :, :, f] = sum over the positions (i, j) where f won of  dy * x's window at (i, j)
    dx's window at (i, j) += sum over the filters f that won there of   dy * kernel[:, :, :, f]

Both add up windows times numbers, which is `add_windows`. To look up what is not zero has its
price, but of 25 products 4 are left, and sums are the formula's, without Winograd's rounding.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from minicnn.kernels.jit import jit, named
from minicnn.kernels.registers import CACHE_LINE, LANES, add_windows


def prepare(kernel):
    """The kernel as `grad_input` reads it, (kh, f, run): runs of kw*c numbers for each filter."""
    kh, kw, c, f = kernel.shape
    runs = aligned_zeros((kh, f, _run(kw, c)), kernel.dtype)
    _transpose(kernel.reshape(kh, kw * c, f), runs)
    return runs


def grad_kernel(x, dy, winner, g, pool):
    """Gradient dkernel (kh, kw, c, f), summed over the images x (n, h, w, c).

    dy (n, ph, pw, f) is the gradient of the pooled outputs, and `winner` the cell of its window
    that each came from. The convolution has the geometry g, the pooling has `pool`.
    """
    c, f = x.shape[3], dy.shape[3]
    run = _run(g.kw, c)
    total = aligned_zeros((f, g.kh, run), x.dtype)
    _loops(g.kh, run).add_kernel_gradient(x, dy, winner, g, pool, total)
    dkernel = np.empty((g.kh, g.kw * c, f), x.dtype)
    _transpose(total[:, :, : g.kw * c].swapaxes(0, 1), dkernel)
    return dkernel.reshape(g.kh, g.kw, c, f)


def grad_input(dy, winner, runs, c, g, pool):
    """Gradient dx (n, h, w, c) of the images; `runs` is `prepare(kernel)`."""
    dx = np.empty((len(dy), g.h, g.w, c), dy.dtype)
    _loops(g.kh, runs.shape[2]).put_input_gradient(dy, winner, runs, g, pool, dx)
    return dx


def _run(kw, c):
    return -(-kw * c // LANES) * LANES


class Loops(NamedTuple):
    """Compiled for one height of kernel and length of run: the compiler unrolls what it knows."""

    add_kernel_gradient: Callable[..., None]
    put_input_gradient: Callable[..., None]


@cache
def _loops(kh, run):
    @jit
    @named("add_kernel_gradient", f"{kh}_{run}")
    def add_kernel_gradient(x, dy, winner, g, pool, total):
        c, f = x.shape[3], dy.shape[3]
        padded = _padded_image(g, c, run, x.dtype)
        inside = _inside(padded, g, c)
        cells = _cells(pool, g.sh * padded.shape[1], g.sw * c)
        starts, numbers, count = _empty_lists(f, pool.oh * pool.ow, x.dtype)
        for image in range(len(x)):
            _copy(x[image].reshape(g.h, g.w * c), inside)
            count[:] = 0
            for i in range(pool.oh):
                for j in range(pool.ow):
                    corner = _corner(i, j, pool, cells)
                    values, won = dy[image, i, j], winner[image, i, j]
                    for o in range(f):
                        _append(o, corner + cells[won[o]], values[o], starts, numbers, count)
            for o in range(f):
                # Windows of x are rows of the padded image apart, sums are one run apart.
                add_windows(
                    kh, run, total, o * kh * run, padded, padded.shape[1], starts, numbers, o, count
                )

    @jit
    @named("put_input_gradient", f"{kh}_{run}")
    def put_input_gradient(dy, winner, runs, g, pool, dx):
        f, c = dy.shape[3], dx.shape[3]
        dpadded = _padded_image(g, c, run, dx.dtype)
        width = dpadded.shape[1]
        cells = _cells(pool, g.ow, 1)
        most = f * -(-pool.kh // pool.sh) * -(-pool.kw // pool.sw)  # where windows overlap
        starts, numbers, count = _empty_lists(g.oh * g.ow, most, dy.dtype)
        for image in range(len(dy)):
            count[:] = 0
            for i in range(pool.oh):
                for j in range(pool.ow):
                    corner = _corner(i, j, pool, cells)
                    values, won = dy[image, i, j], winner[image, i, j]
                    for o in range(f):
                        _append(corner + cells[won[o]], o * run, values[o], starts, numbers, count)
            dpadded[:] = 0
            for ki in range(kh):  # outside: one row of all filters stays in the first-level cache
                for i in range(g.oh):
                    for j in range(g.ow):
                        at = (i * g.sh + ki) * width + j * g.sw * c
                        position = i * g.ow + j
                        add_windows(
                            1, run, dpadded, at, runs[ki], 0, starts, numbers, position, count
                        )
            _copy(_inside(dpadded, g, c), dx[image].reshape(g.h, g.w * c))

    return Loops(add_kernel_gradient, put_input_gradient)


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
def _cells(pool, down, across):
    """How far each cell of a pooling window is from its first, for steps of `down` and `across`;
    in the end the two steps themselves."""
    cells = np.empty(pool.kh * pool.kw + 2, np.intp)
    for cell in range(pool.kh * pool.kw):
        cells[cell] = cell // pool.kw * down + cell % pool.kw * across
    cells[-2], cells[-1] = down, across
    return cells


@register_jitable
def _corner(i, j, pool, cells):
    """Where the first cell of pooling window (i, j) is, in the image or in the padding outside."""
    return (i * pool.sh - pool.top) * cells[-2] + (j * pool.sw - pool.left) * cells[-1]


@register_jitable
def _empty_lists(lists, most, dtype):
    """Where windows start, the numbers they are to be multiplied with, and the lists' lengths."""
    return (
        np.empty((lists, most), np.intp),
        np.empty((lists, most), dtype),
        np.empty(lists, np.intp),
    )


@register_jitable
def _append(which, start, number, starts, numbers, count):
    """Put a window in a list, if its number is not 0 (and NaN is not)."""
    # Written in any case, and kept if the list grows: a branch would be mispredicted too often.
    k = count[which]
    starts[which, k], numbers[which, k] = start, number
    count[which] += number != 0


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


@jit
def _transpose(matrices, transposed):
    """transposed[k, j, i] = matrices[k, i, j], by patches of 16 x 16, which fit into the cache."""
    number, height, width = matrices.shape
    for k in range(number):
        for top in range(0, height, 16):
            for left in range(0, width, 16):
                for j in range(left, min(left + 16, width)):
                    for i in range(top, min(top + 16, height)):
                        transposed[k, j, i] = matrices[k, i, j]
