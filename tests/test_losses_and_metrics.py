"""Loss and accuracy: values and gradients of Keras, and no overflow of exp and log."""

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.activations import softmax
from minicnn.layers import Dense, Softmax
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.metrics import Mean, SparseCategoricalAccuracy
from tests.tolerances import assert_close

FLOATS = ["float64", "float32"]
floats = pytest.mark.parametrize("dtype", FLOATS)
SPARSE = "sparse_categorical_crossentropy"


def predictions(rng, from_logits, samples, classes, dtype):
    """Logits of moderate size, or probabilities, some of them exactly 0 and 1."""
    z = (rng.standard_normal((samples, classes)) * rng.choice([1, 5, 20])).astype(dtype)
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
        samples, classes = int(rng.integers(1, 9)), int(rng.integers(2, 11))
        y_pred = predictions(rng, from_logits, samples, classes, dtype)
        labels = rng.integers(0, classes, samples)
        tensor = tf.constant(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            expected = keras.losses.sparse_categorical_crossentropy(labels, tensor, from_logits)
        losses, gradient = SparseCategoricalCrossentropy(from_logits).losses_and_gradient(
            labels, y_pred
        )
        row = dtype if dtype == "float64" else "float32 loss"
        assert_close(losses, expected.numpy(), row)
        assert_close(gradient, tape.gradient(expected, tensor).numpy(), row)
        assert gradient.dtype == dtype
        reduced = keras.losses.SparseCategoricalCrossentropy(from_logits, dtype=dtype)
        ours = SparseCategoricalCrossentropy(from_logits)(labels, y_pred)
        assert_close(ours, float(reduced(labels, y_pred)), row)


@floats
def test_item_7_clipping_by_hand(dtype):
    """A wrong probability of 1 has a loss of -log(1e-7) = 16.118, and a gradient of 0."""
    y_pred = np.array([[1, 0, 0], [0.5, 0.25, 0.25]], dtype)
    losses, gradient = SparseCategoricalCrossentropy().losses_and_gradient(np.array([1, 1]), y_pred)
    assert_close(losses, [np.log((1 + 1e-7) / 1e-7), np.log(4)], "float32 loss")
    np.testing.assert_array_equal(gradient[0], 0)
    assert_close(gradient[1], [1, -3, 1], "float32")


@floats
def test_item_7_loss_of_1000_is_1000(dtype):
    logits = np.array([[1000, -1000, 0], [-1000, 0, 0], [0, 0, 1000]], dtype)
    losses, gradient = SparseCategoricalCrossentropy(True).losses_and_gradient(
        np.array([2, 0, 2]), logits
    )
    assert_close(losses, [1000, 1000 + np.log(2), 0], dtype)
    assert_close(gradient, [[1, 0, -1], [-1, 0.5, 0.5], [0, 0, 0]], dtype)


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
    layer = Softmax()
    layer.build((2,), None)
    np.testing.assert_array_equal(layer.forward(logits)[0], p)


@pytest.mark.parametrize("size", [0.0, 1.0, -1e4, 1e30])
def test_equal_logits_are_equal_probabilities(size):
    losses, gradient = SparseCategoricalCrossentropy(True).losses_and_gradient(
        np.array([3]), np.full((1, 10), size, np.float32)
    )
    assert_close(losses, [np.log(10)], "float64")
    assert_close(gradient, [[0.1] * 3 + [-0.9] + [0.1] * 6], "float32")


@floats
def test_gradient_is_p_minus_y_and_sums_to_zero(rng, dtype):
    logits = rng.standard_normal((6, 4)).astype(dtype)
    labels = np.array([0, 1, 2, 3, 0, 0])
    _, gradient = SparseCategoricalCrossentropy(True).losses_and_gradient(labels, logits)
    assert_close(gradient, softmax(logits) - np.eye(4)[labels], dtype)
    assert np.abs(gradient.sum(axis=1)).max() < np.finfo(dtype).eps * 4


@pytest.mark.parametrize("from_logits", [True, False])
def test_nan_in_a_prediction_gives_nan_in_its_loss_only(from_logits):
    y_pred = np.full((3, 2), 0.5, np.float32)
    y_pred[1, 0] = np.nan
    loss = SparseCategoricalCrossentropy(from_logits)
    losses, gradient = loss.losses_and_gradient(np.array([0, 1, 1]), y_pred)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])
    assert np.isnan(gradient[1]).any()
    assert np.isfinite(gradient[[0, 2]]).all()
    assert np.isnan(loss([0, 1, 1], y_pred))


