"""The loops of Winograd's convolution: transforms of tiles, and one matrix product for each point.

    V = B' d B        input transform of a tile d
    M = V * U         at each of the n x n points, summed over the channels
    Y = A' M A        output transform, which gives m x m outputs

The backward pass uses the transposed transforms, A dY A' and B (...) B': see `winograd`.

A tile has n x n cells, and its transform has n x n values, one for each pair of the points at which
polynomials are evaluated. Both have c values for each of them (channels or filters). Memory layout,
for n = 7:

    tile (49*c,)                     | cell (0, 0): c values | cell (0, 1) | ... | cell (6, 6) |
                                     (outputs use the upper left m x m cells only)

    v (tiles, 49*c + GAP)            tile 0: | point 0: c values | point 1 | ... | point 48 | GAP |
    product (tiles, 49*f + GAP)      tile 1: | point 0: c values | ...
    u (49, c, f)                     | point 0: c x f values | point 1 | ...

So the values of all tiles at point p are a block of columns, and the sum over channels is

    product[:, p*f : (p + 1)*f] (tiles, f)  =  v[:, p*c : (p + 1)*c] (tiles, c)  @  u[p] (c, f)

c and f are multiples of SHORT. The products are made in blocks of BLOCK_ROWS rows, so v and
product have some more rows, and du more channels, than are used.
"""

import numpy as np

from minicnn.engine.compiling import called_by_kernels, inlined, jit
from minicnn.engine.kernels.near_ties import decide_near_ties
from minicnn.engine.kernels.pooling import is_2x2_inside, put_maxima
from minicnn.engine.kernels.vector_registers import (
    BLOCK_ROWS,
    BLOCK_VECTORS,
    SHORT,
    VECTOR,
    matmul_block,
    multiples,
)
from minicnn.engine.kernels.winograd_matrices import tile_size
from minicnn.engine.kernels.winograd_transforms import (
    ADD_DX,
    DX,
    DY,
    INPUT,
    OUTPUT,
    transform_tile,
)

TILE_OF_3, TILE_OF_5 = tile_size(3), tile_size(5)
# Numbers at the end of a row. Without them rows could be a power of two apart in memory, and be
# mapped to the same lines of the cache. Blocks of BLOCK_ROWS channels may extend into them.
GAP = 16
# Enough rows for an efficient matrix product; with more, v and product would not fit into the
# second-level cache.
TILES_PER_GROUP = 32
# So many groups of tiles are cut from the same images, if these are small. With only one, the last
# block of rows would often be filled in part: an image of 14x14 has 25 tiles for a 5x5 kernel.
GROUPS = 8
# So many products at a time are added up, and then these sums: most of the rounding error is that
# of the sums over the channels.
TERMS = 16


@jit
def put_outputs(x, kernel, u, bias, g, pool, winner, floor, y):
    """Outputs of a convolution, or their maxima, pooled while they are in the cache.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
    kernel : ndarray (kh, kw, c, f)
        It may have fewer channels and filters than u.
    u : ndarray (n*n, c, f)
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
    images, tiles, v, product = _workspace(len(x), g, x.shape[3], f, x.dtype)
    z = np.empty((images if pooled else 0, g.oh, g.ow, f), x.dtype)
    for first in range(0, len(x), images):
        last = min(first + images, len(x))
        outputs = z[: last - first] if pooled else y[first:last]
        _put_group(x[first:last], u, bias, g, tiles, v, product, outputs)
        put_bias_on_blanks(x[first:last], bias, g, outputs)
        if pooled:
            put_maxima(outputs, pool, winner[first:last], floor, y[first:last])
            if is_2x2_inside(pool):
                decide_near_ties(
                    x[first:last], kernel, bias, g, outputs, pool, winner[first:last], floor,
                    y[first:last],
                )  # fmt: skip


@jit
def add_gradients(x, dy, u_transposed, g, dx, du):
    """Add to dx (n, h, w, c) and du (n*n, c, f); either may be empty, and is not computed then.

    c of du is rounded up to whole blocks of BLOCK_ROWS; what is in excess is not defined.
    """
    images, most, v, z = _workspace(len(dy), g, x.shape[3], dy.shape[3], x.dtype)
    no_bias = np.empty(0, x.dtype)
    for start in range(0, len(dy), images):
        stop = min(start + images, len(dy))
        tiles = (stop - start) * _tiles(g.oh, g) * _tiles(g.ow, g)
        for first in range(0, tiles, most):
            last = min(first + most, tiles)
            _transform(DY, dy[start:stop], g, first, last, z, no_bias)
            if len(dx):
                _put_products(z, u_transposed, last - first, v)
                _transform(DX, dx[start:stop], g, first, last, v, no_bias)
            if len(du):
                _transform(INPUT, x[start:stop], g, first, last, v, no_bias)
                _add_products(v, z, last - first, du)


@inlined
def _put_group(x, u, bias, g, most, v, product, y):
    """Write the outputs of some images into y, at most so many tiles at a time."""
    tiles = len(x) * _tiles(g.oh, g) * _tiles(g.ow, g)
    for first in range(0, tiles, most):
        last = min(first + most, tiles)
        _transform(INPUT, x, g, first, last, v, bias)
        _put_products(v, u, last - first, product)
        _transform(OUTPUT, y, g, first, last, product, bias)


@inlined
def _put_products(v, u, tiles, product):
    """At each point, product = v @ u, the sum over the channels, for the first `tiles` rows."""
    points, c, f = u.shape
    _multiply(
        points, tiles, f, product, f, product.shape[1], v, c, v.shape[1], multiples(c, 1),
        u, c * f, f, c, 0,
    )  # fmt: skip


@inlined
def _add_products(v, z, tiles, du):
    """At each point, add v' @ z, the sum over the first `tiles` rows, to du."""
    points, rows, f = du.shape
    c = v.shape[1] // points  # a gap is smaller than one number for each point
    _multiply(
        points, rows, f, du, rows * f, f, v, c, 1, multiples(tiles, v.shape[1]),
        z, f, z.shape[1], tiles, 1,
    )  # fmt: skip


