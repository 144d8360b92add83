"""Winograd's minimal filtering: convolution with fewer multiplications, for stride 1, 3x3 and 5x5.

The image is cut into overlapping tiles of n x n cells, of which the kernel makes m x m outputs: n
is 7 and m is 3 for a 5x5 kernel, 6 and 4 for 3x3. For a tile d and a kernel g, with * element by
element (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015):

    U = G g G'    V = B' d B    M = V * U    Y = A' M A

For 5x5 these are 49 multiplications for 9 outputs, in place of 225. The sum over channels can be
taken in M. So for each of the n*n elements, M is one matrix product, tiles x channels times
channels x filters, and the transforms are computed only once per channel or filter.

The matrices, and why it works, are in `winograd_matrices`.

The backward pass is the forward pass transposed, step by step in reverse order: Z = A dY A' once
for each tile of dY, then V' Z for dU, the gradient of U, and Z U' for that of V:

    dkernel = G' dU G    dx = B (Z U') B'

Memory layout (channels and filters are padded with zeros to multiples of CHANNEL_MULTIPLE):

    U, dU (n*n, c, f)                | point 0: c x f values | point 1 | ... | point n*n - 1 |
    U' (n*n, f, c)                   likewise
    V, Z (tiles, n*n*c), (tiles, n*n*f)  | tile 0: point 0: c values | point 1 | ... | tile 1 | ...

The loops over the tiles are in `winograd_tiles`.
"""

from functools import cache, cached_property

import numpy as np

from minicnn.engine.kernels.pooling import no_pooling
from minicnn.engine.kernels.vector_registers import BLOCK_ROWS, SHORT
from minicnn.engine.kernels.winograd_matrices import matrices, tile_size
from minicnn.engine.kernels.winograd_tiles import add_gradients, put_outputs

# Channels and filters are padded with zeros, so that they fill vectors.
CHANNEL_MULTIPLE = SHORT


def why_not(geometry):
    """The reason why this algorithm cannot serve a geometry, or None if it can."""
    if (geometry.sh, geometry.sw) != (1, 1):
        return f"it needs strides of 1, not {(geometry.sh, geometry.sw)}"
    if (geometry.kh, geometry.kw) not in ((3, 3), (5, 5)):
        return f"it needs a kernel of 3x3 or 5x5, not {geometry.kh}x{geometry.kw}"
    return None


class Prepared:
    """A kernel and its transform.

    Attributes
    ----------
    kernel : ndarray (kh, kw, c, f)
    u : ndarray (n*n, c, f)
        The transform U, with c and f rounded up to multiples of CHANNEL_MULTIPLE.
    """

    def __init__(self, kernel, u):
        self.kernel = kernel
        self.u = u

    @cached_property
    def u_transposed(self):
        """U' (n*n, f, c), copied, since `vector_registers.matmul_block` reads contiguous rows."""
        return np.ascontiguousarray(self.u.swapaxes(1, 2))


def prepare(kernel):
    """The kernel transform U = G g G', needed once per training step as it involves no image.

    Parameters
    ----------
    kernel : ndarray (kh, kw, c, f)

    Returns
    -------
    Prepared
    """
    padded = _pad_channels(_pad_channels(kernel, 2), 3)
    r, _, c, f = padded.shape
    g = _float_matrices(r, kernel.dtype)["G"]
    half = (g @ padded.reshape(r, r * c * f)).reshape(len(g), r, c * f)
    return Prepared(kernel, (g @ half).reshape(-1, c, f))


def forward(x, prepared, bias, geometry):
    """Forward pass of a convolution.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images.
    prepared : Prepared
        `prepare(kernel)`.
    bias : ndarray (f,)
    geometry : Geometry

    Returns
    -------
    ndarray (n, oh, ow, f)
        Outputs y.
    """
    f = prepared.u.shape[2]
    y = np.empty((len(x), geometry.oh, geometry.ow, f), x.dtype)
    padded_x, padded_bias = _pad_channels(x, 3), _pad_channels(bias, 0)
    unpooled = no_pooling(geometry, x)
    put_outputs(padded_x, prepared.kernel, prepared.u, padded_bias, geometry, *unpooled, y)
    return np.ascontiguousarray(y[..., : len(bias)])


