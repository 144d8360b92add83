"""A dense layer over rows of inputs, in one kernel there and one back.

In NumPy these are two and four calls. Each lets go of the GIL and has to get it back from another
thread, which is then found asleep: with two threads that cost a tenth of a step. And few rows meet
a large matrix, which BLAS copies before it multiplies: `put_products` reads it as it is.
"""

import numpy as np
from numba.extending import register_jitable

from minicnn.kernels.jit import jit, named
from minicnn.kernels.registers import BLOCK, ROWS, put_products
from minicnn.kernels.relu import grad_before_floor

# Terms of a sum at a time; then those sums are added up, which rounds less than one long sum.
TERMS = 256


def _block_of(rows):
    @register_jitable
    @named("put_block", rows)
    def put_block(x, kernel, bias, first, steps, sums, y):
        """So many rows of y, from `first` on, in a layer of n * BLOCK units."""
        inputs, units = kernel.shape
        for row in range(first, first + rows):
            for unit in range(units):
                y[row, unit] = bias[unit]
        for start in range(0, inputs, TERMS):
            count = min(TERMS, inputs - start)
            for unit in range(0, units, BLOCK):
                terms, factors = first * inputs + start, start * units + unit
                put_products(
                    rows, BLOCK, sums, 0, BLOCK, x, terms, inputs, steps,
                    kernel, factors, units, count,
                )  # fmt: skip
                for row in range(rows):
                    for u in range(BLOCK):
                        y[first + row, unit + u] += sums[row, u]

    return put_block


_put_rows, _put_row = _block_of(ROWS), _block_of(1)


@jit
def forward(x, kernel, bias, floor):
    """y (n, units) = x (n, inputs) @ kernel (inputs, units) + bias (units,), raised to `floor`.

    A floor of 0 is a ReLU, -inf is none.
    """
    n, units = len(x), kernel.shape[1]
    y = np.empty((n, units), x.dtype)
    if units % BLOCK == 0:
        sums, steps = np.empty((ROWS, BLOCK), x.dtype), np.arange(TERMS)
        rest = n - n % ROWS
        for first in range(0, rest, ROWS):
            _put_rows(x, kernel, bias, first, steps, sums, y)
        for first in range(rest, n):
            _put_row(x, kernel, bias, first, steps, sums, y)
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
    """dx (n, inputs), dkernel (inputs, units) and dbias (units,), from y and dy (n, units)."""
    inputs, units = kernel.shape
    n = len(x)
    dz = grad_before_floor(dy, y, floor)
    dbias = np.zeros(units, dz.dtype)
    for row in range(n):
        for unit in range(units):
            dbias[unit] += dz[row, unit]
    # As kernel @ dz': BLAS is slow with a tall matrix transposed on the right.
    dx_transposed = np.empty((inputs, n), dz.dtype)
    np.dot(kernel, dz.T, dx_transposed)
    dx = np.empty_like(x)
    for i in range(inputs):
        for row in range(n):
            dx[row, i] = dx_transposed[i, row]
    return dx, _kernel_gradient(x, dz), dbias


@register_jitable
def _kernel_gradient(x, dz):
    (n, inputs), units = x.shape, dz.shape[1]
    dkernel = np.empty((inputs, units), x.dtype)
    if units % BLOCK == 0 and inputs % ROWS == 0:
        steps = np.arange(n) * inputs
        for i in range(0, inputs, ROWS):
            for unit in range(0, units, BLOCK):
                at = i * units + unit
                put_products(ROWS, BLOCK, dkernel, at, units, x, i, 1, steps, dz, unit, units, n)
    else:
        np.dot(x.T, dz, dkernel)
    return dkernel
