"""Softmax and its cross-entropy, row by row, in double precision.

No sum may be reordered: log(total) - (z - largest) would lose the logarithm of huge scores as
log(total) - z + largest.
"""

import numpy as np

from minicnn.kernels.jit import brief


@brief
def softmax(z):
    """y = exp(z) / sum(exp(z)) of each row of z (n, classes), less its largest number."""
    y = np.empty_like(z)
    exponentials = np.empty(z.shape[1], np.float64)
    for row in range(len(z)):
        total = _exponentials(z[row], exponentials)
        for j in range(z.shape[1]):
            y[row, j] = exponentials[j] / total
    return y


@brief
def cross_entropy(labels, z):
    """Losses (n,) float64 and gradient (n, classes): see `losses.cross_entropy_of_logits`."""
    losses, gradient = np.empty(len(z), np.float64), np.empty_like(z)
    exponentials = np.empty(z.shape[1], np.float64)
    for row in range(len(z)):
        label = labels[row]
        total = _exponentials(z[row], exponentials)
        losses[row] = np.log(total) - (np.float64(z[row, label]) - z[row].max())
        for j in range(z.shape[1]):
            gradient[row, j] = exponentials[j] / total - (j == label)
    return losses, gradient


@brief
def _exponentials(z, exponentials):
    """exp(z - m) of the numbers of one row, m the largest of them; returns the sum."""
    largest, total = np.float64(z.max()), 0.0
    for j in range(len(z)):
        exponentials[j] = np.exp(z[j] - largest)
        total += exponentials[j]
    return total
