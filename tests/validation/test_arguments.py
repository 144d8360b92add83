"""Checks of single arguments: what they return, and what they refuse."""

import numpy as np
import pytest

from minicnn.validation import Check

dense, conv2d = Check("Dense"), Check("Conv2D")


def test_sizes_may_have_any_dtype_of_integers():
    assert dense.integer(np.uint8(3), "units") == 3
    assert type(dense.integer(np.int64(3), "units")) is int
    assert conv2d.pair([2, np.int32(3)], "strides") == (2, 3)
    assert conv2d.pair(2, "strides") == (2, 2)
    assert conv2d.padding("SAME") == "same"


NO_INTEGERS = [2.0, np.float32(2), "2", None, True, np.True_, (2,), np.array([2, 2])]


@pytest.mark.parametrize("value", [0, -1, *NO_INTEGERS])
def test_other_sizes_than_positive_integers_are_refused(value):
    error = ValueError if type(value) is int else TypeError
    with pytest.raises(error, match=r"Dense: units must be .* 1, received"):
        dense.integer(value, "units")


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3), (0, 1), (1, -1), (1, 2.0), (1, None), "ab"])
def test_other_pairs_than_of_positive_integers_are_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"Conv2D: strides must be .* received"):
        conv2d.pair(value, "strides")


@pytest.mark.parametrize("value", ["full", "", None, 1, ("same", "same")])
def test_other_paddings_than_valid_and_same_are_refused(value):
    with pytest.raises(ValueError, match='must be "valid" or "same", received'):
        conv2d.padding(value)
