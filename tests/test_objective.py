"""What is run in place of a model's layers gives the same numbers."""

import numpy as np
import pytest

from minicnn.layers import Conv2D, MaxPooling2D
from minicnn.objective import PooledConv2D, merge_poolings

POOLINGS = [
    {"pool_size": 2},
    {"pool_size": (3, 2), "strides": (1, 2)},
    {"pool_size": 3, "strides": 2, "padding": "same"},
]


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "planes", "winograd"])
@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize(
    ("images", "shape", "filters"), [(1, (9, 8, 1), 8), (5, (7, 12, 3), 5), (9, (4, 4, 16), 16)]
)
def test_convolution_and_pooling_in_one_give_the_same_bits(
    algorithm, activation, pooling, images, shape, filters
):
    layers = [
        Conv2D(filters, 5, padding="same", activation=activation, algorithm=algorithm),
        MaxPooling2D(**pooling),
    ]
    rng = np.random.default_rng(0)
    layers[0].build(shape, rng)
    layers[1].build(layers[0].output_shape(shape), rng)
    layers[0].params["bias"][...] = rng.standard_normal(filters)
    (merged,) = merge_poolings(layers)
    assert isinstance(merged, PooledConv2D)
    x = rng.standard_normal((images, *shape)).astype("float32")
    x[0, :3] = 0
    if images > 1:  # Winograd spreads it over a whole image of that size
        x[-1, 3, 3, 0] = np.nan
    y = x
    for layer in layers:
        y, cache = layer.forward(y)
    found, (_, _, winner) = merged.prepared().forward(x)
    np.testing.assert_array_equal(found, y)
    behind_floor = y == 0  # the winner among what ReLU has made 0 is another, and takes no gradient
    np.testing.assert_array_equal(winner[~behind_floor], cache[0][~behind_floor])


def test_an_activation_that_is_no_floor_stays_before_the_pooling():
    layers = [Conv2D(3, 3, activation="softmax"), MaxPooling2D()]
    assert merge_poolings(layers) == layers
