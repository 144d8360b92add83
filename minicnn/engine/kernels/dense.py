"""Dense layer: each row of inputs times a matrix, plus bias, with ReLU merged in.

    y        =  max(x @ kernel + bias, floor)
    dz       =  dy where y > floor, else 0
    dx       =  dz @ kernel'
    dkernel  =  x' @ dz
    dbias    =  sum of the rows of dz

Memory layout: all arrays row by row. The forward pass computes y in blocks of BLOCK_ROWS rows and
BLOCK_COLUMNS units, and sums over TERMS inputs at a time:

                             kernel (inputs, units)
                                  +-----------+
                                  |           |  TERMS
                                  +-----------+
    x (n, inputs)            y (n, units)
          +-------+               +-----------+
          |       |               |   block   |  BLOCK_ROWS
          +-------+               +-----------+
            TERMS                 BLOCK_COLUMNS

Each pass is one kernel. In NumPy these would be two and three calls. Each of them releases the GIL
and has to get it back from another thread, which may have to be woken first: with two threads this
took a tenth of a training step. Also, BLAS copies a large matrix before it multiplies a few rows
with it; `matmul_block` reads the matrix in place.
"""

import numpy as np

from minicnn.engine.compiling import inlined, jit
from minicnn.engine.kernels.relu import relu_backward
from minicnn.engine.kernels.vector_registers import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    matmul_block,
    multiples,
)

# Each sum is split into parts of this many terms, which are then added up. This rounds less than
# one long sum.
TERMS = 256
# A single row is computed in wider blocks: each sum has to wait for the one before, so several of
# them should be under way at the same time.
SINGLE_COLUMNS = 64


@inlined
def _put_rows(rows, columns, x, kernel, bias, first, offsets, y):
    """Write rows `first`, ..., `first + rows - 1` of x @ kernel + bias into y.

    `rows` and `columns` are constants, and the number of units is a multiple of `columns`.
    `offsets` is 0, 1, ..., TERMS - 1.
    """
    inputs, units = kernel.shape
    for row in range(first, first + rows):
        for unit in range(units):
            y[row, unit] = bias[unit]
    for start in range(0, inputs, TERMS):
        count = min(TERMS, inputs - start)
        for unit in range(0, units, columns):
            x_start, kernel_start = first * inputs + start, start * units + unit
            matmul_block(
                rows, columns, y, first * units + unit, units, x, x_start, inputs, offsets,
                kernel, kernel_start, units, count, count, 1,
            )  # fmt: skip


@jit
def forward(x, kernel, bias, floor):
    """Forward pass of a dense layer.

    Parameters
    ----------
    x : ndarray (n, inputs)
    kernel : ndarray (inputs, units)
    bias : ndarray (units,)
    floor : float of the arrays' dtype
        Outputs below it are raised to it: 0 is a ReLU, -inf no activation.

    Returns
    -------
    ndarray (n, units)
        Outputs y.
    """
    n, units = len(x), kernel.shape[1]
    y = np.empty((n, units), x.dtype)
    if units % BLOCK_COLUMNS == 0:
        offsets, rest = multiples(TERMS, 1), n - n % BLOCK_ROWS
        for first in range(0, rest, BLOCK_ROWS):
            _put_rows(BLOCK_ROWS, BLOCK_COLUMNS, x, kernel, bias, first, offsets, y)
        for first in range(rest, n):
            if units % SINGLE_COLUMNS == 0:
                _put_rows(1, SINGLE_COLUMNS, x, kernel, bias, first, offsets, y)
            else:
                _put_rows(1, BLOCK_COLUMNS, x, kernel, bias, first, offsets, y)
    else:
        np.dot(x, kernel, y)
        for row in range(n):
            for unit in range(units):
                y[row, unit] += bias[unit]
    for row in range(n):
        for unit in range(units):
            y[row, unit] = floor if y[row, unit] < floor else y[row, unit]
    return y


@jit
def gradients(x, y, dy, kernel, floor):
    """Backward pass of a dense layer, but for the gradient of its kernel: see `grad_kernel`.

    Parameters
    ----------
    x : ndarray (n, inputs)
    y, dy : ndarray (n, units)
        Outputs and their gradient.
    kernel : ndarray (inputs, units)
    floor : float of the arrays' dtype
        As in `forward`.

    Returns
    -------
    dx : ndarray (n, inputs)
    dz : ndarray (n, units)
    dbias : ndarray (units,)
    """
    inputs, units = kernel.shape
    n = len(x)
    dz = relu_backward(dy, y, floor)
    dbias = np.zeros(units, dz.dtype)
    for row in range(n):
        for unit in range(units):
            dbias[unit] += dz[row, unit]
    # As kernel @ dz': BLAS is slow with a tall transposed matrix on the right.
    dx_transposed = np.empty((inputs, n), dz.dtype)
    np.dot(kernel, dz.T, dx_transposed)
    dx = np.empty_like(x)
    for i in range(inputs):
        for row in range(n):
            dx[row, i] = dx_transposed[i, row]
    return dx, dz, dbias


@jit
def grad_kernel(x, dz, first, last):
    """Rows `first`, ..., `last - 1` of dkernel = x' @ dz, for x (n, inputs) and dz (n, units)."""
    (n, inputs), units = x.shape, dz.shape[1]
    rows = np.empty((last - first, units), x.dtype)
    if units % BLOCK_COLUMNS:
        x_transposed = np.empty((last - first, n), x.dtype)
        for i in range(first, last):
            for row in range(n):
                x_transposed[i - first, row] = x[row, i]
        np.dot(x_transposed, dz, rows)
        return rows
    offsets = multiples(n, inputs)
    whole = (last - first) // BLOCK_ROWS * BLOCK_ROWS
    for unit in range(0, units, BLOCK_COLUMNS):
        for i in range(0, whole, BLOCK_ROWS):
            matmul_block(
                BLOCK_ROWS, BLOCK_COLUMNS, rows, i * units + unit, units, x, first + i, 1, offsets,
                dz, unit, units, n, n, 0,
            )  # fmt: skip
        for i in range(whole, last - first):
            matmul_block(
                1, BLOCK_COLUMNS, rows, i * units + unit, units, x, first + i, 1, offsets,
                dz, unit, units, n, n, 0,
            )  # fmt: skip
    return rows
