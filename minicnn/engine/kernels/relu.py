"""Backward pass of ReLU, from its output.

    dz = dy   where y > floor
    dz = 0    elsewhere

Memory layout: three arrays of one shape, contiguous, processed as flat arrays:

    y, dy -> dz    | value 0 | value 1 | value 2 | ...

This is a single pass over memory. NumPy needs three: to compare, to convert booleans to numbers
and to multiply.
"""

import numpy as np

from minicnn.engine.compiling import jit


@jit
def relu_backward(dy, y, floor):
    """Gradient dz of the input of y = max(z, floor).

    Parameters
    ----------
    dy, y : ndarray of one shape
        Gradient of the output, and the output.
    floor : float of the arrays' dtype
        0 for ReLU; -inf if there is no activation, in which case dy itself is returned.

    Returns
    -------
    ndarray
        dy times 1 where y > floor and times 0 elsewhere, so NaN in dy stays NaN.
    """
    if floor == -np.inf:
        return dy
    dz = np.empty_like(dy)
    one, zero = dy.dtype.type(1), dy.dtype.type(0)
    flat_dz, flat_dy, flat_y = dz.reshape(-1), dy.reshape(-1), y.reshape(-1)
    for i in range(dy.size):
        flat_dz[i] = flat_dy[i] * (one if flat_y[i] > floor else zero)
    return dz
