"""Matrix products of parts of matrices, compared with the plain functions they replace."""

import numba
import numpy as np
import pytest

from minicnn.engine.kernels.strided_matmul import add_matmul_of_transposed, matmul


def products(x, y, out, total, zero_and_one):
    matmul(x[:, 2:5], y[1:4, 3:9], out[:, 1:7], zero_and_one)
    add_matmul_of_transposed(x[:, 2:5], out[:, 1:7], total[1:, :6], zero_and_one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_parts_of_matrices(rng, dtype):
    shapes = (5, 7), (4, 9), (5, 8), (4, 7)
    x, y, *expected = (rng.integers(-9, 9, shape).astype(dtype) for shape in shapes)
    ours = [array.copy() for array in expected]
    numbers = np.array([0, 1], dtype)
    products(x, y, *expected, numbers)
    numba.njit(products)(x, y, *ours, numbers)
    for array, by_python in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(array, by_python)
