"""The step of an optimizer over one weight array: one pass, as long as the arrays are in cache."""

import numpy as np

from minicnn.kernels.jit import jit


@jit
def adam(weight, gradient, m, v, alpha, beta_1, beta_2, epsilon, smallest):
    """Adam's update of `weight` and of both moments, in place; all arrays flat, of one length.

    `alpha` is the learning rate with both bias corrections in it, see `optimizers.Adam`. The
    numbers come in the dtype of the arrays, or float32 weights would be computed in float64.

    A moment below the `smallest` normal number becomes 0. The moments of weights whose gradient
    stays 0 would otherwise shrink into the denormal numbers after some 800 steps, and stay there:
    55,000 of them in an epoch of the tutorial. Processors take a hundred times as long over these.
    """
    one, zero = weight.dtype.type(1), weight.dtype.type(0)
    for i in range(weight.size):
        g = gradient[i]
        first = m[i] + (g - m[i]) * (one - beta_1)
        second = v[i] + (g * g - v[i]) * (one - beta_2)
        m[i] = zero if abs(first) < smallest else first
        v[i] = zero if abs(second) < smallest else second
        weight[i] -= m[i] * alpha / (np.sqrt(v[i]) + epsilon)
