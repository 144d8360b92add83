"""Gradients that are right by themselves, and steps that are Keras' steps.

Numerical gradients are taken in double precision, of every entry, under a random weight for each
output: under equal weights the gradient of a softmax is zero, and a backward pass that returns
zeros would do.
"""

import copy

import numpy as np
import pytest
from reference import Case, built, numerical_gradient, pool_loops, random_array, run
from tolerances import assert_close

import minicnn
from minicnn import Input, Sequential
from minicnn.activations import ACTIVATIONS
from minicnn.layers import (
    CONVOLUTIONS,
    Conv2D,
    Dense,
    Flatten,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.step import loss_and_gradients, objective

# Central differences move an input by 1e-6, and a sum of products by some times that. Nothing may
# stand this close to ReLU's kink or to a tie of two maxima.
GAP = 1e-4


def is_smooth(layers, x):
    """Whether no ReLU and no pooling of `layers` comes near a kink for the inputs `x`."""
    for layer in layers:
        activation = getattr(layer, "activation", None)
        if activation is ACTIVATIONS["relu"]:
            linear = copy.copy(layer)
            linear.activation = ACTIVATIONS["linear"]
            if np.abs(linear.forward(x)[0]).min() < GAP:
                return False
        if isinstance(layer, MaxPooling2D) and not _has_clear_winners(layer, x):
            return False
        x, _ = layer.forward(x)
    return True


def _has_clear_winners(layer, x):
    """Equal maxima are allowed at 0, where ReLU has been: cells that are off stay off."""
    case = Case(*x.shape, 1, *layer.pool_size, *layer.strides, layer.padding)
    best, winner = pool_loops(x, case)
    without_best = case.padded(x, fill=-np.inf)
    second = np.empty_like(best)
    for i, j, window in case.windows(without_best):
        rest = window.reshape(case.n, -1, case.c).copy()
        np.put_along_axis(rest, winner[:, i, j][:, None, :], -np.inf, axis=1)
        second[:, i, j] = rest.max(axis=1)
    return bool(((best - second > GAP) | ((best == 0) & (second == 0))).all())


def check_layer(layer, x, rng):
    """Every entry of dx and of each weight gradient against central differences."""
    dy = rng.standard_normal((len(x), *layer.output_shape(x.shape[1:])))
    ours = run(layer, x, dy)

    def scalar():
        return (layer.forward(x)[0] * dy).sum()

    assert_close(ours.dx, numerical_gradient(scalar, x), "numerical")
    for gradient, weight in zip(ours.grads, layer.params.values(), strict=True):
        assert_close(gradient, numerical_gradient(scalar, weight), "numerical")
        assert np.abs(gradient).max() > 0


def smooth_inputs(layer, shape, rng):
    """`layer` built with random weights, and inputs for which it is smooth."""
    for _ in range(100):
        built(layer, shape[1:], rng, "float64")
        x = rng.standard_normal(shape)
        if is_smooth([layer], x):
            return x
    raise AssertionError(f"no smooth inputs for {layer!r}")


@pytest.mark.parametrize("algorithm", CONVOLUTIONS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 5), (4, 3), (1, 2)])
@pytest.mark.parametrize("strides", [(1, 1), (3, 2)])
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_conv2d(algorithm, padding, kernel_size, strides, activation):
    """With use_bias=False for the odd kernels: sizes that strides do not divide, h != w."""
    layer = Conv2D(
        2,
        kernel_size,
        strides,
        padding,
        activation,
        use_bias=kernel_size != (4, 3),
        algorithm=algorithm,
    )
    rng = np.random.default_rng(1)
    reason = CONVOLUTIONS[algorithm].why_not(layer.geometry((6, 7, 2)))
    if reason is not None:
        pytest.skip(f"{algorithm}: {reason}")
    check_layer(layer, smooth_inputs(layer, (2, 6, 7, 2), rng), rng)


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 4), (5, 7), (2, 3, 2, 4)])
def test_dense(activation, use_bias, shape):
    layer, rng = Dense(3, activation, use_bias), np.random.default_rng(2)
    check_layer(layer, smooth_inputs(layer, shape, rng), rng)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [((2, 2), None), ((3, 2), (2, 1)), ((2, 3), (3, 4))])
def test_max_pooling2d(padding, size, strides):
    rng = np.random.default_rng(3)
    layer = MaxPooling2D(size, strides, padding)
    layer.build((6, 7, 2), rng)
    x = rng.permutation(2 * 6 * 7 * 2).reshape(2, 6, 7, 2) / 7  # no two values are near each other
    assert is_smooth([layer], x)
    check_layer(layer, x, rng)


@pytest.mark.parametrize("layer_type", [Flatten, ReLU, Softmax])
@pytest.mark.parametrize("shape", [(1, 6), (3, 2, 5), (2, 3, 4, 2)])
def test_layers_without_weights(layer_type, shape):
    layer, rng = layer_type(), np.random.default_rng(4)
    check_layer(layer, smooth_inputs(layer, shape, rng), rng)


