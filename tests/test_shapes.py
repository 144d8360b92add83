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


@pytest.mark.parametrize(
    ("size", "window", "stride", "expected"),
    [(28, 5, 1, (2, 2)), (28, 4, 1, (1, 2)), (28, 3, 2, (0, 1)), (14, 5, 1, (2, 2))],
)
def test_item_4_examples_of_same_padding(size, window, stride, expected):
    assert same_padding(size, window, stride) == expected


def test_every_window_of_same_padding_touches_the_image():
    for n, k, s in GRID:
        before, after = same_padding(n, k, s)
        last_start = (-(-n // s) - 1) * s - before
        assert before < k
        assert after < k
        assert last_start < n


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


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_item_4_output_sizes_of_tensorflow(tf, padding):
    rng = np.random.default_rng(4)
    for number in rng.choice(len(GRID), 60, replace=False):
        n, k, s = GRID[number]
        if padding == "valid" and k > n:
            continue
        geometry = window_geometry((n, 9), (k, 3), (s, 2), padding)
        x, kernel = tf.zeros((1, n, 9, 1)), tf.zeros((k, 3, 1, 1))
        convolved = tf.nn.conv2d(x, kernel, (s, 2), padding.upper())
        pooled = tf.nn.max_pool2d(x, (k, 3), (s, 2), padding.upper())
        assert convolved.shape[1:3] == pooled.shape[1:3] == (geometry.oh, geometry.ow), (n, k, s)


@pytest.mark.parametrize(
    ("n", "k", "s"), [(28, 5, 1), (28, 4, 1), (28, 3, 2), (7, 2, 3), (1, 5, 2)]
)
def test_item_4_padding_of_tensorflow_cell_by_cell(tf, n, k, s):
    """Powers of two as a kernel on an image of ones: each sum tells which cells were inside."""
    kernel = 2.0 ** np.arange(k)
    seen = tf.nn.conv2d(
        tf.ones((1, n, 1, 1)), tf.reshape(tf.constant(kernel, tf.float32), (k, 1, 1, 1)), s, "SAME"
    )
    g = window_geometry((n, 1), (k, 1), (s, 1), "same")
    expected = [sum(kernel[i] for i in range(k) if 0 <= o * s + i - g.top < n) for o in range(g.oh)]
    np.testing.assert_array_equal(np.ravel(seen), expected)
