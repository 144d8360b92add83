"""The step of an optimizer over one weight array: one pass, as long as the arrays are in cache."""

import numpy as np

from minicnn.kernels.jit import jit


@jit
def adam(weight, gradient, m, v, alpha, beta_1, beta_2, epsilon):
    """Adam's update of `weight` and of both moments, in place; all arrays flat, of one length.

    `alpha` is the learning rate with both bias corrections in it, see `optimizers.Adam`. The four
    numbers come in the dtype of the arrays, or float32 weights would be computed in float64.
    """
    one = weight.dtype.type(1)
    for i in range(weight.size):
        g = gradient[i]
        m[i] += (g - m[i]) * (one - beta_1)
        v[i] += (g * g - v[i]) * (one - beta_2)
        weight[i] -= m[i] * alpha / (np.sqrt(v[i]) + epsilon)
