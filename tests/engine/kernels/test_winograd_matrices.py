"""The matrices of Winograd's convolution, in exact fractions, and the choice of their points."""

from fractions import Fraction

import numpy as np
import pytest

from minicnn.engine.kernels.winograd_matrices import POINTS, error_growth, matrices, tile_size

sizes = pytest.mark.parametrize("r", POINTS)


@sizes
def test_outputs_are_exact_in_fractions(rng, r):
    n = tile_size(r)
    a, b, g = matrices(r)
    d, kernel = (np.array([Fraction(int(i)) for i in rng.integers(-9, 9, k)]) for k in (n, r))
    outputs = a.T @ ((g @ kernel) * (b.T @ d))
    assert outputs.tolist() == [d[i : i + r] @ kernel for i in range(n + 1 - r)]
    for matrix in (a, b):  # only G is rounded, once
        assert (matrix.astype(np.float32).astype(float) == matrix.astype(float)).all()


@sizes
def test_no_other_points_near_these_round_less(r):
    """Each point p is moved by 1/16, and -p with it; zero and infinity remain."""
    moved = [
        tuple(p if abs(p) != point else p + step * (1 if p > 0 else -1) for p in POINTS[r])
        for point in {abs(p) for p in POINTS[r]} - {0}
        for step in (Fraction(-1, 16), Fraction(1, 16))
    ]
    assert len(moved) == len(POINTS[r]) // 2 * 2
    assert error_growth(r) < min(error_growth(r, points) for points in moved)


def test_each_point_more_doubles_the_error():
    eight = tuple(map(Fraction, ("1", "-1", "2", "-2", "1/2", "-1/2", "0")))
    growth = [error_growth(5, points) ** 2 for points in (tuple(POINTS[3]), None, eight)]
    assert 1.7 < growth[1] / growth[0] < 2.1
    assert 1.7 < growth[2] / growth[1] < 2.1


def test_error_growth_is_that_of_sums_in_float32(rng):
    """Errors of whole convolutions by two sets of points are in the ratio of their growth."""
    eight = [Fraction(p) for p in ("1", "-1", "2", "-2", "1/2", "-1/2", "0")]
    x = rng.standard_normal((40, 8, 8, 32))
    kernel, errors = rng.standard_normal((5, 5, 32, 1)), []
    for points in (POINTS[5], eight):
        a, b, g = (m.astype(float) for m in matrices(5, tuple(points)))
        tile = x[:, : len(b), : len(b)]
        u = np.einsum("pi,ijcf,qj->pqcf", g, kernel, g)
        v = np.einsum("ip,nijc,jq->npqc", b, tile, b)
        exact = np.einsum("npqc,pqcf->npqf", v, u)
        sums, u, v = 0, u.astype(np.float32), v.astype(np.float32)
        for ch in range(32):
            sums = sums + v[..., ch, None] * u[None, :, :, ch]
        assert sums.dtype == np.float32
        lost = np.einsum("pi,npqf,qj->nijf", a, sums - exact, a)
        errors.append(np.sqrt(np.square(lost).mean()))
    predicted = (error_growth(5, tuple(eight)) / error_growth(5)) ** 2
    assert errors[1] / errors[0] == pytest.approx(predicted, rel=0.25)
