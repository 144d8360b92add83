"""Convolution of images of few channels, a first layer's, without copies of their windows.

`im2col` copies windows, row of pixels by row of pixels: of one channel, five numbers at a time.
Here a channel is a plane, with its border, and what the windows at all positions have in one and
the same cell is the plane, seen from that cell on. So the matrix of windows is a view of the planes
with a stride for each cell, and `put_products` multiplies it as it lies there.

On the way back BLAS multiplies, and wants a matrix:

    cols (kh*kw*c, oh*ow)        y (oh*ow, f)  =  cols' @ kernel (kh*kw*c, f)
"""

import numpy as np
from numba.extending import register_jitable

from minicnn.kernels.jit import jit
from minicnn.kernels.pooling import put_maxima
from minicnn.kernels.registers import BLOCK, ROWS, put_products


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
    y = np.empty((len(x), g.oh, g.ow, kernel.shape[3]), x.dtype)
    planes, cells, matrix, z = _multiplied(kernel, g)
    for image in range(len(x)):
        _copy_image(x[image], g, planes)
        _put_outputs(planes, cells, matrix, bias, g, z)
        for i in range(g.oh):
            for j in range(g.ow):
                for o in range(len(bias)):
                    y[image, i, j, o] = z[0, i, j, o]
    return y


@jit
def forward_pooled(x, kernel, bias, g, pool, winner, floor):
    """The maxima of `forward`'s outputs: see `pooling.forward`.

    Each image is pooled while its outputs, four times as many numbers, are in the cache.
    """
    y = np.empty((len(x), pool.oh, pool.ow, kernel.shape[3]), x.dtype)
    planes, cells, matrix, z = _multiplied(kernel, g)
    for image in range(len(x)):
        this = slice(image, image + 1)
        _copy_image(x[image], g, planes)
        _put_outputs(planes, cells, matrix, bias, g, z)
        put_maxima(z, pool, winner[this], floor, y[this])
    return y


@jit
def _multiplied(kernel, g):
    """Room for an image's planes and outputs, and what is multiplied with the planes.

    Outputs are made in blocks of `ROWS` positions and `BLOCK` filters, so there are rooms and
    columns of the kernel up to the next multiple. `cells` says how far the cells of a window are
    from its first, and `matrix` what each of them is multiplied with.
    """
    c, f = kernel.shape[2:]
    width, filters = -(-g.ow // ROWS) * ROWS, -(-f // BLOCK) * BLOCK
    planes = _padded_planes(g, width, c, kernel.dtype)
    cells = np.empty(g.kh * g.kw * c, np.intp)
    matrix = np.zeros((len(cells), filters), kernel.dtype)
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(c):
                cell = (ki * g.kw + kj) * c + ch
                cells[cell] = (ch * planes.shape[1] + ki) * planes.shape[2] + kj
                for o in range(f):  # in loops: to assign arrays to slices compiles for seconds more
                    matrix[cell, o] = kernel[ki, kj, ch, o]
    return planes, cells, matrix, np.empty((1, g.oh, width, filters), kernel.dtype)


@register_jitable
def _put_outputs(planes, cells, matrix, bias, g, z):
    """z (1, oh, width, filters): products of all windows of an image with the kernel, and bias."""
    filters = matrix.shape[1]
    for i in range(g.oh):
        for j in range(0, z.shape[2], ROWS):
            window = i * g.sh * planes.shape[2] + j * g.sw
            for first in range(0, filters, BLOCK):
                at = (i * z.shape[2] + j) * filters + first
                put_products(
                    ROWS, BLOCK, z, at, filters, planes, window, g.sw, cells,
                    matrix, first, filters, len(cells),
                )  # fmt: skip
        for j in range(g.ow):
            pixel = z[0, i, j]
            for o in range(len(bias)):
                pixel[o] += bias[o]


@jit
def grad_input(dy, kernel, g):
    """Gradient dx (n, h, w, c) of the input, from that of the output, dy (n, oh, ow, f)."""
    n, _, _, f = dy.shape
    c = kernel.shape[2]
    matrix = kernel.reshape(g.kh * g.kw * c, f)
    dplanes = _padded_planes(g, g.ow, c, dy.dtype)
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
    planes = _padded_planes(g, g.ow, c, x.dtype)
    cols = np.empty((g.kh * g.kw * c, g.oh * g.ow), x.dtype)
    product = np.empty((g.kh * g.kw * c, f), x.dtype)
    dkernel = np.zeros((g.kh * g.kw * c, f), x.dtype)
    for image in range(n):
        _copy_image(x[image], g, planes)
        _copy_windows(planes, g, cols)
        np.dot(cols, dy[image].reshape(g.oh * g.ow, f), product)
        dkernel += product
    return dkernel.reshape(g.kh, g.kw, c, f)


@jit
def _padded_planes(g, positions, c, dtype):
    """Zeros for the channels of an image and their borders: as far as windows reach."""
    return np.zeros((c, (g.oh - 1) * g.sh + g.kh, (positions - 1) * g.sw + g.kw), dtype)


@jit
def _copy_image(image, g, planes):
    """Fill `planes` with the channels of an image; the borders are zero and stay so."""
    rows = min(g.h, planes.shape[1] - g.top)
    columns = min(g.w, planes.shape[2] - g.left)
    for ch in range(image.shape[2]):
        for i in range(rows):
            source, target = image[i], planes[ch, i + g.top, g.left :]
            for j in range(columns):
                target[j] = source[j, ch]


@jit
def _copy_windows(planes, g, cols):
    """Fill `cols` with what the windows have in each of their cells."""
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(len(planes)):
                row = cols[(ki * g.kw + kj) * len(planes) + ch]
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
    """The transpose of both: add where they copied, then leave the borders behind."""
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
