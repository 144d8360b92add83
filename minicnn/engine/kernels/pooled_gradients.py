"""Gradients of a convolution that a max pooling follows, without the products that are zero.

The pooling passes a gradient to one output of each window, the winner, and none to the others. Of
the winners, those at which ReLU is 0 get none either: in the tutorial's network 16 % of the outputs
have a gradient. So the zeros are left out of the sums in `direct`:

    dkernel[:, :, :, f]     =  sum over the positions (i, j) where f won of
                               dz * (window of x at (i, j))
    dx's window at (i, j)  +=  sum over the filters f that won at (i, j) of
                               dz * kernel[:, :, :, f]

Both are sums of windows times factors, which `add_windows` computes. Finding the nonzero gradients
takes time, but of 25 products 4 are left, and the sums are those of the formula, without the
rounding errors of Winograd's algorithm.

Memory layout (a window row is the kw*c values of a window in one line of the padded image; its
length is rounded up to whole vectors, and called row_length below):

    padded (lines, width)                the image inside a border of zeros, c values per pixel
    total (f, kh, row_length)            dkernel:  | f 0: window row 0 | row 1 | ... | f 1: ... |
    kernel_rows (kh, f, row_length)      the kernel:  | row 0: f 0 | f 1 | ... | row 1: f 0 | ... |

    starts (lists, capacity)             lists of windows: where each begins in an array,
    factors (lists, capacity)            and its factor dz;
    count (lists,)                       lengths of the lists

For dkernel there is one list at a time, of the windows of x for one filter; for dx there is a list
for each position (i, j), of the rows of the kernel.
"""

import numpy as np

from minicnn.engine.compiling import inlined, jit
from minicnn.engine.kernels.relu import relu_backward
from minicnn.engine.kernels.vector_registers import (
    ACCUMULATORS,
    MOST_VECTORS,
    ROWS,
    SHORT,
    VECTOR,
    add_windows,
)

LONGEST = ACCUMULATORS * VECTOR  # bytes of the largest block of windows


@jit
def prepare(kernel):
    """Copy a kernel into the layout that `gradients` reads; needed once per training step.

    Parameters
    ----------
    kernel : ndarray (kh, kw, c, f)

    Returns
    -------
    ndarray (kh, f, row_length)
        For each row of the kernel and each filter, kw*c values, and zeros up to row_length.
    """
    kh, kw, c, f = kernel.shape
    kernel_rows = aligned_zeros((kh, f, _row_length(kw, c, kernel.itemsize)), kernel.dtype)
    rows = kernel.reshape(kh, kw * c, f)
    for ki in range(kh):
        _transpose(rows[ki], kernel_rows[ki])
    return kernel_rows


@jit
def gradients(x, y, dy, winner, floor, kernel_rows, g, pool):
    """Gradients of images, kernel and bias, the last two summed over the images.

    Parameters
    ----------
    x : ndarray (n, h, w, c)
        Images.
    y, dy : ndarray (n, ph, pw, f)
        Pooled outputs, raised to `floor`, and their gradient.
    winner : integer ndarray (n, ph, pw, f)
        The winning cell of each pooling window, as filled by `forward_pooled`.
    floor : float of the arrays' dtype
        0 for ReLU, -inf for no activation.
    kernel_rows : ndarray (kh, f, row_length)
        `prepare(kernel)`. If it is empty, so is dx.
    g, pool : Geometry
        Of the convolution and of the pooling; ph and pw are pool.oh and pool.ow.

    Returns
    -------
    dx : ndarray (n, h, w, c)
    dkernel : ndarray (kh, kw, c, f)
    dbias : ndarray (f,)
    """
    (n, _, _, c), f = x.shape, dy.shape[3]
    row_length = _row_length(g.kw, c, x.itemsize)
    dz = relu_backward(dy, y, floor)
    windows = pool.oh * pool.ow
    values, winners = dz.reshape(n, windows, f), winner.reshape(n, windows, f)
    padded = _padded_image(g, c, row_length, x.dtype)
    dkernel = _kernel_gradient(x, values, winners, padded, row_length, g, pool)
    dx = np.empty((n if len(kernel_rows) else 0, g.h, g.w, c), x.dtype)
    _put_input_gradient(values, winners, kernel_rows, padded, g, pool, dx)
    return dx, dkernel, _sum_of_pixels(dz)