def certain_model(ending):
    """A model whose logits are its two inputs times 1000."""
    layers = {
        "activation": [Dense(2, activation="softmax", use_bias=False)],
        "logits": [Dense(2, use_bias=False)],
        "layer": [Dense(2, use_bias=False), Softmax()],
    }[ending]
    model = Sequential(
        [Input((2,)), *layers], dtype="float64"
    )  # so that a step of 0.01 changes 1000
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


def test_item_7_evaluate_of_a_confident_model_is_that_of_keras(keras, rng):
    model = Sequential([Input((5,)), Dense(4, activation="softmax")])
    model.set_weights([rng.standard_normal((5, 4)) * 40, rng.standard_normal(4)])
    model.compile("sgd", SPARSE, metrics=["accuracy"])
    twin = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, activation="softmax")])
    twin.set_weights(model.get_weights())
    twin.compile("sgd", SPARSE, metrics=["accuracy"])
    x, y = rng.standard_normal((100, 5)).astype("float32"), rng.integers(0, 4, 100)
    ours = model.evaluate(x, y, verbose=0)
    assert ours[0] > 16.2
    assert_close(ours, twin.evaluate(x, y, verbose=0), "float32 loss")


def test_item_9_accuracy_is_that_of_keras(keras, rng):
    """Small integers as scores, with many ties: the first of equal ones counts."""
    ours, theirs = SparseCategoricalAccuracy(), keras.metrics.SparseCategoricalAccuracy()
    for samples in (1, 7, 64, 200):
        y_pred = rng.integers(0, 3, (samples, 10)).astype("float32")
        labels = rng.integers(0, 3, samples)
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


def test_item_11_means_count_samples_and_not_batches():
    mean = Mean()
    assert mean.result() == 0.0
    assert mean.update(np.array([1.0, 2.0, 3.0])) == 2.0
    assert mean.update(np.array([7.0])) == 7.0
    assert mean.result() == 13 / 4  # the mean of batch means would be 4.5
    mean.reset_state()
    assert mean.result() == 0.0


def test_accuracy_counts_all_samples_since_the_reset():
    accuracy = SparseCategoricalAccuracy()
    accuracy.update_state([0, 0, 0], np.eye(2)[[0, 0, 1]])
    accuracy.update_state([1], np.eye(2)[[1]])
    assert accuracy.result() == 0.75
    accuracy.reset_state()
    accuracy.update_state([1], np.eye(2)[[0]])
    assert accuracy.result() == 0.0


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0, 1],
        np.array([[2], [0], [1]]),
        np.array([2, 0, 1], np.uint8),
        np.array([2.0, 0.0, 1.0]),
        np.array([2, 0, 1], ">i4"),
        (2, 0, 1),
    ],
    ids=["list", "column", "uint8", "whole floats", "big-endian", "tuple"],
)
def test_labels_may_have_any_dtype_of_whole_numbers(labels, rng):
    y_pred = softmax(rng.standard_normal((3, 4)))
    expected = -np.log(y_pred[[0, 1, 2], [2, 0, 1]]).mean()
    assert_close(SparseCategoricalCrossentropy()(labels, y_pred), expected, "float32")
    accuracy = SparseCategoricalAccuracy()
    accuracy.update_state(labels, np.eye(4)[[2, 0, 3]])
    assert accuracy.result() == 2 / 3


def test_losses_and_metrics_do_not_change_their_arguments(rng):
    y_pred = softmax(rng.standard_normal((3, 4)).astype(np.float32))
    labels = np.array([3, 2, 0], np.intp)
    before = y_pred.copy(), labels.copy()
    for from_logits in (True, False):
        SparseCategoricalCrossentropy(from_logits)(labels, y_pred)
    minicnn.metrics.SparseCategoricalAccuracy().update_state(labels, y_pred)
    np.testing.assert_array_equal(y_pred, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_names_of_losses_and_metrics():
    model = Sequential([Input((2,)), Dense(2)])
    model.compile("sgd", SPARSE, metrics=["accuracy", SPARSE.replace("crossentropy", "accuracy")])
    assert model.loss.from_logits is False
    assert model.loss.name == SPARSE
    names = [metric.name for metric in model.metrics]
    assert names == ["accuracy", "sparse_categorical_accuracy"]