def random_network(rng):
    """Layers, images and labels of a small network, with weights like those of a trained one."""
    h, w, c, classes = rng.integers([5, 5, 1, 2], [8, 8, 3, 5])
    layers = [
        Conv2D(
            int(rng.integers(1, 4)),
            [int(side) for side in rng.integers(1, 4, 2)],
            strides=[int(stride) for stride in rng.integers(1, 3, 2)],
            padding="same",
            activation=(None, "relu")[rng.integers(2)],
        ),
        MaxPooling2D(2, padding=("valid", "same")[rng.integers(2)]),
    ]
    if rng.integers(2):
        layers += [Conv2D(2, 3, padding="same", use_bias=False), ReLU()]
    layers.append(Flatten())
    if rng.integers(2):
        layers.append(Dense(3, activation="relu"))
    layers.append(Dense(int(classes), activation=(None, "softmax")[rng.integers(2)]))
    images = int(rng.integers(1, 4))
    x = rng.standard_normal((images, h, w, c))
    shape = x.shape[1:]
    for layer in layers:
        built(layer, shape, rng, "float64")
        shape = layer.output_shape(shape)
    return layers, x, rng.integers(0, classes, images)


@pytest.mark.parametrize(
    "networks",
    [pytest.param(range(10), id="10"), pytest.param(range(10, 70), marks=pytest.mark.full)],
)
def test_every_parameter_of_small_networks(networks):
    """Through `loss_and_gradients`, the way that training goes."""
    for number in networks:
        rng = np.random.default_rng([5, number])
        layers, x, labels = random_network(rng)
        while not is_smooth(layers, x):
            layers, x, labels = random_network(rng)
        from_logits = layers[-1].activation is not ACTIVATIONS["softmax"]
        goal = objective(layers, SparseCategoricalCrossentropy(from_logits))
        # As one of two shards: the loss is the mean over a batch twice as large.
        _, _, gradients = loss_and_gradients(goal, x, labels, 2 * len(x))

        def scalar(goal=goal, x=x, labels=labels):
            return loss_and_gradients(goal, x, labels, 2 * len(x))[0].sum() / (2 * len(x))

        weights = [weight for layer in layers for weight in layer.params.values()]
        for gradient, weight in zip(gradients, weights, strict=True):
            assert_close(gradient, numerical_gradient(scalar, weight), "numerical")


@pytest.mark.parametrize("from_logits", [True, False])
def test_item_7_gradient_of_the_loss(from_logits):
    rng = np.random.default_rng(6)
    y_pred = rng.standard_normal((4, 5))
    if not from_logits:
        y_pred = ACTIVATIONS["softmax"].forward(y_pred)
    labels, loss = np.array([0, 4, 2, 2]), SparseCategoricalCrossentropy(from_logits)
    weight = rng.standard_normal(4)
    _, gradient = loss.losses_and_gradient(labels, y_pred)

    def scalar():
        return (loss.losses_and_gradient(labels, y_pred)[0] * weight).sum()

    assert_close(gradient * weight[:, None], numerical_gradient(scalar, y_pred), "numerical")


NETWORK = [
    ("Conv2D", {"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}),
    ("MaxPooling2D", {"pool_size": 2}),
    ("Conv2D", {"filters": 8, "kernel_size": [5, 5], "padding": "same", "activation": "relu"}),
    ("MaxPooling2D", {"pool_size": [3, 2], "strides": 2, "padding": "same"}),
    ("Flatten", {}),
    ("Dense", {"units": 9, "activation": "relu"}),
    ("Dense", {"units": 5, "activation": "softmax"}),
]
# Keras keeps these numbers in single precision: those that it holds exactly show more digits.
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
    """The Keras model of the same layers; weights move as they are, without a transpose."""
    twin = keras.Sequential([keras.Input((10, 9, 2), dtype=model.dtype.name)])
    for name, arguments in NETWORK:
        twin.add(getattr(keras.layers, name)(**arguments, dtype=model.dtype.name))
    twin.set_weights(model.get_weights())
    return twin


def batches(steps, dtype):
    rng = np.random.default_rng(7)
    for size in [20, 7, 1, 33, 12][:steps]:  # one shard, less than one, several
        yield rng.standard_normal((size, 10, 9, 2)).astype(dtype), rng.integers(0, 5, size)


@pytest.mark.parametrize(("name", "arguments"), OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_item_8_five_steps_are_those_of_keras(tf, keras, name, arguments, dtype):
    """The same weights and batches: the same losses and, after each step, the same weights.

    The steps are written out, because `train_on_batch` of Keras takes its loss in single precision.
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
def test_weights_move_to_keras_and_back_as_they_are(keras, dtype):
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
    """A layer that never learns leaves a network that still converges."""
    model = Sequential([Input((10, 9, 2))])
    for layer, values in NETWORK:
        # Without ReLU no unit is off, and with windows side by side no position is left out.
        values = {key: value for key, value in values.items() if key != "activation"}
        model.add(getattr(minicnn.layers, layer)(**values))
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(getattr(minicnn.optimizers, name)(**arguments), loss)
    before = model.get_weights()
    (x, y), *_ = batches(1, "float32")
    model.train_on_batch(x, y)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).all()