def weight_gradients(x, y, dy, winner, floor, g, pool):
    """Like `gradients`, but return dkernel and dbias only; used for the first layer."""
    no_rows = np.empty((0, 0, 0), x.dtype)
    _, dkernel, dbias = gradients(x, y, dy, winner, floor, no_rows, g, pool)
    return dkernel, dbias


@inlined
def _row_length(kw, c, itemsize):
    """Length of a window row of kw*c values, rounded up so that equal blocks of vectors fill it."""
    size, lanes = kw * c, VECTOR // itemsize
    if size <= SHORT:
        return SHORT
    return _blocks(size, lanes) * _block_length(size, lanes)


@inlined
def _blocks(size, lanes):
    """How many blocks of at most MOST_VECTORS vectors hold a window row."""
    return -(-size // (lanes * MOST_VECTORS))


@inlined
def _block_length(size, lanes):
    """The numbers in each of these blocks."""
    if size <= SHORT:
        return SHORT
    return -(-size // (lanes * _blocks(size, lanes))) * lanes


@inlined
def _kernel_gradient(x, values, winners, padded, row_length, g, pool):
    """dkernel: for each filter, the sum of the windows that its gradients come from."""
    (n, _, _, c), f = x.shape, values.shape[2]
    width = padded.shape[1]
    corners, offsets = _pooling_windows(pool, g.sh * width, g.sw * c)
    starts, factors, count = _empty_lists(1, len(corners), x.dtype)
    total = aligned_zeros((f, g.kh, row_length), x.dtype)
    length = _block_length(g.kw * c, VECTOR // x.itemsize)
    for image in range(n):
        _copy(x[image].reshape(g.h, g.w * c), _interior(padded, g, c))
        for o in range(f):
            count[0] = _list_windows(
                values[image], winners[image], o, corners, offsets, starts[0], factors[0]
            )
            row = 0
            for rows in ROWS:
                while rows <= g.kh - row and rows * length <= LONGEST // x.itemsize:
                    for first in range(0, row_length, length):
                        add_windows(
                            rows, length, total, (o * g.kh + row) * row_length + first, row_length,
                            padded, row * width + first, width, starts, factors, 0, count,
                        )  # fmt: skip
                    row += rows
    dkernel = np.empty((g.kh, g.kw * c, f), x.dtype)
    for ki in range(g.kh):
        _transpose(total[:, ki, : g.kw * c], dkernel[ki])
    return dkernel.reshape(g.kh, g.kw, c, f)


@inlined
def _put_input_gradient(values, winners, kernel_rows, padded, g, pool, dx):
    """Write dx: for each position, the sum of the kernels of the filters that won there."""
    c, f = dx.shape[3], values.shape[2]
    width, row_length = padded.shape[1], kernel_rows.shape[2]
    length = _block_length(g.kw * c, VECTOR // dx.itemsize)
    corners, offsets = _pooling_windows(pool, g.ow, 1)
    # Where pooling windows overlap, a filter can win at one position several times.
    capacity = f * -(-pool.kh // pool.sh) * -(-pool.kw // pool.sw)
    positions = g.oh * g.ow if len(dx) else 0
    starts, factors, count = _empty_lists(positions, capacity, dx.dtype)
    for image in range(len(dx)):
        _list_filters(
            values[image], winners[image], corners, offsets, row_length, starts, factors, count
        )
        padded[:] = 0
        # The outer loop is over ki: one row of all filters stays in the first-level cache.
        for ki in range(g.kh):
            for position in range(positions):
                i, j = position // g.ow, position % g.ow
                at = (i * g.sh + ki) * width + j * g.sw * c
                for first in range(0, row_length, length):
                    add_windows(
                        1, length, padded, at + first, 0, kernel_rows, ki * f * row_length + first,
                        0, starts, factors, position, count,
                    )  # fmt: skip
        _copy(_interior(padded, g, c), dx[image].reshape(g.h, g.w * c))


@inlined
def _list_windows(values, winners, o, corners, offsets, starts, factors):
    """List the windows of the padded image at which filter o won; return their number."""
    k = np.uintp(0)
    for window in range(len(corners)):
        start = corners[window] + offsets[winners[window, o]]
        k = _append(start, values[window, o], starts, factors, k)
    return k


@inlined
def _list_filters(values, winners, corners, offsets, row_length, starts, factors, count):
    """For each position, list the kernel rows of the filters that won there."""
    count[:] = 0
    for window in range(len(corners)):
        for o in range(values.shape[1]):
            position = np.uintp(corners[window] + offsets[winners[window, o]])
            count[position] = _append(
                o * row_length, values[window, o],
                starts[position], factors[position], count[position],
            )  # fmt: skip


@inlined
def _sum_of_pixels(dz):
    """The sum over all images and positions for each filter, by a matrix product.

    This is faster than a loop.
    """
    rows = dz.reshape(-1, dz.shape[3])
    ones, total = np.empty(len(rows), dz.dtype), np.empty(dz.shape[3], dz.dtype)
    for row in range(len(rows)):
        ones[row] = 1
    np.dot(ones, rows, total)
    return total


@inlined
def aligned_zeros(shape, dtype):
    """Zeros that begin at the start of a cache line.

    Vectors that cross the boundary of a cache line take twice as long to load.
    """
    size = 1
    for length in shape:
        size *= length
    room = np.zeros(size + VECTOR, dtype)
    skip = -room.ctypes.data % VECTOR // room.itemsize
    return room[skip : skip + size].reshape(shape)


@inlined
def _pooling_windows(pool, down, across):
    """Where the cells of the pooling windows are, as indices into a flat array.

    Parameters
    ----------
    pool : Geometry
    down, across : int
        Distances in the flat array between an output of the convolution and those below it and
        to the right of it.

    Returns
    -------
    corners : ndarray (ph*pw,)
        Index of the upper left cell of each pooling window; it may lie in the padding, outside
        the array.
    offsets : ndarray (kh*kw,)
        Distance of each cell of a window from the upper left one.
    """
    corners = np.empty(pool.oh * pool.ow, np.intp)
    for i in range(pool.oh):
        for j in range(pool.ow):
            corner = (i * pool.sh - pool.top) * down + (j * pool.sw - pool.left) * across
            corners[i * pool.ow + j] = corner
    offsets = np.empty(pool.kh * pool.kw, np.intp)
    for cell in range(pool.kh * pool.kw):
        offsets[cell] = cell // pool.kw * down + cell % pool.kw * across
    return corners, offsets


@inlined
def _empty_lists(lists, capacity, dtype):
    """Arrays starts, factors and count for that many lists."""
    return (
        np.empty((lists, capacity), np.intp),
        np.empty((lists, capacity), dtype),
        np.empty(lists, np.uintp),
    )


@inlined
def _append(start, factor, starts, factors, k):
    """Append a window to a list of k, unless its factor is 0; return the new length.

    NaN is not 0. k is unsigned, because Numba tests whether a signed index is negative and counts
    from the end.
    """
    # Always written, and overwritten by the next if the factor is 0: a branch would often be
    # mispredicted.
    starts[k], factors[k] = start, factor
    return k + np.uintp(factor != 0)


@inlined
def _padded_image(g, c, row_length, dtype):
    """Zeros for an image and its border, (lines, width), as far as window rows extend."""
    width = max((g.ow - 1) * g.sw * c + row_length, (g.left + g.w) * c)
    return aligned_zeros((max((g.oh - 1) * g.sh + g.kh, g.top + g.h), width), dtype)


@inlined
def _interior(padded, g, c):
    """The image without its border, (h, w*c)."""
    return padded[g.top : g.top + g.h, g.left * c : (g.left + g.w) * c]


@inlined
def _copy(source, target):
    for row in range(len(source)):
        values, places = source[row], target[row]
        for cell in range(len(values)):
            places[cell] = values[cell]


@inlined
def _transpose(matrix, transposed):
    """transposed[j, i] = matrix[i, j], in blocks of 64 x 16, which fit into the cache."""
    height, width = matrix.shape
    for top in range(0, height, 64):
        for left in range(0, width, 16):
            for j in range(left, min(left + 16, width)):
                # Slices, since an index into two dimensions takes more time than copying a number.
                source, target = matrix[top : top + 64, j], transposed[j, top : top + 64]
                for i in range(len(source)):
                    target[i] = source[i]
