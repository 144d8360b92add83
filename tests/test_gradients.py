"""Gradients of layers against central differences, and training steps against Keras.

Gradients are checked in double precision, entry by entry, with `minicnn.gradcheck`, which has tests
of its own.
"""

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.activations import ACTIVATIONS
from minicnn.gradcheck import check_gradients
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from tests.reference import built, random_array, run
from tests.tolerances import assert_close


def check_layer(layer, shape, rng, x=None):
    """Every entry of dx and of each weight gradient against central differences."""
    built(layer, shape[1:], rng, "float64")
    x = rng.standard_normal(shape) if x is None else x
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
    layer = Conv2D(
        2,
        kernel_size,
        strides,
        padding,
        activation,
        use_bias=kernel_size != (4, 3),
    )
    check_layer(layer, (2, 6, 7, 2), np.random.default_rng(1))


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 4), (5, 7), (2, 3, 2, 4)])
def test_dense(activation, use_bias, shape):
    layer, rng = Dense(3, activation, use_bias), np.random.default_rng(2)
    check_layer(layer, shape, rng)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [((2, 2), None), ((3, 2), (2, 1)), ((2, 3), (3, 4))])
def test_max_pooling2d(padding, size, strides):
    rng = np.random.default_rng(3)
    x = rng.permutation(2 * 6 * 7 * 2).reshape(2, 6, 7, 2) / 7  # no two values are close
    check_layer(MaxPooling2D(size, strides, padding), x.shape, rng, x)


@pytest.mark.parametrize("layer_type", [Flatten, ReLU, Softmax])
@pytest.mark.parametrize("shape", [(1, 6), (3, 2, 5), (2, 3, 4, 2)])
def test_layers_without_weights(layer_type, shape):
    layer, rng = layer_type(), np.random.default_rng(4)
    check_layer(layer, shape, rng)


@pytest.mark.parametrize("from_logits", [True, False])
def test_item_7_gradient_of_the_loss(from_logits):
    rng = np.random.default_rng(6)
    y_pred = rng.standard_normal((4, 5))
    if not from_logits:
        y_pred = ACTIVATIONS["softmax"].forward(y_pred)
    labels, loss = np.array([0, 4, 2, 2]), SparseCategoricalCrossentropy(from_logits)

    class Losses:
        def forward(self, x):
            return loss.losses_and_gradient(labels, x)

        def backward(self, dy, cache):
            return cache * dy[:, None], {}

    report = check_gradients(Losses(), y_pred, rng=rng)
    assert report.ok, str(report)


NETWORK = [
    ("Conv2D", {"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}),
    ("MaxPooling2D", {"pool_size": 2}),
    ("Conv2D", {"filters": 8, "kernel_size": [5, 5], "padding": "same", "activation": "relu"}),
    ("MaxPooling2D", {"pool_size": [3, 2], "strides": 2, "padding": "same"}),
    ("Flatten", {}),
    ("Dense", {"units": 9, "activation": "relu"}),
    ("Dense", {"units": 5, "activation": "softmax"}),
]
# Keras keeps these numbers in single precision; with exact ones more digits agree.
OPTIMIZERS = {
    "Adam": ("Adam", {}),
    "Adam, exact numbers": (
        "Adam",
        {"learning_rate": 2**-6, "beta_1": 7 / 8, "beta_2": 31 / 32, "epsilon": 2**-10},
    ),
    "SGD": ("SGD", {"learning_rate": 2**-4}),
    "SGD, momentum": ("SGD", {"learning_rate": 2**-4, "momentum": 7 / 8}),
    "SGD, nesterov": ("SGD", {"learning_rate": 2**-4, "momentum": 7 / 8, "nesterov": True}),
}


def small_model(dtype):
    model = Sequential([Input((10, 9, 2))], dtype=dtype)
    for name, arguments in NETWORK:
        model.add(getattr(minicnn.layers, name)(**arguments))
    return model


def keras_twin(keras, model):
    """The Keras model of the same layers, with the same weights, none of them transposed."""
    twin = keras.Sequential([keras.Input((10, 9, 2), dtype=model.dtype.name)])
    for name, arguments in NETWORK:
        twin.add(getattr(keras.layers, name)(**arguments, dtype=model.dtype.name))
    twin.set_weights(model.get_weights())
    return twin


def batches(steps, dtype):
    rng = np.random.default_rng(7)
    for size in [20, 7, 1, 33, 12][:steps]:  # sizes below, at and above that of a shard
        yield rng.standard_normal((size, 10, 9, 2)).astype(dtype), rng.integers(0, 5, size)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_item_8_five_steps_are_those_of_keras(tf, keras, name, arguments, dtype):
    """The same losses and, after each step, the same weights.

    Keras' steps are written out: its `train_on_batch` computes the loss in single precision.
    """
    model = small_model(dtype)
    twin = keras_twin(keras, model)
    loss = "sparse_categorical_crossentropy"
    model.compile(getattr(minicnn.optimizers, name)(**arguments), loss)
    optimizer = getattr(keras.optimizers, name)(**arguments)
    row = "float32 steps"
    if dtype == "float64":
        row = "steps" if arguments else "optimizer"
    for x, y in batches(5, dtype):
        with tf.GradientTape() as tape:
            theirs = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, twin(x)))
        gradients = tape.gradient(theirs, [v.value for v in twin.trainable_variables])
        optimizer.apply_gradients(zip(gradients, twin.trainable_variables, strict=True))
        model.reset_metrics()
        assert_close(model.train_on_batch(x, y), float(theirs), row)
        for ours, right in zip(model.get_weights(), twin.get_weights(), strict=True):
            assert_close(ours, right, row)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_are_exchanged_with_keras_without_a_transpose(keras, dtype):
    model = small_model(dtype)
    model.set_weights(
        [random_array(np.random.default_rng(8), w.shape, dtype) for w in model.get_weights()]
    )
    twin = keras_twin(keras, model)
    (x, _), *_ = batches(1, dtype)
    assert_close(
        model.predict(x, verbose=0),
        twin(x).numpy(),
        "steps" if dtype == "float64" else "float32 steps",
    )
    other = small_model(dtype)
    other.set_weights(twin.get_weights())
    for ours, back in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, back)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_parameter_moves_in_one_step(name, arguments):
    """A network still converges if one layer never changes, so that other tests may not notice."""
    model = Sequential([Input((10, 9, 2))])
    for layer, values in NETWORK:
        # Without ReLU no unit is inactive.
        values = {key: value for key, value in values.items() if key != "activation"}
        model.add(getattr(minicnn.layers, layer)(**values))
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(getattr(minicnn.optimizers, name)(**arguments), loss)
    before = model.get_weights()
    (x, y), *_ = batches(1, "float32")
    model.train_on_batch(x, y)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).all()
