"""After Winograd's algorithm, max pooling decides as it would by the formula."""

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.engine.kernels import im2col, pooling, winograd
from minicnn.layers import Conv2D, MaxPooling2D
from minicnn.shapes import window_geometry


def pooled(algorithm, x, kernel, bias, floor, dtype):
    """Maxima of windows of 2x2, and which cell won; computed in this dtype."""
    (n, h, w, _), (kh, kw, _, f) = x.shape, kernel.shape
    g = window_geometry((h, w), (kh, kw), (1, 1), "same")
    pool = window_geometry((h, w), (2, 2), (2, 2), "valid")
    x, kernel, bias = x.astype(dtype), kernel.astype(dtype), bias.astype(dtype)
    winner, floor = np.empty((n, pool.oh, pool.ow, f), np.uint8), dtype(floor)
    if algorithm == "winograd":
        kernel = winograd.prepare(kernel)
        return winograd.forward_pooled(x, kernel, bias, g, pool, winner, floor), winner
    if algorithm == "winograd alone":
        z = winograd.forward(x, winograd.prepare(kernel), bias, g)
    else:
        z = im2col.forward(x, kernel, bias, g)
    return pooling.forward(z, pool, winner, floor), winner


def integers(side, c, f, size=14, images=16):
    """x, kernel and bias, whose sums of products are exact, and of which some are equal."""
    rng = np.random.default_rng(side)
    x = rng.integers(0, 16, (images, size, size, c))
    return x, rng.integers(-8, 9, (side, side, c, f)), rng.integers(-5, 6, f)


@pytest.mark.parametrize(("floor", "shift"), [(0, 0), (-np.inf, -40_000)])
@pytest.mark.parametrize(("side", "c", "f"), [(5, 32, 64), (3, 32, 64), (5, 9, 20)])
def test_equal_values_are_decided_as_by_the_formula(side, c, f, floor, shift):
    x, kernel, bias = integers(side, c, f)
    bias += shift
    y, winner = pooled("winograd", x, kernel, bias, floor, np.float32)
    exact, right = pooled("im2col", x, kernel, bias, floor, np.float64)
    assert ((winner == right) | (exact <= floor)).all()
    assert ((y > floor) == (exact > floor)).all()


@pytest.mark.parametrize(("filters", "most"), [(2, 8), (3, 0)])
def test_uniform_images_are_left_to_winograd(filters, most):
    """In all their windows these filters have near ties, and to decide them would take time."""
    x, kernel, bias = np.full((4, 14, 14, 32), 3.3), *integers(5, 32, 64)[1:]
    kernel[..., :filters] = abs(kernel[..., :filters])
    bias[filters:] = -1e6  # others are far below the floor
    y, _ = pooled("winograd", x, kernel, bias, 0, np.float32)
    rounded, _ = pooled("winograd alone", x, kernel, bias, 0, np.float32)
    decided = (y != rounded).sum(axis=(1, 2, 3))
    assert decided.max() <= most
    assert decided.any() == (most > 0)


def test_nan_stays_nan():
    x, kernel, bias = (array.astype(float) for array in integers(3, 8, 8))
    x[0, 3, 3, 0] = np.nan
    y, _ = pooled("winograd", x, kernel, bias, 0, np.float32)
    assert np.isnan(y[0]).any()
    assert not np.isnan(y[1:]).any()


def test_an_array_that_was_once_a_kernel_may_be_changed():
    x, kernel, bias = integers(5, 32, 64)
    layer = Conv2D(64, 5, padding="same", activation="relu")
    model = Sequential([Input(x.shape[1:]), layer, MaxPooling2D()])
    model.set_weights([kernel, bias])
    expected = model.predict_on_batch(x)
    once = layer.params["kernel"]
    layer.params["kernel"] = once.copy()
    once[:] = 0
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)
