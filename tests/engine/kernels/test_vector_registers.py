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
def blocks_put(out, x, steps, y, count, terms, add):
    vector_registers.matmul_block(3, 32, out, 5, 40, x, 2, 1, steps, y, 3, 33, count, terms, add)
    vector_registers.matmul_block(1, 8, out, 0, 0, x, 0, 0, steps, y, 0, 8, count, terms, add)


@numba.njit
def block_put(columns, out, x, steps, y, count, terms, add):
    vector_registers.matmul_block(
        2, columns, out, 5, 40, x, 2, 1, steps, y, 3, 33, count, terms, add
    )


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize(("count", "terms"), [(1, 1), (9, 9), (9, 4), (8, 4), (9, 20)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_block(rng, dtype, count, terms, add):
    x, y, out = (
        integers(rng, dtype, 9, 9),
        integers(rng, dtype, 20, 20),
        integers(rng, dtype, 4, 40),
    )
    steps, rest = rng.integers(0, 70, 9), (y, 3, 33, count, terms, add)
    expected, found = out.copy(), out.copy()
    vector_registers._matmul_block(3, 32, expected, 5, 40, x, 2, 1, steps, *rest)
    vector_registers._matmul_block(1, 8, expected, 0, 0, x, 0, 0, steps, y, 0, 8, count, terms, add)
    blocks_put(found, x, steps, y, count, terms, add)
    np.testing.assert_array_equal(found, expected)
    lanes = vector_registers.VECTOR // out.itemsize
    for columns in {vector_registers.SHORT, lanes, vector_registers.BLOCK_VECTORS * lanes}:
        expected, found = out.copy(), out.copy()
        vector_registers._matmul_block(2, columns, expected, 5, 40, x, 2, 1, steps, *rest)
        block_put(columns, found, x, steps, y, count, terms, add)
        np.testing.assert_array_equal(found, expected)


@numba.njit
def sums_put(out, x, steps, y, terms):
    vector_registers.matmul_block(1, 8, out, 0, 8, x, 0, 512, steps, y, 0, 8, 512, terms, 0)


def test_short_sums_round_less(rng):
    x, y = np.float32(rng.random(512)), np.float32(rng.random((512, 8)))
    exact, steps, errors = x.astype(float) @ y, np.arange(512), {}
    for terms in (16, 512):
        plain, compiled = np.empty((2, 8), np.float32)
        vector_registers._matmul_block(1, 8, plain, 0, 8, x, 0, 512, steps, y, 0, 8, 512, terms, 0)
        sums_put(compiled, x, steps, y, terms)
        errors[terms] = np.array([np.square(sums - exact).mean() for sums in (plain, compiled)])
    assert (errors[16] < errors[512] / 2).all()
