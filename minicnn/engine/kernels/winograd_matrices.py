"""The matrices of Winograd's minimal filtering, as exact fractions.

A tile of 8 cells and a kernel of r cells make m = 9 - r outputs, in each of the two dimensions:

    y = A' [(G g) * (B' d)]        A (8, m)    B (8, 8)    G (8, r)

Why it works: computing the outputs y_i = sum_k g_k d_(i+k) is the transpose of multiplying two
polynomials, of m and r coefficients. Their product has m + r - 1 = 8 coefficients and is determined
by its values at 8 points: evaluate both factors, P_m and P_r, multiply the values, and interpolate,
P_8^-1. Here P_k is the Vandermonde matrix (8, k) of the points' powers. The transpose is
y = P_m' [(P_r g) * (P_8^-1' d)], so A = P_m, G = P_r and B = P_8^-1.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
"""

from fractions import Fraction
from functools import cache

import numpy as np

TILE = 8
# In pairs +-p, and small: large powers of large points would lose digits. The last one, infinity,
# is not in the list.
POINTS = [Fraction(p) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]


@cache
def matrices(r):
    """The matrices A, B and G.

    Parameters
    ----------
    r : int
        Height and width of the kernel, which gives m = 9 - r outputs per tile and dimension.

    Returns
    -------
    a, b, g : ndarray of Fraction (8, m), (8, 8), (8, r)

    Notes
    -----
    Row p of A and of G contains the powers of point p; infinity has only the highest power. Column
    p of B contains the coefficients of the polynomial that is 0 at all other points. It should be 1
    at p itself; this factor is moved to G, which leaves simple numbers in B.
    """
    a, b, g = [], [], []
    for point in POINTS:
        others = [other for other in POINTS if other != point]
        value = Fraction(1)
        for other in others:
            value *= point - other
        a.append([point**i for i in range(TILE + 1 - r)])
        g.append([point**k / value for k in range(r)])
        b.append([*_polynomial(others), Fraction(0)])
    a.append([Fraction(int(i == TILE - r)) for i in range(TILE + 1 - r)])
    g.append([Fraction(int(k == r - 1)) for k in range(r)])
    b.append(_polynomial(POINTS))
    return np.array(a), np.array(b).T, np.array(g)


def _polynomial(roots):
    """Coefficients of the product of (x - root), beginning with the constant."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [s - t for s, t in zip(shifted, scaled, strict=True)]
    return coefficients
