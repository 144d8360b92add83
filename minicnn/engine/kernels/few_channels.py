"""Convolution of images of few channels, as in a first layer, without copying the windows.

`im2col` copies windows row by row, which is slow for one channel: five values at a time for a
kernel of 5x5. Here every channel is stored as a channel plane, its image with a border of zeros.
The values that one cell of the window has at all positions are then a plane again, shifted by the
cell's offset. So the matrix of windows is a strided view of the planes, with one offset per cell,
and `matmul_block` multiplies it without copying:

    y[i, j, o] = bias[o] + sum over cells k of
                 planes.flat[i*sh*width + j*sw + offsets[k]] * matrix[k, o]

Memory layout, for one channel, a 2x2 window and planes that are 5 values wide:

    plane                    cells of the window     their offsets
    0  0  0  0  0
    0  a  b  c  0                 0   1                  0   1
    0  d  e  f  0                 2   3                  5   6
    0  0  0  0  0

    planes (c, height, width)        channel by channel
    offsets (kh*kw*c,)               cell k = (ki*kw + kj)*c + channel
    matrix (kh*kw*c, filters)        the kernel; filters rounded up to a multiple of BLOCK_COLUMNS
    z (1, oh, positions, filters)    the outputs of one image; ow, rounded up to a multiple of
                                     BLOCK_ROWS, gives the number of positions

The backward pass uses BLAS, which needs the windows as a matrix. Unlike in `im2col` it has a row
for each cell of the window, with the values of this cell at all positions:

    cols (kh*kw*c, oh*ow)            dkernel = cols @ dy,  dcols = kernel @ dy'
"""

import numpy as np

from minicnn.engine.compiling import inlined, jit
from minicnn.engine.kernels.pooling import no_pooling, put_maxima
from minicnn.engine.kernels.vector_registers import BLOCK_COLUMNS, BLOCK_ROWS, matmul_block


