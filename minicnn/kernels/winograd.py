"""Convolution with fewer multiplications: Winograd's minimal filtering, for stride 1, 3x3 and 5x5.

The image is cut into overlapping tiles of 8x8 cells; a 5x5 kernel makes 4x4 outputs of each tile, a
3x3 kernel 6x6. With d a tile, g the kernel and * cell by cell (Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks", 2015):

    Y = A' [(G g G') * (B' d B)] A        64 multiplications for 16 outputs instead of 400

The sum over channels can be taken between the brackets. So each of the 64 cells is one matrix
product, tiles x channels times channels x filters, and the transforms are paid once per channel.

Why it works, in one dimension: the outputs y_i = sum_k g_k d_(i+k) are the transpose of multiplying
two polynomials, and a product of polynomials is known by its values at 8 points: evaluate both
(V_m, V_r), multiply the values, interpolate (V_8^-1). Transposed: y = V_m' [(V_r g) * (V_8^-1' d)],
which names the three matrices: A = V_m, G = V_r, B = V_8^-1, each V the powers of the points.

The way back is the way there, transposed, step by step: Z = A dY A' once for each tile of dY; then
dU = V' Z for the kernel and Z U' for the input.
"""

from fractions import Fraction
from functools import cache

import numpy as np

from minicnn.kernels.jit import jit

TILE = 8
# Small and in pairs +-p: large powers of large points would cost digits. The last is infinity.
POINTS = [Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]
IMAGES_AT_ONCE = 4  # enough rows for a matrix product; more would leave the second-level cache
GAP = 16  # numbers: a cache line of float32
BLOCK = 512  # numbers in a row that are combined at a time: nine rows stay in the first cache


def why_not(geometry):
    """The reason why this algorithm cannot serve a geometry, or None."""
    if (geometry.sh, geometry.sw) != (1, 1):
        return f"it needs strides of 1, not {(geometry.sh, geometry.sw)}"
    if (geometry.kh, geometry.kw) not in ((3, 3), (5, 5)):
        return f"it needs a kernel of 3x3 or 5x5, not {geometry.kh}x{geometry.kw}"
    return None


@cache
def matrices(r):
    """A (8, m), B (8, 8) and G (8, r) in exact fractions, for a kernel of r and m = 9 - r outputs.

    Row p of A and of G holds the powers of point p; infinity has the highest power alone. Column p
    of B holds the coefficients of the polynomial that is 0 at all other points. What it is at p
    itself should be 1: that factor is given to G, which leaves simple numbers in B.
    """
    a, b, g = [], [], []
    for point in POINTS:
        others = [other for other in POINTS if other != point]
        value = Fraction(1)
        for other in others:
            value *= point - other
        a.append([point**i for i in range(TILE + 1 - r)])
        g.append([point**k / value for k in range(r)])
        b.append([*_polynomial(others), Fraction(0)])
    a.append([Fraction(int(i == TILE - r)) for i in range(TILE + 1 - r)])
    g.append([Fraction(int(k == r - 1)) for k in range(r)])
    b.append(_polynomial(POINTS))
    return np.array(a), np.array(b).T, np.array(g)


def _polynomial(roots):
    """Coefficients of the product of (x - root), constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [s - t for s, t in zip(shifted, scaled, strict=True)]
    return coefficients


def prepare(kernel):
    """U = G g G' for each channel and filter: once a step, as it needs no image.

    Returns
    -------
    u (8, 8, c, f) for the way there, and u' (8, 8, f, c) for the way back
    """
    r, _, c, f = kernel.shape
    both_axes = _float_matrices(r, kernel.dtype)["G x G"]
    u = (both_axes @ kernel.reshape(r * r, c * f)).reshape(TILE, TILE, c, f)
    return u, np.ascontiguousarray(u.swapaxes(2, 3))


def forward(x, prepared, bias, geometry):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), `prepare(kernel)` and bias (f,)."""
    matrix = _float_matrices(geometry.kh, x.dtype)
    u, _ = prepared
    y = np.empty((len(x), geometry.oh, geometry.ow, u.shape[3]), x.dtype)
    for group in _groups(len(x)):
        v = input_points(matrix["B'"], x[group], geometry)
        put_outputs(matrix["A'"], multiply(v, u), bias, geometry, y[group])
    put_bias_on_blanks(x, bias, geometry, y)
    return y


def grad_input(dy, prepared, geometry):
    """Gradient dx (n, h, w, c) of the input, from that of the output, dy (n, oh, ow, f)."""
    dx = _zeros_for_input(dy, prepared, geometry)
    for group in _groups(len(dy)):
        z = output_points(dy[group], geometry)
        _add_grad_input(z, prepared, geometry, dx[group])
    return dx


