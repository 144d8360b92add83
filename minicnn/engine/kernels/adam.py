"""Adam's update of one weight array.

    m       =  m + (g - m) * rate_1          rate_1 = 1 - beta_1
    v       =  v + (g*g - v) * rate_2        rate_2 = 1 - beta_2
    weight  =  weight - m * alpha / (sqrt(v) + epsilon)

Memory layout: four flat arrays of one length, in which element i belongs to weight i:

    weight, gradient g, m, v    | 0 | 1 | 2 | ... |

All of them are processed in a single pass, while their elements are in the cache. Operations are
rounded one by one, as in Keras, so that both take the same steps for a long time.
"""

import numpy as np

from minicnn.engine.compiling import exact


@exact
def adam(weight, gradient, m, v, alpha, rate_1, rate_2, epsilon, smallest):
    """Update a weight array and both of its moments in place.

    Parameters
    ----------
    weight, gradient, m, v : ndarray (size,)
        `weight` and the moments m and v are updated; `gradient` is read.
    alpha : float
        The learning rate, including both bias corrections: see `optimizers.Adam`.
    rate_1, rate_2, epsilon : float
        1 - beta_1, 1 - beta_2, and as in Keras.
    smallest : float
        The smallest normal number of the dtype. Smaller moments are set to 0.

    Notes
    -----
    All numbers must have the dtype of the arrays. With Python floats, float32 weights would be
    computed in float64.

    The moments of weights whose gradient stays 0 would otherwise become denormal numbers after
    some 800 steps, and remain denormal: 55,000 of them in one epoch of the tutorial. Arithmetic on
    denormal numbers takes a processor a hundred times as long.
    """
    zero = weight.dtype.type(0)
    for i in range(weight.size):
        g = gradient[i]
        first = m[i] + (g - m[i]) * rate_1
        second = v[i] + (g * g - v[i]) * rate_2
        m[i] = zero if abs(first) < smallest else first
        v[i] = zero if abs(second) < smallest else second
        weight[i] -= m[i] * alpha / (np.sqrt(v[i]) + epsilon)
