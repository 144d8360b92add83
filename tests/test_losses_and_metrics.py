"""Loss and accuracy: values and gradients of Keras, and no overflow of exp and log."""

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.activations import softmax
from minicnn.layers import Dense, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.metrics import Mean, SparseCategoricalAccuracy
from tests.tolerances import assert_close
from tests.twins import SPARSE, classifier, samples, twins

floats = pytest.mark.parametrize("dtype", ["float64", "float32"])


def predictions(rng, from_logits, n, classes, dtype):
    """Logits of moderate size, or probabilities, some of them exactly 0 and 1."""
    z = (rng.standard_normal((n, classes)) * rng.choice([1, 5, 20])).astype(dtype)
    if from_logits:
        return z
    p = softmax(z)
    p[p < 1e-9] = 0
    return p


@pytest.mark.parametrize("from_logits", [True, False], ids=["logits", "probabilities"])
@floats
def test_item_7_loss_and_gradient(tf, keras, from_logits, dtype):
    """Probabilities are clipped to [1e-7, 1 - 1e-7] and renormalised, gradient included."""
    for number in range(50):
        rng = np.random.default_rng([7, number])
        n, classes = int(rng.integers(1, 9)), int(rng.integers(2, 11))
        y_pred = predictions(rng, from_logits, n, classes, dtype)
        labels = rng.integers(0, classes, n)
        tensor = tf.constant(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            expected = keras.losses.sparse_categorical_crossentropy(labels, tensor, from_logits)
        loss = SparseCategoricalCrossentropy(from_logits)
        losses, gradient = loss.losses_and_gradient(labels, y_pred)
        row = dtype if dtype == "float64" else "float32 loss"
        assert_close(losses, expected.numpy(), row)
        assert_close(gradient, tape.gradient(expected, tensor).numpy(), row)
        assert gradient.dtype == dtype
        reduced = keras.losses.SparseCategoricalCrossentropy(from_logits, dtype=dtype)
        assert_close(loss(labels, y_pred), float(reduced(labels, y_pred)), row)


@floats
def test_item_7_clipping_by_hand(dtype):
    """A wrong probability of 1 has a loss of -log(1e-7) = 16.118, and a gradient of 0."""
    y_pred = np.array([[1, 0, 0], [0.5, 0.25, 0.25]], dtype)
    losses, gradient = SparseCategoricalCrossentropy().losses_and_gradient(np.array([1, 1]), y_pred)
    assert_close(losses, [np.log((1 + 1e-7) / 1e-7), np.log(4)], "float32 loss")
    np.testing.assert_array_equal(gradient[0], 0)
    assert_close(gradient[1], [1, -3, 1], "float32")


@floats
def test_largest_logits_give_no_nan(dtype):
    """3e38 is close to the largest float32: even differences overflow."""
    logits = np.array([[3e38, -3e38], [-3e38, 3e38], [3e38, 3e38], [-3e38, -3e38]], dtype)
    losses, gradient = SparseCategoricalCrossentropy(True).losses_and_gradient(
        np.zeros(4, int), logits
    )
    assert_close(losses, [0, 6e38, np.log(2), np.log(2)], "float32")
    assert_close(losses[2:], np.log([2, 2]), "float64")
    np.testing.assert_array_equal(gradient, [[0, 0], [-1, 1], [-0.5, 0.5], [-0.5, 0.5]])
    p = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(softmax(logits), p)


def certain_model(ending):
    """A model whose logits are its two inputs times 1000."""
    activation = "softmax" if ending == "activation" else None
    layers = [Dense(2, activation, use_bias=False), *[Softmax()] * (ending == "layer")]
    # In double precision, where a step of 0.01 from 1000 has enough digits.
    model = Sequential([Input((2,)), *layers], dtype="float64")
    model.set_weights([np.eye(2) * 1000])
    model.compile("sgd", SparseCategoricalCrossentropy(from_logits=ending == "logits"))
    return model


@pytest.mark.parametrize("ending", ["activation", "layer", "logits"])
def test_item_7_a_model_that_ends_in_softmax_is_trained_on_its_logits(ending):
    """A confident mistake has a loss of 2000 and a gradient; clipped, 16.1 and no gradient."""
    model = certain_model(ending)
    x, y = np.array([[1, -1]]), [1]
    assert model.evaluate(x, y, verbose=0) == 2000
    before = model.get_weights()[0]
    assert model.train_on_batch(x, y) == 2000
    # dlogits = p - y = [1, -1], so dkernel = x' dlogits = [[1, -1], [-1, 1]], at a rate of 0.01
    moved = (model.get_weights()[0] - before) / -0.01
    assert_close(moved, [[1, -1], [-1, 1]], "steps")


def test_item_7_evaluate_of_a_confident_model_is_that_of_keras(double, rng):
    ours, theirs = twins(double)
    weights = [40 * weight for weight in ours.get_weights()]
    for model in (ours, theirs):
        model.set_weights(weights)
    data = samples(rng, 100)
    found = ours.evaluate(*data, verbose=0)
    assert found[0] > 16.2  # more than clipping would leave
    assert_close(found, theirs.evaluate(*data, verbose=0), "float32 loss")


def test_item_9_accuracy_is_that_of_keras(keras, rng):
    """Small integers as scores, with many ties: the first of equal ones counts."""
    ours, theirs = SparseCategoricalAccuracy(), keras.metrics.SparseCategoricalAccuracy()
    for n in (1, 7, 64, 200):
        y_pred = rng.integers(0, 3, (n, 10)).astype("float32")
        labels = rng.integers(0, 3, n)
        ours.update_state(labels, y_pred)
        theirs.update_state(labels, y_pred)
        assert_close(ours.result(), float(theirs.result()), "float32")
    assert 0.1 < ours.result() < 0.9


def test_item_9_ties_go_to_the_first_class():
    y_pred = np.array([[1, 1, 0], [0, 2, 2], [3, 3, 3], [0, 0, 0]], np.float32)
    np.testing.assert_array_equal(
        SparseCategoricalAccuracy.per_sample(np.array([0, 1, 0, 1]), y_pred),
        [True, True, True, False],
    )


def test_item_11_means_count_samples_and_not_batches_since_the_reset():
    mean = Mean()
    assert mean.result() == 0.0
    assert mean.update(np.array([1.0, 2.0, 3.0])) == 2.0
    assert mean.update(np.array([7.0])) == 7.0
    assert mean.result() == 13 / 4  # the mean of batch means would be 4.5
    mean.reset_state()
    assert mean.result() == 0.0
    accuracy = SparseCategoricalAccuracy()
    accuracy.update_state([0, 0, 0], np.eye(2)[[0, 0, 1]])
    accuracy.update_state([1], np.eye(2)[[1]])
    assert accuracy.result() == 0.75
    accuracy.reset_state()
    assert accuracy.result() == 0.0


def test_names_of_losses_and_metrics():
    model = classifier(metrics=["accuracy", "sparse_categorical_accuracy"])
    assert model.loss.from_logits is False
    assert model.loss.name == SPARSE
    names = [metric.name for metric in model.metrics]
    assert names == ["accuracy", "sparse_categorical_accuracy"]