def grad_kernel(x, dy, geometry):
    """Gradient dkernel (kh, kw, c, f), summed over the images, from x and dy (n, oh, ow, f)."""
    du = _zeros_for_kernel(x, dy)
    for group in _groups(len(x)):
        z = output_points(dy[group], geometry)
        _add_grad_prepared(x[group], z, geometry, du)
    return _grad_kernel(du, geometry)


def gradients(x, dy, prepared, geometry):
    """`grad_input` and `grad_kernel` in one go: both begin with the same transform of dy."""
    dx, du = _zeros_for_input(dy, prepared, geometry), _zeros_for_kernel(x, dy)
    for group in _groups(len(x)):
        z = output_points(dy[group], geometry)
        _add_grad_input(z, prepared, geometry, dx[group])
        _add_grad_prepared(x[group], z, geometry, du)
    return dx, _grad_kernel(du, geometry)


def _zeros_for_input(dy, prepared, geometry):
    _, u_transposed = prepared
    return np.zeros((len(dy), geometry.h, geometry.w, u_transposed.shape[3]), dy.dtype)


def _zeros_for_kernel(x, dy):
    return np.zeros((TILE, TILE, x.shape[3], dy.shape[3]), x.dtype)


def _add_grad_input(z, prepared, geometry, dx):
    """dx += B (Z U') B'."""
    _, u_transposed = prepared
    b = _float_matrices(geometry.kh, dx.dtype)["B"]
    add_inputs(b, multiply(z, u_transposed), geometry, dx)


def _add_grad_prepared(x, z, geometry, du):
    """dU += V' Z."""
    _, _, c, f = du.shape
    v = input_points(_float_matrices(geometry.kh, x.dtype)["B'"], x, geometry)
    du += _matrices_of(v, c).swapaxes(2, 3) @ _matrices_of(z, f)  # sums over the tiles


def _grad_kernel(du, geometry):
    """G' dU G."""
    _, _, c, f = du.shape
    both_axes = _float_matrices(geometry.kh, du.dtype)["G x G"]
    dkernel = both_axes.T @ du.reshape(TILE * TILE, c * f)
    return dkernel.reshape(geometry.kh, geometry.kw, c, f)


def _groups(n):
    return [slice(first, first + IMAGES_AT_ONCE) for first in range(0, n, IMAGES_AT_ONCE)]


@cache
def _float_matrices(r, dtype):
    exact = dict(zip("ABG", matrices(r), strict=True))
    exact |= {"A'": exact["A"].T, "B'": exact["B"].T}
    # Rows are combined four at a time: columns of zeros for the two that six outputs leave over.
    exact["A"] = np.pad(exact["A"], ((0, 0), (0, -exact["A"].shape[1] % 4)))
    # G g G' as one product, with g as a column: (64, r*r) @ (r*r, 1).
    exact["G x G"] = np.kron(exact["G"], exact["G"])
    return {name: np.ascontiguousarray(matrix.astype(dtype)) for name, matrix in exact.items()}


# Tiles are kept in a "stack", (p, p, tiles * c + GAP): for each cell of a tile, a matrix (tiles, c)
# and then a gap. Without the gap these rows would often be a power of two apart; rows that are read
# together would then fight for the same places of the cache.


def _matrices_of(stack, c):
    """The matrices in a stack: (p, p, tiles, c), a view."""
    return stack[:, :, :-GAP].reshape(*stack.shape[:2], -1, c)


def multiply(stack, matrices):
    """Each matrix (tiles, c) of a stack times its own of `matrices` (8, 8, c, f)."""
    c, f = matrices.shape[2:]
    factors = _matrices_of(stack, c)
    product = np.empty((TILE, TILE, factors.shape[2] * f + GAP), stack.dtype)
    np.matmul(factors, matrices, out=_matrices_of(product, f))
    return product


def input_points(matrix, x, g):
    """V = B' d B for all tiles d that outputs are made of, 8 x 8; neighbours share kh - 1 cells."""
    return _to_points(matrix, x, g, TILE, g.top, g.left)


def output_points(dy, g):
    """Z = A dY A' for the outputs cut into tiles that share nothing, with zeros at the edge."""
    matrix = _float_matrices(g.kh, dy.dtype)["A"]
    return _to_points(matrix, dy, g, TILE + 1 - g.kh, 0, 0)


