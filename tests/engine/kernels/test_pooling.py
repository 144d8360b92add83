"""Max pooling against plain loops."""

import numpy as np
import pytest
from hypothesis import given

from minicnn.engine.kernels import pooling
from tests.reference import Case, cases, pool_gradient_loops, pool_loops, quick, random_array

FLOATS = [np.float32, np.float64]
floats = pytest.mark.parametrize("dtype", FLOATS, ids=["float32", "float64"])


def pool(x, case, winner_type=np.uint8):
    winner = np.full((case.n, *case.output_size, case.c), 77, winner_type)
    return pooling.forward(x, case.geometry, winner, -np.inf), winner


# The values of images are drawn from: ordinary numbers; few, so that there are many ties; numbers
# that are special in comparisons.
VALUES = {
    "normal": None,
    "ties": [0.0, 0.0, 1.0],
    "special": [-np.inf, -np.inf, 0.0, np.nan, np.inf],
    "minus infinity": [-np.inf],
    "nan": [np.nan],
}


@pytest.mark.parametrize("values", VALUES)
@floats
@quick
@given(case=cases(images=2, longest=8))
def test_items_3_and_5_pooling_equals_loops(values, dtype, case):
    """Of equal values the first wins; overlapping windows, padding, NaN and infinity."""
    rng = np.random.default_rng(list(case[:-1]))
    x = random_array(rng, case.x_shape, dtype)
    if VALUES[values] is not None:
        x = rng.choice(np.array(VALUES[values], dtype), case.x_shape)
    before = x.copy()
    y, winner = pool(x, case)
    expected_y, expected_winner = pool_loops(x, case)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(winner, expected_winner)
    np.testing.assert_array_equal(x, before)

    dy = random_array(rng, y.shape, dtype, whole=True)  # overlapping windows add up, exactly
    before = dy.copy(), winner.copy()
    dx = pooling.grad_input(dy, winner, case.geometry)
    np.testing.assert_array_equal(dx, pool_gradient_loops(dy, expected_winner, case))
    np.testing.assert_array_equal(dy, before[0])
    np.testing.assert_array_equal(winner, before[1])
    assert y.dtype == dx.dtype == dtype


@floats
def test_winners_of_windows_with_more_than_256_cells(dtype):
    case = Case(2, 20, 21, 2, 1, 17, 18, 2, 3, "valid")
    x = np.random.default_rng(3).permutation(2 * 20 * 21 * 2).reshape(case.x_shape).astype(dtype)
    y, winner = pool(x, case, np.uint16)
    expected_y, expected_winner = pool_loops(x, case)
    assert expected_winner.max() > 255
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(winner, expected_winner)
    dy = np.ones_like(y)
    dx = pooling.grad_input(dy, winner, case.geometry)
    np.testing.assert_array_equal(dx, pool_gradient_loops(dy, expected_winner, case))
