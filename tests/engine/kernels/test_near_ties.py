"""After Winograd's algorithm, max pooling decides as it would by the formula."""

import numpy as np
import pytest

from minicnn.engine.kernels import im2col, pooling, winograd
from minicnn.shapes import window_geometry


def pooled(algorithm, x, kernel, bias, floor, dtype):
    """Maxima of windows of 2x2, and which cell won; computed in this dtype."""
    (n, h, w, _), (kh, kw, _, f) = x.shape, kernel.shape
    g = window_geometry((h, w), (kh, kw), (1, 1), "same")
    pool = window_geometry((h, w), (2, 2), (2, 2), "valid")
    x, kernel, bias = x.astype(dtype), kernel.astype(dtype), bias.astype(dtype)
    winner, floor = np.empty((n, pool.oh, pool.ow, f), np.uint8), dtype(floor)
    if algorithm is winograd:
        kernel = winograd.prepare(kernel)
        y = winograd.forward_pooled(x, kernel, bias, g, pool, winner, floor)
    else:
        y = pooling.forward(algorithm.forward(x, kernel, bias, g), pool, winner, floor)
    return y, winner


def integers(side, c, f, size=14, images=16):
    """x, kernel and bias, whose sums of products are exact, and of which some are equal."""
    rng = np.random.default_rng(side)
    x = rng.integers(0, 16, (images, size, size, c))
    return x, rng.integers(-8, 9, (side, side, c, f)), rng.integers(-5, 6, f)


@pytest.mark.parametrize("floor", [0, -np.inf])
@pytest.mark.parametrize(("side", "c", "f"), [(5, 32, 64), (3, 32, 64), (5, 9, 20)])
def test_equal_values_are_decided_as_by_the_formula(side, c, f, floor):
    x, kernel, bias = integers(side, c, f)
    y, winner = pooled(winograd, x, kernel, bias, floor, np.float32)
    exact, right = pooled(im2col, x, kernel, bias, floor, np.float64)
    assert ((winner == right) | (exact <= floor)).all()
    assert ((y > floor) == (exact > floor)).all()


def test_images_that_are_the_same_everywhere_are_left_alone():
    """All filters are undecided in most windows; the outputs are those of the formula, rounded."""
    x, kernel, bias = integers(5, 32, 64)
    x[:, :, 4:] = 3
    y, _ = pooled(winograd, x, kernel, bias, 0, np.float32)
    exact, _ = pooled(im2col, x, kernel, bias, 0, np.float64)
    np.testing.assert_allclose(y, exact, rtol=0, atol=1e-5 * exact.max())


def test_nan_stays_nan():
    x, kernel, bias = (array.astype(float) for array in integers(3, 8, 8))
    x[0, 3, 3, 0] = np.nan
    y, _ = pooled(winograd, x, kernel, bias, 0, np.float32)
    assert np.isnan(y[0]).any()
    assert not np.isnan(y[1:]).any()
