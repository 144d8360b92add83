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

The loops are compiled separately for each number of channels and filters. Only if these are
constants does the compiler know the distances between the cells of a tile, and only then does it
generate vector instructions: transforming a tile of 32 channels takes 0.4 us instead of 2.8.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from minicnn.engine.compiling import jit, named
from minicnn.engine.kernels.pooling import put_maxima
from minicnn.engine.kernels.strided_matmul import add_matmul_of_transposed, matmul

TILE = 8
N_POINTS = TILE * TILE
# Index of the point (1, 1), whose powers are all 1: what is added there is added to all outputs.
POINT_ONE = TILE + 1
# Numbers at the end of a row. Without them rows would be a power of two apart in memory, and be
# mapped to the same lines of the cache.
GAP = 16
# Enough rows for an efficient matrix product; with more, v and product would not fit into the
# second-level cache.
TILES_PER_GROUP = 32


class Loops(NamedTuple):
    """Loops compiled for one kernel size, c channels and f filters: see `compiled_loops`."""

    forward: Callable[..., None]
    forward_pooled: Callable[..., None]
    gradients: Callable[..., None]


def compiled_loops(a: np.ndarray, b: np.ndarray, c: int, f: int) -> Loops:
    """Compile the loops over tiles.

    Parameters
    ----------
    a, b : ndarray (8, m), (8, 8)
        The matrices A and B of the transforms. Their dtype is that of all arrays.
    c, f : int
        Channels and filters.

    Returns
    -------
    Loops
        Three functions that write into their last arguments:

        - forward(x, u, bias, g, y) with the transformed kernel u (64, c, f).
        - forward_pooled(x, u, bias, g, pool, winner, floor, y): maxima of the outputs, which are
          pooled while they are in the cache; winner, floor and y as in `pooling.put_maxima`.
        - gradients(x, dy, u_transposed, g, dx, du) adds to dx (n, h, w, c) and du (64, c, f).
          Either may be empty, and is not computed then.
    """
    m = a.shape[1]
    dtype = a.dtype
    zero_and_one = np.array([0, 1], dtype)
    variant = f"{m}_{c}_{f}_{dtype}"
    input_transform = _images_to_points(np.ascontiguousarray(b.T), m, c)  # B' d B
    output_transposed = _images_to_points(a, m, f)  # A dY A'
    output_transform = _points_to_images(np.ascontiguousarray(a.T), m, f, add=False)  # A' M A
    input_transposed = _points_to_images(b, m, c, add=True)  # B (...) B'

    @register_jitable
    @named("new_workspace", variant)
    def new_workspace(g):
        """How many images are processed at a time, and scratch for transforms of their tiles."""
        tiles = -(-g.oh // m) * -(-g.ow // m)
        images = max(1, TILES_PER_GROUP // tiles)
        v = np.empty((images * tiles, N_POINTS * c + GAP), dtype)
        product = np.empty((images * tiles, N_POINTS * f + GAP), dtype)
        return images, v, product

    @register_jitable
    @named("put_outputs", variant)
    def put_outputs(x, u, bias, g, v, product, y):
        """Write the outputs of a group of images x, for which v and product have room, into y."""
        rows = input_transform(x, g, g.top, g.left, v)
        for p in range(N_POINTS):
            v_p, product_p = v[:rows, p * c : (p + 1) * c], product[:rows, p * f : (p + 1) * f]
            matmul(v_p, u[p], product_p, zero_and_one)
        for row in range(rows):
            at_one = product[row, POINT_ONE * f :]
            for o in range(f):
                at_one[o] += bias[o]
        output_transform(product, g, 0, 0, y)

    @jit
    @named("forward", variant)
    def forward(x, u, bias, g, y):
        images, v, product = new_workspace(g)
        for first in range(0, len(x), images):
            group = slice(first, min(first + images, len(x)))
            put_outputs(x[group], u, bias, g, v, product, y[group])
            put_bias_on_blanks(x[group], bias, g, y[group])

    @jit
    @named("forward_pooled", variant)
    def forward_pooled(x, u, bias, g, pool, winner, floor, y):
        images, v, product = new_workspace(g)
        z = np.empty((images, g.oh, g.ow, f), dtype)
        for first in range(0, len(x), images):
            group = slice(first, min(first + images, len(x)))
            outputs = z[: group.stop - first]
            put_outputs(x[group], u, bias, g, v, product, outputs)
            put_bias_on_blanks(x[group], bias, g, outputs)
            put_maxima(outputs, pool, winner[group], floor, y[group])

    @jit
    @named("gradients", variant)
    def gradients(x, dy, u_transposed, g, dx, du):
        images, v, z = new_workspace(g)
        for first in range(0, len(dy), images):
            last = min(first + images, len(dy))
            rows = output_transposed(dy[first:last], g, 0, 0, z)
            if len(dx):
                for p in range(N_POINTS):
                    v_p, z_p = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    matmul(z_p, u_transposed[p], v_p, zero_and_one)
                input_transposed(v, g, g.top, g.left, dx[first:last])
            if len(du):
                input_transform(x[first:last], g, g.top, g.left, v)
                for p in range(N_POINTS):
                    v_p, z_p = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    add_matmul_of_transposed(v_p, z_p, du[p], zero_and_one)

    return Loops(forward, forward_pooled, gradients)


def _images_to_points(matrix, m, c):
    """A function that cuts tiles out of images and transforms them: matrix @ tile @ matrix'.

    Parameters
    ----------
    matrix : ndarray (8, q)
        Tiles have q x q cells.
    m : int
        Distance between tiles, in pixels.
    c : int
        Channels of the images.

    Returns
    -------
    callable
        images_to_points(images, g, top, left, transformed) fills the first rows of `transformed`
        (tiles, 64*c + GAP) and returns their number. `top` and `left` are the padding.
    """
    q = matrix.shape[1]
    transform = _transform_to_points(matrix, c, f"{q}_{m}_{c}_{matrix.dtype}")

    @register_jitable
    @named("images_to_points", f"{q}_{m}_{c}_{matrix.dtype}")
    def images_to_points(images, g, top, left, transformed):
        n, h, w, _ = images.shape
        across = -(-g.ow // m)
        tiles = -(-g.oh // m) * across
        tile, half = np.empty(N_POINTS * c, images.dtype), np.empty(N_POINTS * c, images.dtype)
        for number in range(n * tiles):
            pixels = images[number // tiles].reshape(h, w * c)
            row = number % tiles // across * m - top
            column = number % across * m - left
            start, stop = max(0, -column) * c, min(q, w - column) * c
            if min(row, column) < 0 or row + q > h or column + q > w:
                tile[:] = 0  # what is outside the image
            for i in range(max(0, -row), min(q, h - row)):
                source = pixels[row + i, column * c + start : column * c + stop]
                target = tile[i * TILE * c + start : i * TILE * c + stop]
                for e in range(len(source)):
                    target[e] = source[e]
            transform(tile, q, half)
            transform(half, TILE, transformed[number])
        return n * tiles

    return images_to_points


def _points_to_images(matrix, m, c, add):
    """The transpose of `_images_to_points`, for a matrix (q, 8).

    points_to_images(transformed, g, top, left, images) writes the transforms matrix @ ... @ matrix'
    into the images, or adds them if `add` is true, as is needed where tiles overlap.
    """
    q = matrix.shape[0]
    transform = _transform_from_points(matrix, c, f"{q}_{m}_{c}_{matrix.dtype}")

    @register_jitable
    @named("points_to_images", f"{q}_{m}_{c}_{matrix.dtype}")
    def points_to_images(transformed, g, top, left, images):
        n, h, w, _ = images.shape
        across = -(-g.ow // m)
        tiles = -(-g.oh // m) * across
        tile, half = np.empty(N_POINTS * c, images.dtype), np.empty(N_POINTS * c, images.dtype)
        for number in range(n * tiles):
            transform(transformed[number], TILE, half)
            transform(half, q, tile)
            pixels = images[number // tiles].reshape(h, w * c)
            row = number % tiles // across * m - top
            column = number % across * m - left
            start, stop = max(0, -column) * c, min(q, w - column) * c
            for i in range(max(0, -row), min(q, h - row)):
                target = pixels[row + i, column * c + start : column * c + stop]
                source = tile[i * TILE * c + start : i * TILE * c + stop]
                for e in range(len(source)):
                    target[e] = target[e] + source[e] if add else source[e]

    return points_to_images


# Points come in pairs p and -p, which are rows 1 and 2, 3 and 4, 5 and 6 of the matrix. Their even
# powers are equal and their odd powers opposite, so half of the multiplications serve both. The
# matrix is a constant for the compiler, which unrolls these loops and drops products with 0.


def _transform_to_points(matrix, c, variant):
    """The transform of a tile in one dimension, by a matrix (8, q).

    transform(source, lines, target) computes, for the first `lines` columns k of a tile,

        target[k, i] = sum over j of matrix[i, j] * source[j, k]

    The result is transposed, so a second call transforms the other dimension.
    """
    q = matrix.shape[1]
    last = TILE - 1
    zero = matrix.dtype.type(0)

    @register_jitable(fastmath=False)  # see `compiling.named`
    @named("transform_to_points", variant)
    def transform(source, lines, target):
        for k in range(lines):
            for ch in range(c):
                s, t = k * c + ch, k * TILE * c + ch
                at_zero, at_infinity = zero, zero
                for j in range(q):
                    if matrix[0, j] != 0:
                        at_zero += matrix[0, j] * source[s + j * TILE * c]
                    if matrix[last, j] != 0:
                        at_infinity += matrix[last, j] * source[s + j * TILE * c]
                target[t] = at_zero
                target[t + last * c] = at_infinity
                for i in range(1, last, 2):
                    even, odd = zero, zero
                    for j in range(q):
                        if matrix[i, j] != matrix[i + 1, j]:
                            odd += matrix[i, j] * source[s + j * TILE * c]
                        elif matrix[i, j] != 0:
                            even += matrix[i, j] * source[s + j * TILE * c]
                    target[t + i * c] = even + odd
                    target[t + (i + 1) * c] = even - odd

    return transform


def _transform_from_points(matrix, c, variant):
    """Like `_transform_to_points`, for a matrix (q, 8), whose columns come in pairs."""
    q = matrix.shape[0]
    last = TILE - 1
    zero = matrix.dtype.type(0)

    @register_jitable(fastmath=False)
    @named("transform_from_points", variant)
    def transform(source, lines, target):
        for k in range(lines):
            for ch in range(c):
                s, t = k * c + ch, k * TILE * c + ch
                for i in range(q):
                    total = zero
                    if matrix[i, 0] != 0:
                        total += matrix[i, 0] * source[s]
                    if matrix[i, last] != 0:
                        total += matrix[i, last] * source[s + last * TILE * c]
                    for j in range(1, last, 2):
                        plus = source[s + j * TILE * c]
                        minus = source[s + (j + 1) * TILE * c]
                        if matrix[i, j] != matrix[i, j + 1]:
                            total += matrix[i, j] * (plus - minus)
                        elif matrix[i, j] != 0:
                            total += matrix[i, j] * (plus + minus)
                    target[t + i * c] = total

    return transform


@jit
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
                if blank[top:bottom, left:right].all():
                    pixel = y[image, i, j]
                    for o in range(len(bias)):
                        pixel[o] = 0 * pixel[o] + bias[o]  # NaN stays NaN
