"""Convolution as loops: the formula itself, and the readable reference for the faster algorithms.

    y[n, i, j, f] = bias[f] + sum over ki, kj, c of
                    x[n, i*sh + ki - top, j*sw + kj - left, c] * kernel[ki, kj, c, f]

Pixels outside the image count as 0. (Strictly speaking this is cross-correlation; deep learning
calls it convolution.)

The backward pass is the derivative of a sum of products. Every product that contributes to
y[n, i, j, f] passes dy[n, i, j, f] times one of its factors to the gradient of the other factor.
So all three functions are the same loop nest over the same products, and differ only in the array
to which a product is added.

Memory layout (the last axis is contiguous in all arrays):

    x (n, h, w, c)          | pixel (0, 0): c values | pixel (0, 1) | ...  row by row | next image
    kernel (kh, kw, c, f)   | cell (0, 0), channel 0: f values | cell (0, 0), channel 1 | ...
    y (n, oh, ow, f)        | position (0, 0): f values | position (0, 1) | ...
"""

import numpy as np

from minicnn.engine.compiling import jit


@jit
def forward(x, kernel, bias, g):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), kernel (kh, kw, c, f) and bias (f,)."""
    n, _, _, c = x.shape
    f = kernel.shape[3]
    y = np.empty((n, g.oh, g.ow, f), x.dtype)
    for image in range(n):
        for i in range(g.oh):
            for j in range(g.ow):
                for o in range(f):  # assignment of a whole array takes seconds to compile
                    y[image, i, j, o] = bias[o]
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
    """Gradient dx (n, h, w, c) of the images, from dy (n, oh, ow, f) and the kernel."""
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
