"""Gradients of layers against central differences, and training steps against Keras.

Gradients are checked in double precision, entry by entry, with `minicnn.gradcheck`, which has tests
of its own.
"""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_gradients
from minicnn.keras_reference import to_keras
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from tests.reference import built, run
from tests.tolerances import assert_close
from tests.twins import SPARSE, assert_same_weights


def check_layer(layer, x):
    """Every entry of dx and of each weight gradient against central differences."""
    rng, shape = np.random.default_rng(5), x.shape
    built(layer, shape[1:], rng, "float64")
    report = check_gradients(layer, x, rng=rng)
    assert report.ok, str(report)
    assert all(row.checked == row.entries for row in report.rows), str(report)
    dy = rng.standard_normal((len(x), *layer.output_shape(shape[1:])))
    assert all(np.abs(gradient).max() > 0 for gradient in run(layer, x, dy).grads)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 5), (4, 3), (1, 2)])
@pytest.mark.parametrize("strides", [(1, 1), (3, 2)])
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_conv2d(padding, kernel_size, strides, activation):
    """Sizes that strides do not divide, h != w; one kernel size without a bias."""
    use_bias = kernel_size != (4, 3)
    layer = Conv2D(2, kernel_size, strides, padding, activation=activation, use_bias=use_bias)
    check_layer(layer, np.random.default_rng(1).standard_normal((2, 6, 7, 2)))


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 4), (5, 7), (2, 3, 2, 4)])
def test_dense(activation, use_bias, shape):
    x = np.random.default_rng(2).standard_normal(shape)
    check_layer(Dense(3, activation, use_bias=use_bias), x)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [((2, 2), None), ((3, 2), (2, 1)), ((2, 3), (3, 4))])
def test_max_pooling2d(padding, size, strides):
    values = np.random.default_rng(3).permutation(2 * 6 * 7 * 2) / 7  # no two are close
    check_layer(MaxPooling2D(size, strides, padding), values.reshape(2, 6, 7, 2))


@pytest.mark.parametrize("layer_type", [Flatten, ReLU, Softmax])
@pytest.mark.parametrize("shape", [(1, 6), (3, 2, 5), (2, 3, 4, 2)])
def test_layers_without_weights(layer_type, shape):
    check_layer(layer_type(), np.random.default_rng(4).standard_normal(shape))


# Keras keeps these numbers in single precision; with exact ones more digits agree.
EXACT = {"learning_rate": 2**-6, "beta_1": 7 / 8, "beta_2": 31 / 32, "epsilon": 2**-10}
OPTIMIZERS = {
    "Adam": ("Adam", {}),
    "Adam, exact numbers": ("Adam", EXACT),
    "SGD": ("SGD", {"learning_rate": 2**-4}),
    "SGD, momentum": ("SGD", {"learning_rate": 2**-4, "momentum": 7 / 8}),
    "SGD, nesterov": ("SGD", {"learning_rate": 2**-4, "momentum": 7 / 8, "nesterov": True}),
}


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_item_8_five_steps_are_those_of_keras(tf, keras, name, arguments, dtype):
    """The same losses and, after each step, the same weights.

    Keras' steps are written out: its `train_on_batch` computes the loss in single precision.
    """
    parts = [
        Conv2D(8, 3, padding="same", activation="relu"),
        MaxPooling2D(2),
        Conv2D(8, [5, 5], padding="same", activation="relu"),
        MaxPooling2D([3, 2], strides=2, padding="same"),
        Flatten(),
        Dense(9, activation="relu"),
        Dense(5, activation="softmax"),
    ]
    model = minicnn.Sequential([minicnn.Input((10, 9, 2)), *parts], dtype=dtype)
    twin = to_keras(model)
    model.compile(getattr(minicnn.optimizers, name)(**arguments), SPARSE)
    optimizer = getattr(keras.optimizers, name)(**arguments)
    row = "float32 steps"
    if dtype == "float64":
        row = "steps" if arguments else "optimizer"
    rng = np.random.default_rng(7)
    for size in [20, 7, 1, 33, 12]:  # below, at and above that of a shard
        x, y = rng.standard_normal((size, 10, 9, 2)).astype(dtype), rng.integers(0, 5, size)
        with tf.GradientTape() as tape:
            theirs = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, twin(x)))
        gradients = tape.gradient(theirs, [v.value for v in twin.trainable_variables])
        optimizer.apply_gradients(zip(gradients, twin.trainable_variables, strict=True))
        assert_close(model.train_on_batch(x, y), float(theirs), row)
        assert_same_weights(model, twin, row)
