"""The way back through ReLU, in one pass: NumPy needs two, and one to turn booleans to numbers."""

import numpy as np

from minicnn.kernels.jit import jit


@jit
def grad_input(dy, y):
    """dz = dy where y > 0, else 0 times dy, which keeps NaN; flat arrays of one length."""
    dz = np.empty_like(dy)
    one, zero = dy.dtype.type(1), dy.dtype.type(0)
    for i in range(dy.size):
        dz[i] = dy[i] * (one if y[i] > zero else zero)
    return dz
