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
from functools import cache, cached_property

import numpy as np

from minicnn.kernels import tiles
from minicnn.kernels.tiles import TILE

# Small and in pairs +-p: large powers of large points would cost digits. The last is infinity.
POINTS = [Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]
# Loops are compiled for a number of channels, of which there should not be too many.
CHANNELS_AT_ONCE = 8


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


class Prepared:
    """A kernel (kh, kw, c, f) and its transform, with c and f as `_padded` makes them."""

    def __init__(self, kernel, u):
        self.kernel = kernel
        self.u = u  # (64, c, f)

    @cached_property
    def u_transposed(self):
        """(64, f, c), for the way back: BLAS would take almost twice as long to turn it itself."""
        return np.ascontiguousarray(self.u.swapaxes(1, 2))


def prepare(kernel):
    """U = G g G' for each channel and filter: once a step, as it needs no image."""
    padded = _padded(_padded(kernel, 2), 3)
    r, _, c, f = padded.shape
    g = _float_matrices(r, kernel.dtype)["G"]
    half = (g @ padded.reshape(r, r * c * f)).reshape(TILE, r, c * f)
    return Prepared(kernel, (g @ half).reshape(-1, c, f))


def forward(x, prepared, bias, geometry):
    """Output y (n, oh, ow, f) of images x (n, h, w, c), `prepare(kernel)` and bias (f,)."""
    _, c, f = prepared.u.shape
    y = np.empty((len(x), geometry.oh, geometry.ow, f), x.dtype)
    loops = _loops(geometry.kh, c, f, x.dtype)
    loops.forward(_padded(x, 3), prepared.u, _padded(bias, 0), geometry, y)
    return np.ascontiguousarray(y[..., : len(bias)])


def forward_pooled(x, prepared, bias, geometry, pool, winner, floor):
    """The maxima of `forward`'s outputs: see `pooling.forward`."""
    _, c, f = prepared.u.shape
    y = np.empty((len(x), pool.oh, pool.ow, f), x.dtype)
    padded_winner = _padded(winner, 3)
    loops = _loops(geometry.kh, c, f, x.dtype)
    loops.forward_pooled(
        _padded(x, 3), prepared.u, _padded(bias, 0), geometry, pool, padded_winner, floor, y
    )
    if f == len(bias):
        return y
    winner[...] = padded_winner[..., : len(bias)]
    return np.ascontiguousarray(y[..., : len(bias)])


def gradients(x, dy, prepared, geometry):
    """`grad_input` and `grad_kernel` in one go: both begin with the same transform of dy."""
    dx, du = _new_dx(dy, prepared, geometry), _new_du(x, dy)
    _add_gradients(_padded(x, 3), dy, prepared.u_transposed, geometry, dx, du)
    return np.ascontiguousarray(dx[..., : x.shape[3]]), _grad_kernel(du, x, dy, geometry)


def grad_input(dy, prepared, geometry):
    """Gradient dx (n, h, w, c) of the input, from that of the output, dy (n, oh, ow, f)."""
    dx = _new_dx(dy, prepared, geometry)
    _add_gradients(dx, dy, prepared.u_transposed, geometry, dx, _new_du(dx, dy)[:0])
    return np.ascontiguousarray(dx[..., : prepared.kernel.shape[2]])


def grad_kernel(x, dy, geometry):
    """Gradient dkernel (kh, kw, c, f), summed over the images, from x and dy (n, oh, ow, f)."""
    du = _new_du(x, dy)
    padded = _padded(x, 3)
    _add_gradients(padded, dy, du, geometry, padded[:0], du)
    return _grad_kernel(du, x, dy, geometry)


def _add_gradients(x, dy, u_transposed, geometry, dx, du):
    dy = _padded(dy, 3)
    loops = _loops(geometry.kh, x.shape[3], dy.shape[3], dy.dtype)
    loops.gradients(x, dy, u_transposed, geometry, dx, du)


def _new_dx(dy, prepared, geometry):
    _, c, _ = prepared.u.shape
    return np.zeros((len(dy), geometry.h, geometry.w, c), dy.dtype)


def _new_du(x, dy):
    c, f = (-(-a.shape[3] // CHANNELS_AT_ONCE) * CHANNELS_AT_ONCE for a in (x, dy))
    return np.zeros((tiles.POINTS, c, f), x.dtype)


def _grad_kernel(du, x, dy, geometry):
    """G' dU G."""
    _, c, f = du.shape
    r = geometry.kh
    g = _float_matrices(r, du.dtype)["G"]
    half = (g.T @ du.reshape(TILE, TILE * c * f)).reshape(r, TILE, c * f)
    dkernel = (g.T @ half).reshape(r, r, c, f)
    return np.ascontiguousarray(dkernel[:, :, : x.shape[3], : dy.shape[3]])


def _padded(array, axis):
    """`array` with zeros for channels up to the next multiple of `CHANNELS_AT_ONCE`."""
    missing = -array.shape[axis] % CHANNELS_AT_ONCE
    if missing == 0:
        return array
    return np.pad(array, [(0, missing * (i == axis)) for i in range(array.ndim)])


@cache
def _loops(r, c, f, dtype):
    factors = _float_matrices(r, dtype)
    return tiles.compiled_loops(factors["A"], factors["B"], c, f)


@cache
def _float_matrices(r, dtype):
    a, b, g = matrices(r)
    exact = {"A": a, "B": b, "G": g}
    return {name: np.ascontiguousarray(matrix.astype(dtype)) for name, matrix in exact.items()}
