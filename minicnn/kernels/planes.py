"""Convolution as one matrix product per image, for images of few channels, a first layer's.

`im2col` copies windows, row of pixels by row of pixels: of one channel, five numbers at a time.
Here a channel is a plane, and what the windows at all positions have in one and the same cell is
the plane moved by that cell: whole rows are copied, and each makes a row of the matrix.

    cols (kh*kw*c, oh*ow)        y (oh*ow, f)  =  cols' @ kernel (kh*kw*c, f)
"""

import numpy as np

from minicnn.kernels.jit import jit
from minicnn.kernels.pooling import put_maxima


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
    """Output y (n, oh, ow, f) of images x (n, h, w, c), kernel (kh, kw, c, f), bias (f,).

    The bias is one more row of the kernel, which is multiplied with ones.
    """
    matrix, planes, cols = _multiplied(x, kernel, bias, g)
    y = np.empty((len(x), g.oh * g.ow, kernel.shape[3]), x.dtype)
    for image in range(len(x)):
        _copy_planes(x[image], g, planes, cols)
        np.dot(cols.T, matrix, y[image])
    return y.reshape(len(x), g.oh, g.ow, kernel.shape[3])


@jit
def forward_pooled(x, kernel, bias, g, pool, winner, floor):
    """The maxima of `forward`'s outputs: see `pooling.forward`.

    Each image is pooled while its outputs, four times as many numbers, are in the cache.
    """
    f = kernel.shape[3]
    matrix, planes, cols = _multiplied(x, kernel, bias, g)
    z = np.empty((g.oh * g.ow, f), x.dtype)
    y = np.empty((len(x), pool.oh, pool.ow, f), x.dtype)
    for image in range(len(x)):
        this = slice(image, image + 1)
        _copy_planes(x[image], g, planes, cols)
        np.dot(cols.T, matrix, z)
        put_maxima(z.reshape(1, g.oh, g.ow, f), pool, winner[this], floor, y[this])
    return y


@jit
def _multiplied(x, kernel, bias, g):
    """What is multiplied for each image: kernel and bias; and room for its planes and windows."""
    c, f = kernel.shape[2:]
    cells = g.kh * g.kw * c
    matrix = np.empty((cells + 1, f), x.dtype)
    rows = kernel.reshape(cells, f)
    for o in range(f):  # in loops: to assign arrays to slices would compile for three seconds more
        for cell in range(cells):
            matrix[cell, o] = rows[cell, o]
        matrix[cells, o] = bias[o]
    return matrix, _padded_planes(g, c, x.dtype), np.ones((cells + 1, g.oh * g.ow), x.dtype)


@jit
def grad_input(dy, kernel, g):
    """Gradient dx (n, h, w, c) of the input, from that of the output, dy (n, oh, ow, f)."""
    n, _, _, f = dy.shape
    c = kernel.shape[2]
    matrix = kernel.reshape(g.kh * g.kw * c, f)
    dplanes = _padded_planes(g, c, dy.dtype)
    dcols = np.empty((g.kh * g.kw * c, g.oh * g.ow), dy.dtype)
    dx = np.zeros((n, g.h, g.w, c), dy.dtype)
    for image in range(n):
        np.dot(matrix, dy[image].reshape(g.oh * g.ow, f).T, dcols)
        _add_planes(dcols, g, dplanes, dx[image])
    return dx


@jit
def grad_kernel(x, dy, g):
    """Gradient dkernel (kh, kw, c, f), summed over the images, from x and dy (n, oh, ow, f)."""
    n, _, _, c = x.shape
    f = dy.shape[3]
    planes = _padded_planes(g, c, x.dtype)
    cols = np.empty((g.kh * g.kw * c, g.oh * g.ow), x.dtype)
    product = np.empty((g.kh * g.kw * c, f), x.dtype)
    dkernel = np.zeros((g.kh * g.kw * c, f), x.dtype)
    for image in range(n):
        _copy_planes(x[image], g, planes, cols)
        np.dot(cols, dy[image].reshape(g.oh * g.ow, f), product)
        dkernel += product
    return dkernel.reshape(g.kh, g.kw, c, f)


@jit
def _padded_planes(g, c, dtype):
    """Zeros for the channels of an image and their borders: as far as windows reach."""
    return np.zeros((c, (g.oh - 1) * g.sh + g.kh, (g.ow - 1) * g.sw + g.kw), dtype)


@jit
def _copy_planes(image, g, planes, cols):
    """Fill `cols` with the windows of `image`; the borders of `planes` are zero and stay so."""
    c = image.shape[2]
    rows = min(g.h, planes.shape[1] - g.top)
    columns = min(g.w, planes.shape[2] - g.left)
    for ch in range(c):
        for i in range(rows):
            source, target = image[i], planes[ch, i + g.top, g.left :]
            for j in range(columns):
                target[j] = source[j, ch]
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(c):
                row = cols[(ki * g.kw + kj) * c + ch]
                for i in range(g.oh):
                    source = planes[ch, i * g.sh + ki, kj:]
                    target = row[i * g.ow : (i + 1) * g.ow]
                    if g.sw == 1:  # known to the compiler, this becomes vector instructions
                        for j in range(g.ow):
                            target[j] = source[j]
                    else:
                        for j in range(g.ow):
                            target[j] = source[j * g.sw]


@jit
def _add_planes(dcols, g, dplanes, dimage):
    """The transpose of `_copy_planes`: add where that copied, then leave the borders behind."""
    c = dimage.shape[2]
    rows = min(g.h, dplanes.shape[1] - g.top)
    columns = min(g.w, dplanes.shape[2] - g.left)
    dplanes[:] = 0
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(c):
                row = dcols[(ki * g.kw + kj) * c + ch]
                for i in range(g.oh):
                    source = row[i * g.ow : (i + 1) * g.ow]
                    target = dplanes[ch, i * g.sh + ki, kj:]
                    for j in range(g.ow):
                        target[j * g.sw] += source[j]
    for ch in range(c):
        for i in range(rows):
            source, target = dplanes[ch, i + g.top, g.left :], dimage[i]
            for j in range(columns):
                target[j, ch] = source[j]