@jit
def _to_points(matrix, images, g, size, top, left):
    """Tiles of size x size cells, cut out and transformed, image by image: a stack of 8 x 8."""
    n, h, w, c = images.shape
    m = TILE + 1 - g.kh
    down, across = -(-g.oh // m), -(-g.ow // m)
    numbers = down * across * c
    tiles = np.zeros((size, size, numbers), images.dtype)  # what lies outside stays zero
    half = np.empty((size, TILE, min(numbers, BLOCK)), images.dtype)
    stack = np.empty((TILE, TILE, n * numbers + GAP), images.dtype)
    for image in range(n):
        for tile in range(down * across):
            row, column = tile // across * m - top, tile % across * m - left
            for i in range(max(0, -row), min(size, h - row)):
                for j in range(max(0, -column), min(size, w - column)):
                    source = images[image, row + i, column + j]
                    target = tiles[i, j, tile * c : (tile + 1) * c]
                    for ch in range(c):
                        target[ch] = source[ch]
        _transform(matrix, tiles, 0, half, stack, image * numbers, numbers)
    return stack


@jit
def put_outputs(matrix, stack, bias, g, y):
    """Y = A' (...) A for a stack of 8 x 8, plus the bias, written to y (n, oh, ow, f)."""
    n, oh, ow, f = y.shape
    m = TILE + 1 - g.kh
    down, across = -(-oh // m), -(-ow // m)
    numbers = down * across * f
    half = np.empty((TILE, m, min(numbers, BLOCK)), y.dtype)
    tiles = np.empty((m, m, numbers), y.dtype)
    for image in range(n):
        _transform(matrix, stack, image * numbers, half, tiles, 0, numbers)
        for tile in range(down * across):
            row, column = tile // across * m, tile % across * m
            for i in range(min(m, oh - row)):
                for j in range(min(m, ow - column)):
                    source = tiles[i, j, tile * f : (tile + 1) * f]
                    target = y[image, row + i, column + j]
                    for o in range(f):
                        target[o] = source[o] + bias[o]


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


@jit
def add_inputs(matrix, stack, g, dx):
    """The transpose of `input_points`: added to dx (n, h, w, c), where tiles overlap as well."""
    n, h, w, c = dx.shape
    m = TILE + 1 - g.kh
    down, across = -(-g.oh // m), -(-g.ow // m)
    numbers = down * across * c
    half = np.empty((TILE, TILE, min(numbers, BLOCK)), dx.dtype)
    tiles = np.empty((TILE, TILE, numbers), dx.dtype)
    for image in range(n):
        _transform(matrix, stack, image * numbers, half, tiles, 0, numbers)
        for tile in range(down * across):
            row, column = tile // across * m - g.top, tile % across * m - g.left
            for i in range(max(0, -row), min(TILE, h - row)):
                for j in range(max(0, -column), min(TILE, w - column)):
                    source = tiles[i, j, tile * c : (tile + 1) * c]
                    target = dx[image, row + i, column + j]
                    for ch in range(c):
                        target[ch] += source[ch]


@jit
def _transform(matrix, source, source_start, half, target, target_start, numbers):
    """matrix @ tile @ matrix', for tiles side by side: `numbers` from each row of the source."""
    for start in range(0, numbers, BLOCK):
        count = min(BLOCK, numbers - start)
        _combine_rows(matrix, source, source_start + start, half, 0, count)
        _combine_rows(matrix, half, 0, target, target_start + start, count)


@jit
def _combine_rows(matrix, source, source_start, target, target_start, numbers):
    """target[k, i] = sum over j of matrix[i, j] * source[j, k].

    Rows become columns on the way, so that a second call combines what were the columns.
    """
    last = len(source) - 1
    for k in range(source.shape[1]):
        for i in range(len(matrix)):
            out = target[k, i, target_start : target_start + numbers]
            for j in range(0, matrix.shape[1], 4):  # four at a time: fewer loads and stores of out
                m0, m1, m2, m3 = matrix[i, j], matrix[i, j + 1], matrix[i, j + 2], matrix[i, j + 3]
                s0 = source[j, k, source_start : source_start + numbers]
                s1 = source[min(j + 1, last), k, source_start : source_start + numbers]
                s2 = source[min(j + 2, last), k, source_start : source_start + numbers]
                s3 = source[min(j + 3, last), k, source_start : source_start + numbers]
                if j == 0:
                    for e in range(numbers):
                        out[e] = (m0 * s0[e] + m1 * s1[e]) + (m2 * s2[e] + m3 * s3[e])
                else:
                    for e in range(numbers):
                        out[e] += (m0 * s0[e] + m1 * s1[e]) + (m2 * s2[e] + m3 * s3[e])
