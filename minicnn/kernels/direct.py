"""Convolution as loops, literally the formula: the readable reference for the faster ways.

    y[n, i, j, f] = bias[f] + sum over ki, kj, c of
                    x[n, i*sh + ki - top, j*sw + kj - left, c] * kernel[ki, kj, c, f]

where cells outside the image count as zero. (This is cross-correlation; deep learning calls it
convolution.) The derivative of a sum of products: every product that made y[n, i, j, f] sends
dy[n, i, j, f] times one factor back to the other factor. So all three functions are one loop nest
over the same products, and differ in what they add up.
"""

import numpy as np

from minicnn.kernels.jit import jit


def why_not(_geometry):
    """The reason why this algorithm cannot serve a geometry, or None: it serves every one."""
    return None


def prepare(kernel):
    """What can be computed from the kernel alone, once a step: here it is used as it is."""
    return kernel


def gradients(x, dy, kernel, g):
    """`grad_input` and `grad_kernel`, for which there is nothing to share."""
    return grad_input(dy, kernel, g), grad_kernel(x, dy, g)


@jit
def forward(x, kernel, bias, g):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), kernel (kh, kw, c, f), bias (f,)."""
    n, _, _, c = x.shape
    f = kernel.shape[3]
    y = np.empty((n, g.oh, g.ow, f), x.dtype)
    y[:] = bias
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                for ki in range(g.kh):
                    for kj in range(g.kw):
                        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
                        if 0 <= row < g.h and 0 <= column < g.w:
                            for ch in range(c):
                                for o in range(f):
                                    y[image, i, j, o] += (
                                        x[image, row, column, ch] * kernel[ki, kj, ch, o]
                                    )
    return y


@jit
def grad_input(dy, kernel, g):
    """Gradient dx (n, h, w, c) of the input, from that of the output, dy (n, oh, ow, f)."""
    n, _, _, f = dy.shape
    c = kernel.shape[2]
    dx = np.zeros((n, g.h, g.w, c), dy.dtype)
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                for ki in range(g.kh):
                    for kj in range(g.kw):
                        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
                        if 0 <= row < g.h and 0 <= column < g.w:
                            for ch in range(c):
                                for o in range(f):
                                    dx[image, row, column, ch] += (
                                        dy[image, i, j, o] * kernel[ki, kj, ch, o]
                                    )
    return dx


@jit
def grad_kernel(x, dy, g):
    """Gradient dkernel (kh, kw, c, f), summed over the images, from x and dy (n, oh, ow, f)."""
    n, _, _, c = x.shape
    f = dy.shape[3]
    dkernel = np.zeros((g.kh, g.kw, c, f), x.dtype)
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                for ki in range(g.kh):
                    for kj in range(g.kw):
                        row, column = i * g.sh + ki - g.top, j * g.sw + kj - g.left
                        if 0 <= row < g.h and 0 <= column < g.w:
                            for ch in range(c):
                                for o in range(f):
                                    dkernel[ki, kj, ch, o] += (
                                        x[image, row, column, ch] * dy[image, i, j, o]
                                    )
    return dkernel
