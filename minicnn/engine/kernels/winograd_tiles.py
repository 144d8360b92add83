"""The loops of Winograd's convolution: transforms of tiles, and one matrix product for each point.

    V = B' d B        input transform of a tile d
    M = V * U         at each of the 64 points, summed over the channels
    Y = A' M A        output transform, which gives m x m outputs

The backward pass uses the transposed transforms, A dY A' and B (...) B': see `winograd`.

A tile has 8x8 cells, and its transform has 8x8 values, one for each pair of the points at which
polynomials are evaluated. Both have c values for each of them (channels or filters). Memory layout:

    tile (64*c,)                     | cell (0, 0): c values | cell (0, 1) | ... | cell (7, 7) |
                                     (outputs use the upper left m x m cells only)

    v (tiles, 64*c + GAP)            tile 0: | point 0: c values | point 1 | ... | point 63 | GAP |
    product (tiles, 64*f + GAP)      tile 1: | point 0: c values | ...
    u (64, c, f)                     | point 0: c x f values | point 1 | ...

So the values of all tiles at point p are a block of columns, and the sum over channels is

    product[:, p*f : (p + 1)*f] (tiles, f)  =  v[:, p*c : (p + 1)*c] (tiles, c)  @  u[p] (c, f)

c and f are multiples of SHORT.
"""

import numpy as np

from minicnn.engine.compiling import called_by_kernels, inlined, jit
from minicnn.engine.kernels.pooling import put_maxima
from minicnn.engine.kernels.strided_matmul import add_matmul_of_transposed, matmul
from minicnn.engine.kernels.vector_registers import VECTOR
from minicnn.engine.kernels.winograd_matrices import TILE
from minicnn.engine.kernels.winograd_transforms import (
    ADD_DX,
    DX,
    DY,
    INPUT,
    OUTPUT,
    transform_tile,
)

N_POINTS = TILE * TILE
# Index of the point (1, 1), whose powers are all 1: what is added there is added to all outputs.
POINT_ONE = TILE + 1
# Numbers at the end of a row. Without them rows would be a power of two apart in memory, and be
# mapped to the same lines of the cache.
GAP = 16
# Enough rows for an efficient matrix product; with more, v and product would not fit into the
# second-level cache.
TILES_PER_GROUP = 32


@jit
def put_outputs(x, u, bias, g, pool, winner, floor, y):
    """Outputs of a convolution, or their maxima, pooled while they are in the cache.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
    u : ndarray (64, c, f)
        The transformed kernel.
    bias : ndarray (f,)
    g, pool : Geometry
        Of the convolution, and of the pooling, or `pooling.no_pooling`.
    winner, floor
        As in `pooling.put_maxima`.
    y : ndarray (n, oh, ow, f) or (n, ph, pw, f)
        Filled.
    """
    f, pooled = len(bias), pool.kh > 0
    images, v, product = _workspace(g, x.shape[3], f, x.dtype)
    z = np.empty((images if pooled else 0, g.oh, g.ow, f), x.dtype)
    for first in range(0, len(x), images):
        last = min(first + images, len(x))
        outputs = z[: last - first] if pooled else y[first:last]
        _put_group(x[first:last], u, bias, g, v, product, outputs)
        put_bias_on_blanks(x[first:last], bias, g, outputs)
        if pooled:
            put_maxima(outputs, pool, winner[first:last], floor, y[first:last])


@jit
def add_gradients(x, dy, u_transposed, g, dx, du):
    """Add to dx (n, h, w, c) and du (64, c, f); either may be empty, and is not computed then."""
    c, f = x.shape[3], dy.shape[3]
    images, v, z = _workspace(g, c, f, x.dtype)
    zero_and_one = np.array([0, 1], x.dtype)
    for start in range(0, len(dy), images):
        stop = min(start + images, len(dy))
        tiles = (stop - start) * _tiles(g.oh, g) * _tiles(g.ow, g)
        for first in range(0, tiles, len(v)):
            last = min(first + len(v), tiles)
            rows = last - first
            _transform(DY, dy[start:stop], g, first, last, z)
            if len(dx):
                for p in range(N_POINTS):
                    v_p, z_p = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    matmul(z_p, u_transposed[p], v_p, zero_and_one)
                _transform(DX, dx[start:stop], g, first, last, v)
            if len(du):
                _transform(INPUT, x[start:stop], g, first, last, v)
                for p in range(N_POINTS):
                    v_p, z_p = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    add_matmul_of_transposed(v_p, z_p, du[p], zero_and_one)


@inlined
def _put_group(x, u, bias, g, v, product, y):
    """Write the outputs of some images into y, as many tiles at a time as v and product hold."""
    _, c, f = u.shape
    zero_and_one = np.array([0, 1], x.dtype)
    tiles = len(x) * _tiles(g.oh, g) * _tiles(g.ow, g)
    for first in range(0, tiles, len(v)):
        last = min(first + len(v), tiles)
        rows = last - first
        _transform(INPUT, x, g, first, last, v)
        for p in range(N_POINTS):
            v_p, product_p = v[:rows, p * c : (p + 1) * c], product[:rows, p * f : (p + 1) * f]
            matmul(v_p, u[p], product_p, zero_and_one)
        for row in range(rows):
            at_one = product[row, POINT_ONE * f :]
            for o in range(f):
                at_one[o] += bias[o]
        _transform(OUTPUT, y, g, first, last, product)


