"""The loops of Winograd's convolution: over tiles of images, and over the 64 points of a tile.

They are compiled anew for every number of channels and of filters. Only where these are constants
can the compiler see how far apart the cells of a tile are, and only then does it use vector
instructions: a tile of 32 channels is transformed in 0.4 us instead of 2.8.

A tile is a flat array of 8 x 8 cells, row by row, each with its channels; of a tile of outputs the
upper left m x m are in use. Its 8 x 8 points are a row of a stack, (tiles, 64*c + GAP): the numbers
of all tiles at one point are a block of columns, (tiles, c), ready to be multiplied.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from minicnn.kernels.jit import jit, named
from minicnn.kernels.pooling import put_maxima

TILE = 8
POINTS = TILE * TILE
# The point (1, 1), whose powers are all 1: what is added there is added to every output.
POINT_ONE = TILE + 1
GAP = (
    16  # numbers: without it rows would be a power of two apart, and fight for places in the cache
)
TILES_AT_ONCE = 32  # rows enough for a matrix product; more would leave the second-level cache


class Loops(NamedTuple):
    """Compiled for one size of kernel, c channels and f filters; see `compiled_loops`."""

    forward: Callable[..., None]
    forward_pooled: Callable[..., None]
    gradients: Callable[..., None]


def compiled_loops(a: np.ndarray, b: np.ndarray, c: int, f: int) -> Loops:
    """The loops for matrices A (8, m) and B (8, 8), for c channels and f filters.

    They write into their last arguments:

    - forward(x, u, bias, g, y): u (64, c, f) is the transformed kernel.
    - forward_pooled(x, u, bias, g, pool, winner, floor, y): maxima of outputs, and their winners:
      see `pooling.forward`. Outputs are pooled while they are in the cache.
    - gradients(x, dy, u_transposed, g, dx, du) adds to dx, and to du (64, c, f); either of them may
      be empty, and is left out then.
    """
    m = a.shape[1]
    dtype = a.dtype
    zero_and_one = np.array([0, 1], dtype)
    variant = f"{m}_{c}_{f}_{dtype}"
    input_points = _points_of_tiles(np.ascontiguousarray(b.T), m, c)  # B' d B
    output_points = _points_of_tiles(a, m, f)  # A dY A'
    put_outputs = _tiles_of_points(np.ascontiguousarray(a.T), m, f, add=False)  # A' (...) A
    add_inputs = _tiles_of_points(b, m, c, add=True)  # B (...) B'

    @register_jitable
    @named("new_stacks", variant)
    def new_stacks(g):
        tiles = -(-g.oh // m) * -(-g.ow // m)
        at_once = max(1, TILES_AT_ONCE // tiles)
        v = np.empty((at_once * tiles, POINTS * c + GAP), dtype)
        z = np.empty((at_once * tiles, POINTS * f + GAP), dtype)
        return at_once, v, z

    @register_jitable
    @named("put_some", variant)
    def put_some(x, u, bias, g, v, product, y):
        """Outputs y of as many images x as there is room for in the stacks."""
        rows = input_points(x, g, g.top, g.left, v)
        for p in range(POINTS):
            ours, theirs = v[:rows, p * c : (p + 1) * c], product[:rows, p * f : (p + 1) * f]
            matmul(ours, u[p], theirs, zero_and_one)
        for row in range(rows):
            at_one = product[row, POINT_ONE * f :]
            for o in range(f):
                at_one[o] += bias[o]
        put_outputs(product, g, 0, 0, y)

    @jit
    @named("forward", variant)
    def forward(x, u, bias, g, y):
        at_once, v, product = new_stacks(g)
        for first in range(0, len(x), at_once):
            some = slice(first, min(first + at_once, len(x)))
            put_some(x[some], u, bias, g, v, product, y[some])
            put_bias_on_blanks(x[some], bias, g, y[some])

    @jit
    @named("forward_pooled", variant)
    def forward_pooled(x, u, bias, g, pool, winner, floor, y):
        at_once, v, product = new_stacks(g)
        z = np.empty((at_once, g.oh, g.ow, f), dtype)
        for first in range(0, len(x), at_once):
            some = slice(first, min(first + at_once, len(x)))
            outputs = z[: some.stop - first]
            put_some(x[some], u, bias, g, v, product, outputs)
            put_bias_on_blanks(x[some], bias, g, outputs)
            put_maxima(outputs, pool, winner[some], floor, y[some])

    @jit
    @named("gradients", variant)
    def gradients(x, dy, u_transposed, g, dx, du):
        at_once, v, z = new_stacks(g)
        for first in range(0, len(dy), at_once):
            last = min(first + at_once, len(dy))
            rows = output_points(dy[first:last], g, 0, 0, z)
            if len(dx):
                for p in range(POINTS):
                    ours, theirs = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    matmul(theirs, u_transposed[p], ours, zero_and_one)
                add_inputs(v, g, g.top, g.left, dx[first:last])
            if len(du):
                input_points(x[first:last], g, g.top, g.left, v)
                for p in range(POINTS):
                    ours, theirs = v[:rows, p * c : (p + 1) * c], z[:rows, p * f : (p + 1) * f]
                    add_matmul_of_transposed(ours, theirs, du[p], zero_and_one)

    return Loops(forward, forward_pooled, gradients)


def _points_of_tiles(matrix, m, c):
    """points(images, g, top, left, stack): tiles cut out and transformed; returns their number.

    `matrix` (8, q) says what is evaluated; tiles of q x q cells stand m cells apart.
    """
    q = matrix.shape[1]
    combine = _evaluation(matrix, c, f"{q}_{m}_{c}_{matrix.dtype}")

    @register_jitable
    @named("points", f"{q}_{m}_{c}_{matrix.dtype}")
    def points(images, g, top, left, stack):
        n, h, w, _ = images.shape
        across = -(-g.ow // m)
        tiles = -(-g.oh // m) * across
        tile, half = np.empty(POINTS * c, images.dtype), np.empty(POINTS * c, images.dtype)
        for number in range(n * tiles):
            pixels = images[number // tiles].reshape(h, w * c)
            row = number % tiles // across * m - top
            column = number % across * m - left
            start, stop = max(0, -column) * c, min(q, w - column) * c
            if min(row, column) < 0 or row + q > h or column + q > w:
                tile[:] = 0  # what lies outside the image
            for i in range(max(0, -row), min(q, h - row)):
                source = pixels[row + i, column * c + start : column * c + stop]
                target = tile[i * TILE * c + start : i * TILE * c + stop]
                for e in range(len(source)):
                    target[e] = source[e]
            combine(tile, q, half)
            combine(half, TILE, stack[number])
        return n * tiles

    return points


def _tiles_of_points(matrix, m, c, add):
    """put(stack, g, top, left, images): transformed and put, or added where tiles overlap.

    `matrix` is (q, 8), the rest as in `_points_of_tiles`, whose transpose this is.
    """
    q = matrix.shape[0]
    combine = _interpolation(matrix, c, f"{q}_{m}_{c}_{matrix.dtype}")

    @register_jitable
    @named("put", f"{q}_{m}_{c}_{matrix.dtype}")
    def put(stack, g, top, left, images):
        n, h, w, _ = images.shape
        across = -(-g.ow // m)
        tiles = -(-g.oh // m) * across
        tile, half = np.empty(POINTS * c, images.dtype), np.empty(POINTS * c, images.dtype)
        for number in range(n * tiles):
            combine(stack[number], TILE, half)
            combine(half, q, tile)
            pixels = images[number // tiles].reshape(h, w * c)
            row = number % tiles // across * m - top
            column = number % across * m - left
            start, stop = max(0, -column) * c, min(q, w - column) * c
            for i in range(max(0, -row), min(q, h - row)):
                target = pixels[row + i, column * c + start : column * c + stop]
                source = tile[i * TILE * c + start : i * TILE * c + stop]
                for e in range(len(source)):
                    target[e] = target[e] + source[e] if add else source[e]

    return put


# Points come in pairs, rows 1 and 2, 3 and 4, 5 and 6 of the matrix: p and -p. Their even powers
# are equal and their odd powers opposite, so half of the multiplications serve both. The matrix is
# a constant for the compiler: it unrolls these loops, and what is multiplied by 0 is gone.


def _evaluation(matrix, c, variant):
    """combine(source, lines, target): target[k, i] = sum over j of matrix[i, j] * source[j, k].

    For the first `lines` columns k of a tile; matrix (8, q). Rows become columns on the way, so the
    second call combines what were the columns.
    """
    q = matrix.shape[1]
    last = TILE - 1
    zero = matrix.dtype.type(0)

    @register_jitable(fastmath=False)  # see `jit.named`
    @named("evaluate", variant)
    def combine(source, lines, target):
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

    return combine


def _interpolation(matrix, c, variant):
    """The same for a matrix (q, 8), whose columns come in pairs."""
    q = matrix.shape[0]
    last = TILE - 1
    zero = matrix.dtype.type(0)

    @register_jitable(fastmath=False)
    @named("interpolate", variant)
    def combine(source, lines, target):
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

    return combine


@jit
def put_bias_on_blanks(x, bias, g, y):
    """Where a window holds nothing but zeros, its output is the bias, to the bit.

    If other windows of the tile hold more, Winograd's sums there cancel up to rounding only. With
    biases of 0, as they start, chance would decide on the whole black border of a digit whether a
    ReLU passes a gradient: in the very first step, Adam would move biases by its full rate.
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