@inlined
def _multiply(
    points, rows, f, out, out_point, out_row, x, x_point, x_row, x_offsets,
    y, y_point, y_row, count, add,
):  # fmt: skip
    """One matrix product (rows, f) for each point, in blocks.

    `out_point` and `out_row` are the distances between points and between rows, in numbers; the
    same for x and y. `x_offsets`, `count` and `add` are those of `matmul_block`.
    """
    lanes = VECTOR // out.itemsize
    for p in range(points):
        first = 0
        while first < f:
            columns = _block_columns(f - first, lanes)
            for row in range(0, rows, BLOCK_ROWS):
                matmul_block(
                    BLOCK_ROWS, columns, out, p * out_point + row * out_row + first, out_row,
                    x, p * x_point + row * x_row, x_row, x_offsets,
                    y, p * y_point + first, y_row, count, TERMS, add,
                )  # fmt: skip
            first += columns


@inlined
def _block_columns(left, lanes):
    """How many columns the next block of a product has, if so many are left."""
    if left >= BLOCK_VECTORS * lanes:
        return BLOCK_VECTORS * lanes
    return lanes if left >= lanes else SHORT


@inlined
def _tile(g):
    """Height and width n of a tile."""
    return TILE_OF_3 if g.kh == 3 else TILE_OF_5


@inlined
def _tiles(outputs, g):
    """How many tiles give so many outputs in one dimension."""
    m = _tile(g) + 1 - g.kh
    return -(-outputs // m)


@inlined
def _workspace(samples, g, c, f, dtype):
    """How many images and tiles are processed at a time, and scratch for the tiles' transforms.

    Large images have more tiles than are transformed at a time.
    """
    tiles, points = _tiles(g.oh, g) * _tiles(g.ow, g), _tile(g) ** 2
    images = min(samples, max(1, GROUPS * TILES_PER_GROUP // tiles))
    most = min(images * tiles, TILES_PER_GROUP)
    rows = -(-most // BLOCK_ROWS) * BLOCK_ROWS
    v, product = (
        np.empty((rows, points * c + GAP), dtype),
        np.empty((rows, points * f + GAP), dtype),
    )
    _set_unused_to_zero(v, most)
    _set_unused_to_zero(product, most)
    return images, most, v, product


@inlined
def _set_unused_to_zero(array, tiles):
    """The gaps, and the rows that only complete a block: arbitrary numbers can be slow, or NaN."""
    rows, length = array.shape
    for row in range(rows):
        for i in range(length - GAP if row < tiles else 0, length):
            array[row, i] = 0


@inlined
def _place(number, transform, g):
    """The image of a tile, its upper left cell, and its size.

    The tiles of all images are numbered. For outputs and their gradients a tile is m x m cells
    large; for inputs and theirs n x n, and it may begin in the padding.
    """
    m, across = _tile(g) + 1 - g.kh, _tiles(g.ow, g)
    tiles = _tiles(g.oh, g) * across
    row, column = number % tiles // across * m, number % across * m
    if transform in (OUTPUT, DY):
        return number // tiles, row, column, m
    return number // tiles, row - g.top, column - g.left, _tile(g)


@called_by_kernels
def _transform(transform, images, g, first, last, points, bias):
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
    points : ndarray (tiles, n*n*c + GAP)
        The transformed tiles, in its first rows.
    bias : ndarray (c,)
        Added to outputs, and not used otherwise.
    """
    _, h, w, c = images.shape
    n = _tile(g)
    pixels, transformed = images.reshape(-1), points.reshape(-1)
    tile = np.empty(n * n * c, images.dtype)
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
        target, target_start, target_row = transformed, (number - first) * points.shape[1], n * c
        if into_images:
            source, source_start, source_row, target, target_start, target_row = (
                target, target_start, target_row, source, source_start, source_row,
            )  # fmt: skip
        kind = ADD_DX if transform == DX and inside else transform
        for ch in range(0, c, lanes):
            transform_tile(
                kind, g.kh, min(lanes, c - ch), source, source_start + ch, source_row, c,
                target, target_start + ch, target_row, c, bias, ch,
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
        blanks = 0
        for row in range(h):
            for column in range(w):
                pixel, ch = x[image, row, column], 0
                while ch < c and pixel[ch] == 0:
                    ch += 1
                blank[row, column] = ch == c
                blanks += ch == c
        for i in range(g.oh if blanks > 0 else 0):
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
