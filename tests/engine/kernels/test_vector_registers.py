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
def windows_added(rows, length, out, source, starts, factors, count):
    vector_registers.add_windows(
        rows, length, out, 3, 170, source, 2, 95, starts, factors, 1, count
    )


@numba.njit
def one_row_added(rows, length, out, source, starts, factors, count):
    vector_registers.add_windows(1, length, out, 3, 170, source, 2, 95, starts, factors, 1, count)


def blocks(dtype):
    """All sizes of blocks: rows, and numbers in a row."""
    lanes = vector_registers.VECTOR // np.dtype(dtype).itemsize
    for rows in vector_registers.ROWS:
        yield rows, vector_registers.SHORT
        for vectors in range(1, vector_registers.MOST_VECTORS + 1):
            if rows * vectors <= vector_registers.ACCUMULATORS:
                yield rows, vectors * lanes


@pytest.mark.parametrize("dtype", DTYPES)
def test_added_windows(rng, dtype):
    source, out = integers(rng, dtype, 9, 95), integers(rng, dtype, 9, 170)
    starts, factors = rng.integers(0, 40, (2, 4)), integers(rng, dtype, 2, 4)
    count = np.array([4, 3])  # three windows in the second list
    for rows, length in blocks(dtype):
        arguments = source, starts, factors, count
        for function in [windows_added] + [one_row_added] * (rows == 1):
            expected, found = out.copy(), out.copy()
            vector_registers._add_windows(
                rows, length, expected, 3, 170, source, 2, 95, starts, factors, 1, count
            )
            function(rows, length, found, *arguments)
            np.testing.assert_array_equal(found, expected)


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