# Matrix products of parts of matrices. Numba's np.dot takes whole, contiguous arrays only. For a
# block of columns BLAS wants to know how far apart rows are, and for a sum of products what to
# multiply the old numbers with: `numba_xxgemm`, the thin layer over SciPy's BLAS that is behind
# np.dot, takes both. Sizes are not checked.

_address, _size = types.intp, types.intp
_xxgemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        *(types.int8, types.int8, types.int8),  # kind, whether to transpose the one and the other
        *(_size, _size, _size),  # m, n, k
        *(_address, _address, _size, _address, _size),  # alpha; a, distance of rows; b, likewise
        *(_address, _address, _size),  # beta; c, distance of rows
    ),
)
AS_IT_IS, TRANSPOSED = np.int8(ord("N")), np.int8(ord("T"))
SINGLE, DOUBLE = np.int8(ord("s")), np.int8(ord("d"))


def matmul(x, y, out, _zero_and_one):
    """out = x @ y for matrices (rows, k), (k, columns) with contiguous rows, however far apart."""
    np.matmul(x, y, out=out)


def add_matmul_of_transposed(x, y, out, _zero_and_one):
    """out += x.T @ y, likewise."""
    out += x.T @ y


@register_jitable
def _gemm(transpose, x, y, out, alpha, beta):
    # BLAS goes down columns, for which all of these are transposed matrices: out' = y' x'.
    size = out.itemsize
    _xxgemm(
        SINGLE if size == 4 else DOUBLE,
        AS_IT_IS,
        transpose,
        out.shape[1],
        out.shape[0],
        y.shape[0],
        alpha.ctypes.data,
        y.ctypes.data,
        y.strides[0] // size,
        x.ctypes.data,
        x.strides[0] // size,
        beta.ctypes.data,
        out.ctypes.data,
        out.strides[0] // size,
    )


@overload(matmul)
def _compiled_matmul(x, y, out, zero_and_one):
    def product(x, y, out, zero_and_one):
        _gemm(AS_IT_IS, x, y, out, zero_and_one[1:], zero_and_one[:1])

    return product


@overload(add_matmul_of_transposed)
def _compiled_add_matmul(x, y, out, zero_and_one):
    def product(x, y, out, zero_and_one):
        _gemm(TRANSPOSED, x, y, out, zero_and_one[1:], zero_and_one[1:])

    return product
