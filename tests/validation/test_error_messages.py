"""Hints in error messages about arrays, and the smallest arrays that are accepted."""

import re

import numpy as np
import pytest

from minicnn.validation import Check


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((4, 3, 1), "; for a single sample pass x[None]"),
        ((7, 4, 3), "; for images without a channel axis pass x[..., None]"),
        ((7, 4, 2), ""),
        ((7, 1), ""),
        ((), ""),
    ],
)
def test_the_error_says_what_to_pass_instead(shape, hint):
    expected = f"who: expected x of shape (samples, 4, 3, 1), received {shape}{hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Check("who").samples(np.zeros(shape), "x", (4, 3, 1))


def test_scores_of_one_sample_and_one_class_are_accepted():
    assert Check("who").scores([[0.5]], "y_pred").shape == (1, 1)
    for shape in ((0, 1), (1, 0), (1,), (1, 1, 1)):
        with pytest.raises(ValueError, match=r"\(samples, classes\) with at least one of each"):
            Check("who").scores(np.zeros(shape), "y_pred")
