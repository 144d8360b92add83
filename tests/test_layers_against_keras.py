"""Layers compared with Keras' layers of the same names, for rules that need a special case.

The ledger compares convolution, pooling and dense layers of many geometries: see
`checking/test_ledger.py`.
"""

import numpy as np
import pytest

import minicnn
from minicnn.initializers import GlorotUniform, Zeros
from minicnn.layers import Conv2D, Dense, MaxPooling2D
from tests.reference import Pass, random_array, run_both
from tests.tolerances import assert_close

floats = pytest.mark.parametrize("dtype", ["float64", "float32"])


def assert_same(ours: Pass, theirs: Pass, exact: bool):
    double = ours.y.dtype == np.float64
    rows = ("float64", "float64") if double else ("float32", "float32 gradient")
    pairs = zip((ours.y, ours.dx, *ours.grads), (theirs.y, theirs.dx, *theirs.grads), strict=True)
    for number, (actual, expected) in enumerate(pairs):
        if exact:
            np.testing.assert_array_equal(actual, expected)
        else:
            assert_close(actual, expected, rows[number > 0])


@pytest.mark.parametrize("name", ["Flatten", "ReLU", "Softmax"])
@pytest.mark.parametrize("shape", [(1, 7), (5, 7), (3, 4, 5), (2, 5, 3, 4)])
@floats
def test_items_3_and_5_layers_without_weights(keras, rng, name, shape, dtype):
    """Integers: every seventh input of ReLU is 0, where its gradient is 0."""
    x = random_array(rng, shape, dtype, whole=True)
    exact = name != "Softmax"
    assert_same(*run_both(name, {}, x, rng, whole=exact), exact)


@pytest.mark.parametrize(("padding", "height"), [("valid", 3), ("same", 4)])
def test_item_3_pooling_strides_are_the_pool_size(padding, height, rng):
    layer = MaxPooling2D((2, 3), padding=padding)
    assert layer.strides == (2, 3)
    assert layer.output_shape((7, 9, 1)) == (height, 3, 1)  # the odd row is dropped, or padded
    assert MaxPooling2D().pool_size == (2, 2)


@floats
def test_item_5_ties_and_kinks_in_a_row(keras, rng, dtype):
    """Convolution, ReLU and overlapping pooling of integers: zeros and ties everywhere."""
    x = random_array(rng, (4, 9, 8, 2), dtype, whole=True)
    convolution = {"filters": 3, "kernel_size": 3, "activation": "relu"}
    ours, theirs = run_both("Conv2D", convolution, x, rng, True)
    assert_same(ours, theirs, exact=True)
    assert (ours.y == 0).mean() > 0.3
    pooling = {"pool_size": 3, "strides": 2, "padding": "same"}
    assert_same(*run_both("MaxPooling2D", pooling, ours.y, rng, True), exact=True)


LIMITS = {(5, 5, 1, 32): 0.08528, (5, 5, 32, 64): 0.05, (3136, 64): 0.043301, (64, 10): 0.284747}


@pytest.mark.parametrize("shape", LIMITS, ids=str)
@floats
def test_item_6_glorot_uniform(keras, shape, dtype):
    """Uniform in [-limit, limit), with the limits of the tutorial."""
    limit = LIMITS[shape]
    draws = [GlorotUniform(seed)(shape, dtype=dtype).ravel() for seed in range(40)]
    draws += [GlorotUniform()(shape, np.random.default_rng(5), dtype).ravel()]
    values = np.concatenate(draws).astype(np.float64)
    assert draws[0].dtype == dtype
    # Extremes are within limit * 20 / size of the ends, except in one sample of e**10.
    assert limit * (1 - 20 / values.size) < np.abs(values).max() < limit + 5e-7
    # Moments within five standard errors: mean 0, variance limit**2 / 3, a quarter in each quarter.
    error = 5 / np.sqrt(values.size)
    assert abs(values.mean()) < error * limit / np.sqrt(3)
    assert abs(values.var() / (limit**2 / 3) - 1) < error
    quarters = np.histogram(values, 4, (-limit - 1e-6, limit + 1e-6))[0] / values.size
    assert np.abs(quarters - 0.25).max() < error
    theirs = keras.initializers.GlorotUniform(seed=1)(shape)
    assert np.abs(theirs).max() < limit + 5e-7
    assert np.abs(theirs).max() > limit * (1 - 20 / np.size(theirs))


def test_item_6_seeds_of_initializers():
    shape = (3, 3, 2, 4)
    draw = GlorotUniform(seed=3)
    np.testing.assert_array_equal(draw(shape), draw(shape))
    assert (GlorotUniform(seed=4)(shape) != draw(shape)).any()
    first, second = (GlorotUniform()(shape) for _ in range(2))
    assert (first != second).any()
    minicnn.set_random_seed(0)
    again = GlorotUniform()(shape)
    minicnn.set_random_seed(0)
    np.testing.assert_array_equal(GlorotUniform()(shape), again)


@floats
def test_item_6_layers_start_with_glorot_kernels_and_zero_biases(rng, dtype):
    for layer in (Conv2D(8, 5), Dense(20)):
        layer.build((9, 9, 4), rng, dtype)
        fans = np.prod(layer.params["kernel"].shape[:-2]) * sum(layer.params["kernel"].shape[-2:])
        assert 0.5 < np.abs(layer.params["kernel"]).max() / np.sqrt(6 / fans) <= 1 + 1e-6
        np.testing.assert_array_equal(layer.params["bias"], Zeros()(layer.params["bias"].shape))
        assert {weight.dtype for weight in layer.params.values()} == {np.dtype(dtype)}
        assert list(layer.params) == ["kernel", "bias"]