def forward(x, kernel, bias, g):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), kernel (kh, kw, c, f) and bias (f,)."""
    y = np.empty((len(x), g.oh, g.ow, len(bias)), x.dtype)
    _forward(x, kernel, bias, g, *no_pooling(g, x), y)
    return y


def forward_pooled(x, kernel, bias, g, pool, winner, floor):
    """Forward pass of a convolution and the max pooling after it.

    Each image is pooled while its outputs, four times as many numbers, are still in the cache.

    Parameters
    ----------
    x, kernel, bias, g
        As in `forward`.
    pool : Geometry
        Of the pooling.
    winner, floor
        As in `pooling.forward`.

    Returns
    -------
    ndarray (n, ph, pw, f)
        Maxima of the outputs; ph and pw are pool.oh and pool.ow.
    """
    y = np.empty((len(x), pool.oh, pool.ow, len(bias)), x.dtype)
    _forward(x, kernel, bias, g, pool, winner, floor, y)
    return y


@jit
def _forward(x, kernel, bias, g, pool, winner, floor, y):
    """Write the outputs, or their maxima, into y; see `no_pooling`."""
    planes, offsets, matrix, z = _workspace(kernel, g)
    for image in range(len(x)):
        this = slice(image, image + 1)
        _copy_to_planes(x[image], g, planes)
        _put_outputs(planes, offsets, matrix, bias, g, z)
        if pool.kh > 0:
            put_maxima(z, pool, winner[this], floor, y[this])
        else:
            for i in range(g.oh):
                for j in range(g.ow):
                    for o in range(len(bias)):
                        y[image, i, j, o] = z[0, i, j, o]


@inlined
def _workspace(kernel, g):
    """The arrays planes, offsets, matrix and z of the module's docstring; planes and z are scratch.

    Outputs are computed in blocks of BLOCK_ROWS positions and BLOCK_COLUMNS filters, so z and the
    matrix are padded to whole blocks.
    """
    c, f = kernel.shape[2:]
    positions = -(-g.ow // BLOCK_ROWS) * BLOCK_ROWS
    filters = -(-f // BLOCK_COLUMNS) * BLOCK_COLUMNS
    planes = _padded_planes(g, positions, c, kernel.dtype)
    offsets = np.empty(g.kh * g.kw * c, np.intp)
    matrix = np.zeros((len(offsets), filters), kernel.dtype)
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(c):
                cell = (ki * g.kw + kj) * c + ch
                offsets[cell] = (ch * planes.shape[1] + ki) * planes.shape[2] + kj
                for o in range(f):  # a loop, as assignment to a slice takes seconds to compile
                    matrix[cell, o] = kernel[ki, kj, ch, o]
    return planes, offsets, matrix, np.empty((1, g.oh, positions, filters), kernel.dtype)


@inlined
def _put_outputs(planes, offsets, matrix, bias, g, z):
    """Write the outputs of one image into z: products of all windows and the kernel, plus bias."""
    filters = matrix.shape[1]
    for i in range(g.oh):
        for j in range(0, z.shape[2], BLOCK_ROWS):
            window = i * g.sh * planes.shape[2] + j * g.sw
            for first in range(0, filters, BLOCK_COLUMNS):
                start = (i * z.shape[2] + j) * filters + first
                matmul_block(
                    BLOCK_ROWS, BLOCK_COLUMNS, z, start, filters, planes, window, g.sw, offsets,
                    matrix, first, filters, len(offsets), len(offsets), 0,
                )  # fmt: skip
        for j in range(g.ow):
            pixel = z[0, i, j]
            for o in range(len(bias)):
                pixel[o] += bias[o]


@jit
def grad_input(dy, kernel, g):
    """Gradient dx (n, h, w, c) of the images, from dy (n, oh, ow, f) and the kernel."""
    n, _, _, f = dy.shape
    c = kernel.shape[2]
    matrix = kernel.reshape(g.kh * g.kw * c, f)
    dplanes = _padded_planes(g, g.ow, c, dy.dtype)
    dcols = np.empty((g.kh * g.kw * c, g.oh * g.ow), dy.dtype)
    dx = np.zeros((n, g.h, g.w, c), dy.dtype)
    for image in range(n):
        np.dot(matrix, dy[image].reshape(g.oh * g.ow, f).T, dcols)
        _col2im(dcols, g, dplanes, dx[image])
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
        _copy_to_planes(x[image], g, planes)
        _im2col(planes, g, cols)
        np.dot(cols, dy[image].reshape(g.oh * g.ow, f), product)
        dkernel += product
    return dkernel.reshape(g.kh, g.kw, c, f)


@inlined
def _padded_planes(g, positions, c, dtype):
    """Zeros for the planes of one image, as far as `positions` windows in each row extend."""
    return np.zeros((c, (g.oh - 1) * g.sh + g.kh, (positions - 1) * g.sw + g.kw), dtype)


@inlined
def _copy_to_planes(image, g, planes):
    """Fill `planes` with the channels of an image; the borders are 0 and remain 0."""
    rows = min(g.h, planes.shape[1] - g.top)
    columns = min(g.w, planes.shape[2] - g.left)
    for ch in range(image.shape[2]):
        for i in range(rows):
            source, target = image[i], planes[ch, i + g.top, g.left :]
            for j in range(columns):
                target[j] = source[j, ch]


@inlined
def _im2col(planes, g, cols):
    """Fill `cols` with the values that each cell of the window has at all positions."""
    for ki in range(g.kh):
        for kj in range(g.kw):
            for ch in range(len(planes)):
                row = cols[(ki * g.kw + kj) * len(planes) + ch]
                for i in range(g.oh):
                    source = planes[ch, i * g.sh + ki, kj:]
                    target = row[i * g.ow : (i + 1) * g.ow]
                    if g.sw == 1:  # if known to the compiler, it generates vector instructions
                        for j in range(g.ow):
                            target[j] = source[j]
                    else:
                        for j in range(g.ow):
                            target[j] = source[j * g.sw]


@inlined
def _col2im(dcols, g, dplanes, dimage):
    """The transpose of `_copy_to_planes` and `_im2col`: add, then drop the borders."""
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