@inlined
def _tiles(outputs, g):
    """How many tiles give so many outputs in one dimension."""
    m = TILE + 1 - g.kh
    return -(-outputs // m)


@inlined
def _workspace(g, c, f, dtype):
    """How many images are processed at a time, and scratch for transforms of some of their tiles.

    Large images have more tiles than are transformed at a time.
    """
    tiles = _tiles(g.oh, g) * _tiles(g.ow, g)
    images = max(1, TILES_PER_GROUP // tiles)
    groups = -(-images * tiles // TILES_PER_GROUP)
    rows = -(-images * tiles // groups)
    v = np.empty((rows, N_POINTS * c + GAP), dtype)
    return images, v, np.empty((rows, N_POINTS * f + GAP), dtype)


@inlined
def _place(number, transform, g):
    """The image of a tile, its upper left cell, and its size.

    The tiles of all images are numbered. For outputs and their gradients a tile is m x m cells
    large; for inputs and theirs 8 x 8, and it may begin in the padding.
    """
    m, across = TILE + 1 - g.kh, _tiles(g.ow, g)
    tiles = _tiles(g.oh, g) * across
    row, column = number % tiles // across * m, number % across * m
    if transform in (OUTPUT, DY):
        return number // tiles, row, column, m
    return number // tiles, row - g.top, column - g.left, TILE


@called_by_kernels
def _transform(transform, images, g, first, last, points):
    """Transform tiles of images: matrix @ tile @ matrix', or the other way round.

    Parameters
    ----------
    transform : int
        INPUT or DY: tiles are cut out of the images. OUTPUT or DX: they are put into the images,
        where those of DX, which overlap, are added.
    images : ndarray (n, h, w, c)
    g : Geometry
    first, last : int
        Numbers of the tiles.
    points : ndarray (tiles, 64*c + GAP)
        The transformed tiles, in its first rows.
    """
    _, h, w, c = images.shape
    pixels, transformed = images.reshape(-1), points.reshape(-1)
    tile = np.empty(N_POINTS * c, images.dtype)
    lanes = VECTOR // images.itemsize
    into_images = transform in (OUTPUT, DX)
    for number in range(first, last):
        image, row, column, q = _place(number, transform, g)
        inside = row >= 0 and column >= 0 and row + q <= h and column + q <= w
        cells, start, line = tile, 0, q * c
        if inside:
            cells, start, line = pixels, ((image * h + row) * w + column) * c, w * c
        elif not into_images:
            _copy_tile(images[image], row, column, q, tile)
        source, source_start, source_row = cells, start, line
        target, target_start, target_row = transformed, (number - first) * points.shape[1], TILE * c
        if into_images:
            source, source_start, source_row, target, target_start, target_row = (
                target, target_start, target_row, source, source_start, source_row,
            )  # fmt: skip
        kind = ADD_DX if transform == DX and inside else transform
        for ch in range(0, c, lanes):
            transform_tile(
                kind, g.kh, min(lanes, c - ch), source, source_start + ch, source_row, c,
                target, target_start + ch, target_row, c,
            )  # fmt: skip
        if into_images and not inside:
            _put_tile(tile, row, column, q, transform == DX, images[image])


@inlined
def _copy_tile(image, row, column, q, tile):
    """Copy q x q cells into a tile, with zeros for those outside the image."""
    h, w, c = image.shape
    tile[:] = 0
    left, right = max(0, -column), min(q, w - column)
    for i in range(max(0, -row), min(q, h - row)):
        source = image[row + i].reshape(-1)[(column + left) * c : (column + right) * c]
        target = tile[(i * q + left) * c :]
        for e in range(len(source)):
            target[e] = source[e]


@inlined
def _put_tile(tile, row, column, q, add, image):
    """Write or add to an image what a tile holds, but for cells outside the image."""
    h, w, c = image.shape
    left, right = max(0, -column), min(q, w - column)
    for i in range(max(0, -row), min(q, h - row)):
        target = image[row + i].reshape(-1)[(column + left) * c : (column + right) * c]
        source = tile[(i * q + left) * c :]
        for e in range(len(target)):
            target[e] = target[e] + source[e] if add else source[e]


@called_by_kernels
def put_bias_on_blanks(x, bias, g, y):
    """Set outputs to exactly the bias where the window contains nothing but zeros.

    If the same tile contains other pixels, Winograd's sums for such a window cancel only up to
    rounding errors. With biases of 0, as they are initially, these errors would decide whether a
    ReLU passes a gradient on the whole black border of a digit. In its very first step, Adam would
    then change biases by the full learning rate.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images.
    bias : ndarray (f,)
    g : Geometry
    y : ndarray (n, oh, ow, f)
        Outputs, which are modified. NaN remains NaN.
    """
    n, h, w, c = x.shape
    blank = np.empty((h, w), np.bool_)
    for image in range(n):
        for row in range(h):
            for column in range(w):
                pixel, ch = x[image, row, column], 0
                while ch < c and pixel[ch] == 0:
                    ch += 1
                blank[row, column] = ch == c
        for i in range(g.oh):
            top, bottom = max(0, i - g.top), min(h, i - g.top + g.kh)
            for j in range(g.ow):
                left, right = max(0, j - g.left), min(w, j - g.left + g.kw)
                pixels = 0  # that are not blank
                for row in range(top, bottom):
                    for column in range(left, right):
                        pixels += not blank[row, column]
                if pixels == 0:
                    pixel = y[image, i, j]
                    for o in range(len(bias)):
                        pixel[o] = 0 * pixel[o] + bias[o]  # NaN stays NaN
