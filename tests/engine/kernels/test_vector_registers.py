"""Sums in vector registers, compared with the plain functions they replace."""

import numba
import numpy as np
import pytest

from minicnn.engine.kernels import vector_registers

DTYPES = ["float32", "float64"]


def integers(rng, dtype, *shape):
    """Small integers, whose sums are exact."""
    return rng.integers(-9, 10, shape).astype(dtype)


@numba.njit
def windows_added(out, source, starts, numbers, count):
    vector_registers.add_windows(2, 16, out, 16, source, 5, starts, numbers, 1, count)


@pytest.mark.parametrize("dtype", DTYPES)
def test_added_windows(rng, dtype):
    source, out = integers(rng, dtype, 8, 8), integers(rng, dtype, 8, 8)
    starts, numbers = rng.integers(0, 40, (2, 4)), integers(rng, dtype, 2, 4)
    count, expected = np.array([4, 3]), out.copy()  # three windows in the second list
    vector_registers._add_windows(2, 16, expected, 16, source, 5, starts, numbers, 1, count)
    windows_added(out, source, starts, numbers, count)
    np.testing.assert_array_equal(out, expected)


@numba.njit
def blocks_put(out, x, steps, y, count):
    vector_registers.matmul_block(3, 32, out, 5, 40, x, 2, 1, steps, y, 3, 33, count)
    vector_registers.matmul_block(1, 8, out, 0, 0, x, 0, 0, steps, y, 0, 8, count)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_block(rng, dtype, count):
    x, y, out = (
        integers(rng, dtype, 9, 9),
        integers(rng, dtype, 20, 20),
        integers(rng, dtype, 4, 40),
    )
    expected, steps = out.copy(), rng.integers(0, 70, 9)
    vector_registers._matmul_block(3, 32, expected, 5, 40, x, 2, 1, steps, y, 3, 33, count)
    vector_registers._matmul_block(1, 8, expected, 0, 0, x, 0, 0, steps, y, 0, 8, count)
    blocks_put(out, x, steps, y, count)
    np.testing.assert_array_equal(out, expected)
