"""Which layers are fused; fused ones give the same numbers."""

import numpy as np
import pytest

import minicnn
from minicnn import layers
from minicnn.activations import Activation
from minicnn.engine import Plan, fusion
from minicnn.engine.operations import AsWritten, PooledConvolution
from minicnn.layers import Conv2D, MaxPooling2D
from minicnn.losses import SparseCategoricalCrossentropy
from tests.tolerances import assert_close

POOLINGS = [
    {"pool_size": 2},
    {"pool_size": (3, 2), "strides": (1, 2)},
    {"pool_size": 3, "strides": 2, "padding": "same"},
]
TANH = Activation("tanh", np.tanh, lambda dy, y: dy * (1 - y**2))


def built(chain, shape, rng):
    """The layers, built one after the other."""
    for layer in chain:
        layer.build(shape, rng)
        shape = layer.output_shape(shape)
    return chain


def operations_of(chain):
    return [fusion.operation(layer, index) for index, layer in enumerate(chain)]


@pytest.mark.parametrize("algorithm", ["direct", "im2col", "few_channels", "winograd"])
@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize(
    ("images", "shape", "filters"), [(1, (9, 8, 1), 8), (5, (7, 12, 3), 5), (9, (4, 4, 16), 16)]
)
def test_convolution_and_pooling_in_one_give_the_same_bits(
    algorithm, activation, pooling, images, shape, filters
):
    rng = np.random.default_rng(0)
    convolution = Conv2D(filters, 5, padding="same", activation=activation, algorithm=algorithm)
    chain = built([convolution, MaxPooling2D(**pooling)], shape, rng)
    convolution.params["bias"][...] = rng.standard_normal(filters)
    (fused,) = fusion.fused(operations_of(chain))
    assert isinstance(fused, PooledConvolution)
    x = rng.standard_normal((images, *shape)).astype("float32")
    x[0, :3] = 0
    if images > 1:  # Winograd spreads it over a whole image of that size
        x[-1, 3, 3, 0] = np.nan
    y = x
    for operation in operations_of(chain):
        operation.prepare()
        y, expected_winner = operation.forward(y, None)
    fused.prepare()
    found, (_, _, winner) = fused.forward(x, None)
    np.testing.assert_array_equal(found, y)
    # Among values that ReLU has made 0 another one may win, to which no gradient passes.
    at_floor = y == 0
    np.testing.assert_array_equal(winner[~at_floor], expected_winner[~at_floor])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fused_layers_have_the_same_gradients(rng, dtype, monkeypatch):
    """With integers: many ties and zeros; with overlapping windows; with a NaN."""
    model = minicnn.Sequential(
        [
            minicnn.Input((9, 8, 2)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.Conv2D(4, (2, 3), activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        dtype=dtype,
    )
    model.set_weights([rng.integers(-2, 3, w.shape) / 2 for w in model.get_weights()])
    x, labels = rng.integers(-2, 3, (20, 9, 8, 2)).astype(dtype), rng.integers(0, 3, 20)
    x[7, 3, 3, 0] = np.nan
    loss = SparseCategoricalCrossentropy()
    fused = Plan(model.layers, loss)
    with monkeypatch.context() as patch:
        patch.setattr(fusion, "fused", lambda operations: operations)
        single = Plan(model.layers, loss)
    for samples in (slice(0, 7), slice(0, 20)):
        with np.errstate(invalid="ignore"):
            expected, found = (p.gradients(x[samples], labels[samples]) for p in (single, fused))
        assert_close(found.losses, expected.losses, dtype)
        assert_close(found.predictions, expected.predictions, dtype)
        for parts, expected_parts in zip(found.by_weight, expected.by_weight, strict=True):
            assert_close(sum(parts), sum(expected_parts), dtype)
        assert np.abs(sum(found.by_weight[0])).max() != 0


class OwnPooling(MaxPooling2D):
    pass


class OwnConvolution(Conv2D):
    pass


@pytest.mark.parametrize(
    "chain",
    [
        [Conv2D(3, 3, activation="softmax"), MaxPooling2D()],  # does not only raise values
        [Conv2D(3, 3, activation=TANH), MaxPooling2D()],
        [Conv2D(3, 3, activation="relu"), OwnPooling()],
        [OwnConvolution(3, 3, activation="relu"), MaxPooling2D()],
        [MaxPooling2D(), Conv2D(3, 3, activation="relu")],
    ],
    ids=["softmax", "own activation", "own pooling", "own convolution", "other order"],
)
def test_other_layers_are_not_fused(chain, rng):
    operations = operations_of(built(chain, (9, 8, 2), rng))
    assert fusion.fused(operations) == operations


@pytest.mark.parametrize(
    "layer", [OwnPooling(), OwnConvolution(3, 3), Conv2D(3, 3, activation=TANH)], ids=repr
)
def test_what_the_engine_does_not_know_runs_as_written(layer, rng):
    (operation,) = operations_of(built([layer], (9, 8, 2), rng))
    assert isinstance(operation, AsWritten)
    assert not operation.in_shards
