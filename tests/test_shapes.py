"""Items 3 and 4: output sizes and padding of sliding windows by TensorFlow's rules."""

import numpy as np
import pytest

from minicnn.shapes import Geometry, same_padding, window_geometry
from tests.reference import padding_rule

GRID = [(n, k, s) for n in range(1, 41) for k in range(1, 8) for s in range(1, 5)]


def test_item_4_same_padding_over_the_whole_grid():
    assert len(GRID) == 1120
    for n, k, s in GRID:
        before, after, count = padding_rule(n, k, s, "same")
        assert same_padding(n, k, s) == (before, after), (n, k, s)
        geometry = window_geometry((n, 50), (k, 1), (s, 1), "same")
        assert (geometry.top, geometry.oh) == (before, count), (n, k, s)


def test_items_3_and_4_valid_drops_what_is_left_over():
    for n, k, s in GRID:
        if k > n:
            with pytest.raises(ValueError, match="does not fit an input of height"):
                window_geometry((n, 50), (k, 1), (s, 1), "valid")
            continue
        geometry = window_geometry((n, 50), (k, 1), (s, 1), "valid")
        assert (geometry.top, geometry.left) == (0, 0)
        last_cell = (geometry.oh - 1) * s + k
        assert last_cell <= n < last_cell + s, (n, k, s)


def test_height_and_width_are_not_mixed_up():
    geometry = window_geometry((28, 10), (5, 2), (3, 1), "same")
    assert geometry == Geometry(28, 10, 5, 2, 3, 1, top=2, left=0, oh=10, ow=10)
    geometry = window_geometry((10, 28), (2, 5), (1, 3), "valid")
    assert geometry == Geometry(10, 28, 2, 5, 1, 3, top=0, left=0, oh=9, ow=8)


EXAMPLES = [(28, 5, 1), (28, 4, 1), (28, 3, 2), (7, 2, 3), (1, 5, 2), *GRID[::40]]


@pytest.mark.parametrize(("n", "k", "s"), EXAMPLES)
def test_item_4_padding_and_output_sizes_of_tensorflow_cell_by_cell(tf, n, k, s):
    """Powers of two as a kernel on an image of ones: each sum tells which cells were inside."""
    kernel = 2.0 ** np.arange(k)
    seen = tf.nn.conv2d(
        tf.ones((1, n, 1, 1)), tf.reshape(tf.constant(kernel, tf.float32), (k, 1, 1, 1)), s, "SAME"
    )
    g = window_geometry((n, 1), (k, 1), (s, 1), "same")
    expected = [sum(kernel[i] for i in range(k) if 0 <= o * s + i - g.top < n) for o in range(g.oh)]
    np.testing.assert_array_equal(np.ravel(seen), expected)
