"""Sums in vector registers, against the plain functions that stand beside them."""

import numba
import numpy as np
import pytest

from minicnn.kernels import registers

DTYPES = ["float32", "float64"]


def whole(rng, dtype, *shape):
    """Small whole numbers, whose sums are exact."""
    return rng.integers(-9, 10, shape).astype(dtype)


@numba.njit
def windows_added(out, source, starts, numbers, count):
    registers.add_windows(2, 16, out, 16, source, 5, starts, numbers, 1, count)


@pytest.mark.parametrize("dtype", DTYPES)
def test_added_windows(rng, dtype):
    source, out = whole(rng, dtype, 8, 8), whole(rng, dtype, 8, 8)
    starts, numbers = rng.integers(0, 40, (2, 4)), whole(rng, dtype, 2, 4)
    count, expected = np.array([4, 3]), out.copy()  # three windows in the second list
    registers._add_windows(2, 16, expected, 16, source, 5, starts, numbers, 1, count)
    windows_added(out, source, starts, numbers, count)
    np.testing.assert_array_equal(out, expected)


@numba.njit
def products_put(out, x, steps, y, count):
    registers.put_products(3, 32, out, 5, 40, x, 2, 1, steps, y, 3, 33, count)
    registers.put_products(1, 8, out, 0, 0, x, 0, 0, steps, y, 0, 8, count)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_put_products(rng, dtype, count):
    x, y, out = whole(rng, dtype, 9, 9), whole(rng, dtype, 20, 20), whole(rng, dtype, 4, 40)
    expected, steps = out.copy(), rng.integers(0, 70, 9)
    registers._put_products(3, 32, expected, 5, 40, x, 2, 1, steps, y, 3, 33, count)
    registers._put_products(1, 8, expected, 0, 0, x, 0, 0, steps, y, 0, 8, count)
    products_put(out, x, steps, y, count)
    np.testing.assert_array_equal(out, expected)
