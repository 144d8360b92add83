"""A dense layer over rows of inputs, in one kernel there and one back.

In NumPy these are two and four calls. Each lets go of the GIL and has to get it back from another
thread, which is then found asleep: with two threads that cost a tenth of a step.
"""

import numpy as np

from minicnn.kernels.jit import jit


@jit
def forward(x, kernel, bias, floor):
    """y (n, units) = x (n, inputs) @ kernel (inputs, units) + bias (units,), at least `floor`.

    `floor` is 0 for a ReLU, and -inf for none.
    """
    y = np.empty((len(x), kernel.shape[1]), x.dtype)
    np.dot(x, kernel, y)
    for row in y:
        for unit in range(len(row)):
            z = row[unit] + bias[unit]
            row[unit] = floor if z < floor else z  # NaN stays NaN
    return y


@jit
def gradients(x, dz, kernel):
    """dx (n, inputs), dkernel (inputs, units) and dbias (units,), from dz (n, units)."""
    inputs, units = kernel.shape
    dkernel = np.empty_like(kernel)
    np.dot(x.T, dz, dkernel)
    dbias = np.zeros(units, dz.dtype)
    for row in dz:
        for unit in range(units):
            dbias[unit] += row[unit]
    # As kernel @ dz': BLAS is slow with a tall matrix transposed on the right.
    dx_transposed = np.empty((inputs, len(dz)), dz.dtype)
    np.dot(kernel, dz.T, dx_transposed)
    dx = np.empty_like(x)
    for i in range(inputs):
        for row in range(len(dz)):
            dx[row, i] = dx_transposed[i, row]
    return dx, dkernel, dbias
