"""The matrices of Winograd's minimal filtering, as exact fractions.

A tile of n cells and a kernel of r cells make m = n + 1 - r outputs, in each of the two dimensions:

    y = A' [(G g) * (B' d)]        A (n, m)    B (n, n)    G (n, r)

Why it works: computing the outputs y_i = sum_k g_k d_(i+k) is the transpose of multiplying two
polynomials, of m and r coefficients. Their product has m + r - 1 = n coefficients and is determined
by its values at n points: evaluate both factors, P_m and P_r, multiply the values, and interpolate,
P_n^-1. Here P_k is the Vandermonde matrix (n, k) of the points' powers. The transpose is
y = P_m' [(P_r g) * (P_n^-1' d)], so A = P_m, G = P_r and B = P_n^-1.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
"""

from fractions import Fraction
from functools import cache

import numpy as np

# For each kernel size, the points, in pairs p and -p. The last one, infinity, is not in the lists.
# Each point more saves products and doubles the rounding error. Of all points, these have the
# smallest `error_growth` for their number, but for being rounded to few digits.
POINTS = {
    3: [Fraction(p) for p in ("21/32", "-21/32", "49/32", "-49/32", "0")],
    5: [Fraction(p) for p in ("9/32", "-9/32", "27/32", "-27/32", "7/4", "-7/4")],
}


def tile_size(r):
    """Height and width of a tile, for a kernel of r x r."""
    return len(POINTS[r]) + 1


@cache
def matrices(r, points=None):
    """The matrices A, B and G.

    Parameters
    ----------
    r : int
        Height and width of the kernel, which gives m = n + 1 - r outputs per tile and dimension.
    points : tuple of Fraction, optional
        n - 1 different numbers. Default: POINTS[r].

    Returns
    -------
    a, b, g : ndarray of Fraction (n, m), (n, n), (n, r)

    Notes
    -----
    Row p of A and of G contains the powers of point p; infinity has only the highest power. Column
    p of B contains the coefficients of the polynomial that is 0 at all other points. It should be 1
    at p itself; this factor is moved to G, which leaves simple numbers in B.
    """
    points = POINTS[r] if points is None else points
    m = len(points) + 2 - r
    a, b, g = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        value = Fraction(1)
        for other in others:
            value *= point - other
        a.append([point**i for i in range(m)])
        g.append([point**k / value for k in range(r)])
        b.append([*_polynomial(others), Fraction(0)])
    a.append([Fraction(int(i == m - 1)) for i in range(m)])
    g.append([Fraction(int(k == r - 1)) for k in range(r)])
    b.append(_polynomial(points))
    return np.array(a), np.array(b).T, np.array(g)


def error_growth(r, points=None):
    """How much larger rounding errors are than those of the formula, in one dimension.

    The sum over channels at point p is rounded in proportion to its size, which is that of row p of
    G g times row p of B' d, and reaches the outputs by row p of A. For numbers g and d that are
    independent of each other, the squares of these errors add up to

        sum over p of |A_p|^2 |G_p|^2 |B'_p|^2 / m / r

    In two dimensions the error grows by the square of the result.
    """
    a, b, g = (matrix.astype(float) for matrix in matrices(r, points))
    sizes = [(rows**2).sum(axis=1) for rows in (a, g, b.T)]
    return float(np.sqrt(np.prod(sizes, axis=0).sum() / a.shape[1] / r))


def _polynomial(roots):
    """Coefficients of the product of (x - root), beginning with the constant."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [s - t for s, t in zip(shifted, scaled, strict=True)]
    return coefficients
