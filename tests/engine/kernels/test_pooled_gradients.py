"""Gradients of a convolution before a max pooling, against those of both one after the other."""

import numpy as np
import pytest

from minicnn.engine.kernels import direct, pooled_gradients, pooling
from minicnn.shapes import window_geometry
from tests.tolerances import assert_close

CASES = {  # images, channels, filters; kernel, strides, padding; pool, strides, padding
    "as in the tutorial": ((9, 10), 16, 16, (5, 5), (1, 1), "same", (2, 2), (2, 2), "valid"),
    "one channel": ((9, 8), 1, 3, (5, 5), (1, 1), "same", (2, 2), (2, 2), "valid"),
    "windows overlap": ((8, 7), 3, 5, (2, 3), (1, 1), "valid", (3, 2), (1, 1), "same"),
    "strides": ((11, 9), 2, 4, (3, 2), (2, 3), "same", (2, 1), (2, 1), "same"),
    "gaps between windows": ((12, 9), 4, 9, (3, 3), (1, 1), "valid", (2, 2), (3, 4), "valid"),
    "a rest beyond windows": ((10, 13), 8, 3, (3, 3), (4, 4), "valid", (2, 2), (1, 1), "valid"),
    "one pixel": ((1, 1), 5, 2, (3, 3), (1, 1), "same", (2, 2), (2, 2), "same"),
}


def pooled_convolution(rng, case, dtype):
    """The arguments of the gradients; a third of dy is zero."""
    size, c, f, kernel, strides, padding, pool, pool_strides, pool_padding = CASES[case]
    g = window_geometry(size, kernel, strides, padding)
    pool = window_geometry((g.oh, g.ow), pool, pool_strides, pool_padding)
    x = rng.standard_normal((3, *size, c)).astype(dtype)
    kernel = rng.standard_normal((*kernel, c, f)).astype(dtype)
    winner = np.empty((3, pool.oh, pool.ow, f), np.uint8)
    y = pooling.forward(
        rng.standard_normal((3, g.oh, g.ow, f)).astype(dtype), pool, winner, -np.inf
    )
    dy = (rng.standard_normal(y.shape) * (rng.random(y.shape) < 2 / 3)).astype(dtype)
    return x, kernel, y, dy, winner, g, pool


def gradients(x, kernel, y, dy, winner, g, pool, floor=-np.inf):
    """dx, dkernel, dbias; without dx the others have the same bits."""
    operands = x, y, dy, winner, x.dtype.type(floor)
    dx, *grads = pooled_gradients.gradients(*operands, pooled_gradients.prepare(kernel), g, pool)
    alone = pooled_gradients.weight_gradients(*operands, g, pool)
    for found, expected in zip(alone, grads, strict=True):
        np.testing.assert_array_equal(found, expected)
    return dx, *grads


@pytest.mark.parametrize("floor", [0, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_formula(rng, case, dtype, floor):
    x, kernel, y, dy, winner, g, pool = pooled_convolution(rng, case, dtype)
    y[0, 0, 0, 0], dy[0, 0, 0, 0] = 0, 1  # no gradient passes there if the floor is 0
    dx, dkernel, dbias = gradients(x, kernel, y, dy, winner, g, pool, floor)
    dz = dy.astype(np.float64) * (y > floor)
    unpooled = pooling.grad_input(dz, winner, pool)
    assert_close(dx, direct.grad_input(unpooled, kernel.astype(np.float64), g), dtype)
    assert_close(dkernel, direct.grad_kernel(x.astype(np.float64), unpooled, g), dtype)
    assert_close(dbias, dz.sum(axis=(0, 1, 2)), dtype)
    assert dx.dtype == dkernel.dtype == dbias.dtype == dtype


def test_one_output_may_win_all_the_windows_that_hold_it(rng):
    x, kernel, y, dy, winner, g, pool = pooled_convolution(rng, "windows overlap", "float64")
    z = np.zeros((3, g.oh, g.ow, dy.shape[3]))
    z[:, 2::3, 1::2] = 1
    pooling.forward(z, pool, winner, -np.inf)
    dy = rng.standard_normal(dy.shape)
    unpooled = pooling.grad_input(dy, winner, pool)
    dx, dkernel, _ = gradients(x, kernel, y, dy, winner, g, pool)
    assert_close(dx, direct.grad_input(unpooled, kernel, g), "float64")
    assert_close(dkernel, direct.grad_kernel(x, unpooled, g), "float64")


def test_integers_are_exact(rng):
    x, kernel, y, dy, winner, g, pool = pooled_convolution(rng, "as in the tutorial", "float32")
    x, kernel, dy = np.round(x), np.round(kernel), np.round(dy)
    unpooled = pooling.grad_input(dy, winner, pool)
    dx, dkernel, dbias = gradients(x, kernel, y, dy, winner, g, pool)
    np.testing.assert_array_equal(dx, direct.grad_input(unpooled, kernel, g))
    np.testing.assert_array_equal(dkernel, direct.grad_kernel(x, unpooled, g))
    np.testing.assert_array_equal(dbias, dy.sum(axis=(0, 1, 2)))


def test_nan_and_infinity_are_not_taken_for_zeros(rng):
    x, kernel, y, dy, winner, g, pool = pooled_convolution(rng, "as in the tutorial", "float32")
    dy[1, 2, 2, 3], dy[2, 1, 1, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        dx, dkernel, dbias = gradients(x, kernel, y, dy, winner, g, pool)
    assert np.isfinite(dx[0]).all()
    # A window of 5x5 pixels, whose rows are filled up to whole vectors.
    rows, *_ = np.isnan(dx[1]).nonzero()
    assert len(set(rows)) == 5
    assert 5 * 5 * 16 <= len(rows) < 5 * 7 * 16
    assert np.isinf(dx[2]).any()
    assert np.isnan(dkernel[..., 3]).all()
    assert not np.isfinite(dkernel[..., 0]).any()
    assert np.isfinite(dkernel[..., 4:]).all()
    assert np.isnan(dbias[3])
    assert np.isinf(dbias[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_aligned_to_cache_lines(dtype):
    arrays = [pooled_gradients.aligned_zeros((n, 3), dtype) for n in range(1, 20)]
    assert [array.ctypes.data % 64 for array in arrays] == [0] * len(arrays)
    assert [array.shape for array in arrays] == [(n, 3) for n in range(1, 20)]
