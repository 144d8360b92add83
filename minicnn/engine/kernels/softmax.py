"""Softmax and its cross-entropy loss, row by row, in double precision.

    m             =  max over j of z[j]
    total         =  sum over j of exp(z[j] - m)
    y[j]          =  exp(z[j] - m) / total
    loss          =  log(total) - (z[label] - m)
    gradient[j]   =  y[j] - (1 if j == label else 0)

Memory layout:

    z, y, gradient (n, classes)        | row 0: one value per class | row 1 | ... | row n-1 |
    labels, losses (n,)                | 0 | 1 | ... | n-1 |
    exponentials (classes,), float64   | exp(z[j] - m) of the current row |

The order of operations must not change: computed as log(total) - z[label] + m, the loss would lose
log(total) to rounding where scores are huge. So these kernels are compiled without fastmath.
"""

import numpy as np

from minicnn.engine.compiling import brief, inlined


@brief
def softmax(z):
    """Softmax of each row.

    Parameters
    ----------
    z : ndarray (n, classes)
        Scores.

    Returns
    -------
    ndarray (n, classes)
        Probabilities; each row sums to 1.
    """
    y = np.empty_like(z)
    exponentials = np.empty(z.shape[1], np.float64)
    for row in range(len(z)):
        _, total = _exponentials(z[row], exponentials)
        for j in range(z.shape[1]):
            y[row, j] = exponentials[j] / total
    return y


@brief
def cross_entropy(labels, z):
    """Cross-entropy of softmax(z) and its gradient: see `losses.cross_entropy_of_logits`.

    Parameters
    ----------
    labels : integer ndarray (n,)
        The correct class of each sample.
    z : ndarray (n, classes)
        Scores.

    Returns
    -------
    losses : float64 ndarray (n,)
    gradient : ndarray (n, classes)
        Of each sample's loss with respect to its scores.
    """
    losses, gradient = np.empty(len(z), np.float64), np.empty_like(z)
    exponentials = np.empty(z.shape[1], np.float64)
    for row in range(len(z)):
        label = labels[row]
        largest, total = _exponentials(z[row], exponentials)
        losses[row] = np.log(total) - (np.float64(z[row, label]) - largest)
        for j in range(z.shape[1]):
            gradient[row, j] = exponentials[j] / total - (j == label)
    return losses, gradient


@inlined
def _exponentials(z, exponentials):
    """Fill `exponentials` with exp(z - max(z)) for one row z; return max(z) and their sum."""
    largest, total = np.float64(z[0]), 0.0
    for j in range(1, len(z)):  # NumPy's `max` takes a second to compile
        largest = max(largest, z[j])
    for j in range(len(z)):
        exponentials[j] = np.exp(z[j] - largest)
        total += exponentials[j]
    return largest, total