def forward_pooled(x, prepared, bias, geometry, pool, winner, floor):
    """Forward pass of a convolution and the max pooling after it.

    Parameters
    ----------
    x, prepared, bias, geometry
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
    f = prepared.u.shape[2]
    y = np.empty((len(x), pool.oh, pool.ow, f), x.dtype)
    padded_winner = _pad_channels(winner, 3)
    operands = _pad_channels(x, 3), prepared.kernel, prepared.u, _pad_channels(bias, 0), geometry
    put_outputs(*operands, pool, padded_winner, floor, y)
    if f == len(bias):
        return y
    winner[...] = padded_winner[..., : len(bias)]
    return np.ascontiguousarray(y[..., : len(bias)])


def gradients(x, dy, prepared, geometry):
    """`grad_input` and `grad_kernel` at once: both need the same transform of dy.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images.
    dy : ndarray (n, oh, ow, f)
        Gradient of the outputs.
    prepared : Prepared
        `prepare(kernel)`.
    geometry : Geometry

    Returns
    -------
    dx : ndarray (n, h, w, c)
    dkernel : ndarray (kh, kw, c, f)
        Summed over the images.
    """
    dx, du = _new_dx(dy, prepared, geometry), _new_du(x, dy, geometry)
    _add_gradients(_pad_channels(x, 3), dy, prepared.u_transposed, geometry, dx, du)
    return np.ascontiguousarray(dx[..., : x.shape[3]]), _dkernel_from_du(du, x, dy, geometry)


def grad_input(dy, prepared, geometry):
    """Gradient dx (n, h, w, c) of the images: see `gradients`."""
    dx = _new_dx(dy, prepared, geometry)
    _add_gradients(dx, dy, prepared.u_transposed, geometry, dx, _new_du(dx, dy, geometry)[:0])
    return np.ascontiguousarray(dx[..., : prepared.kernel.shape[2]])


def grad_kernel(x, dy, geometry):
    """Gradient dkernel (kh, kw, c, f), summed over the images: see `gradients`."""
    du = _new_du(x, dy, geometry)
    padded = _pad_channels(x, 3)
    _add_gradients(padded, dy, du, geometry, padded[:0], du)
    return _dkernel_from_du(du, x, dy, geometry)


def _add_gradients(x, dy, u_transposed, geometry, dx, du):
    """Add to dx and du; either may be empty, and what only it needs is not used then."""
    dy = _pad_channels(dy, 3)
    add_gradients(x, dy, u_transposed, geometry, dx, du)


def _new_dx(dy, prepared, geometry):
    _, c, _ = prepared.u.shape
    return np.zeros((len(dy), geometry.h, geometry.w, c), dy.dtype)


def _new_du(x, dy, geometry):
    """Zeros for dU, whose channels fill whole blocks of rows of a matrix product."""
    c, f = (-(-a.shape[3] // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE for a in (x, dy))
    rows = -(-c // BLOCK_ROWS) * BLOCK_ROWS
    return np.zeros((tile_size(geometry.kh) ** 2, rows, f), x.dtype)


def _dkernel_from_du(du, x, dy, geometry):
    """The transpose of the kernel transform, G' dU G, without the padding."""
    _, c, f = du.shape
    r, n = geometry.kh, tile_size(geometry.kh)
    g = _float_matrices(r, du.dtype)["G"]
    half = (g.T @ du.reshape(n, n * c * f)).reshape(r, n, c * f)
    dkernel = (g.T @ half).reshape(r, r, c, f)
    return np.ascontiguousarray(dkernel[:, :, : x.shape[3], : dy.shape[3]])


def _pad_channels(array, axis):
    """Pad an axis of channels with zeros, up to the next multiple of CHANNEL_MULTIPLE."""
    missing = -array.shape[axis] % CHANNEL_MULTIPLE
    if missing == 0:
        return array
    return np.pad(array, [(0, missing * (i == axis)) for i in range(array.ndim)])


@cache
def _float_matrices(r, dtype):
    a, b, g = matrices(r)
    exact = {"A": a, "B": b, "G": g}
    return {name: np.ascontiguousarray(matrix.astype(dtype)) for name, matrix in exact.items()}
