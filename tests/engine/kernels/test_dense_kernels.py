"""The kernels of dense layers against NumPy, for sizes around those of their blocks."""

import numpy as np
import pytest

from minicnn.engine.kernels import dense
from minicnn.engine.kernels.dense import BLOCK_COLUMNS, BLOCK_ROWS, SINGLE_COLUMNS, TERMS

SIZES = [
    (n, inputs, units)
    for n in (1, BLOCK_ROWS - 1, 2 * BLOCK_ROWS + 1)
    for inputs in (3, TERMS, TERMS + 1, 2 * TERMS + 8)
    for units in (10, BLOCK_COLUMNS, BLOCK_COLUMNS + 1, SINGLE_COLUMNS)
]


def numbers(dtype, *sizes):
    """x, kernel, bias and dy: small integers, whose sums are exact."""
    n, inputs, units = sizes
    rng = np.random.default_rng(sizes)
    shapes = (n, inputs), (inputs, units), (units,), (n, units)
    return [rng.integers(-9, 10, shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("floor", [0, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_integers_are_exact(sizes, dtype, floor):
    x, kernel, bias, dy = numbers(dtype, *sizes)
    expected = x.astype("float64") @ kernel + bias
    floor = x.dtype.type(floor)
    y = dense.forward(x, kernel, bias, floor)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, np.maximum(expected, floor))
    dx, dz, dbias = dense.gradients(x, y, dy, kernel, floor)
    first, last = min(2, len(kernel) - 1), len(kernel)
    rows = dense.grad_kernel(x, dz, first, last)
    expected_dz = dy * (expected > floor)
    expected = (
        expected_dz @ kernel.T,
        expected_dz,
        expected_dz.sum(axis=0),
        x.T[first:] @ expected_dz,
    )
    for found, wanted in zip((dx, dz, dbias, rows), expected, strict=True):
        assert found.dtype == x.dtype
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("units", [10, BLOCK_COLUMNS])
def test_nan_and_infinity_stay_in_their_rows(units):
    x, kernel, bias, _ = numbers("float32", 2 * BLOCK_ROWS + 1, 30, units)
    x[1, 2], x[-1, 3] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = x @ kernel + bias
    for floor in (np.float32(0), np.float32(-np.inf)):
        y = dense.forward(x, kernel, bias, floor)
        np.testing.assert_array_equal(y, np.maximum(expected, floor))
