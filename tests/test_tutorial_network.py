"""The tutorial's network on MNIST: size, steps and accuracy, compared with Keras."""

import numpy as np
import pytest

import minicnn
from minicnn import datasets
from minicnn.data import AUTOTUNE, Dataset
from tests.promises.training import RELATIVE, batches, keras_step, pair, training
from tests.tolerances import assert_close
from tests.twins import SPARSE, tutorial_network


@pytest.fixture(scope="module")
def mnist():
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data()
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    x_train = x_train.reshape((60000, 28, 28, 1)) / np.float32(255)
    return (x_train, y_train), (x_test.reshape((10000, 28, 28, 1)) / np.float32(255), y_test)


def test_every_layer_has_the_parameters_and_shapes_of_keras(keras):
    ours, theirs = pair(keras, "adam")
    counts = [layer.count_params() for layer in ours.layers]
    assert counts == [layer.count_params() for layer in theirs.layers]
    assert counts == [832, 0, 51_264, 0, 0, 200_768, 650]
    assert ours.count_params() == theirs.count_params() == 253_514
    shapes = [(None, *layer.output_shape(layer.input_shape)) for layer in ours.layers]
    assert shapes == [layer.output.shape for layer in theirs.layers]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]


@pytest.mark.parametrize(
    ("size", "steps"), [(8, 60), pytest.param(32, 100, marks=pytest.mark.full)]
)
def test_promise_7_the_losses_of_all_steps_are_those_of_keras(keras, mnist, size, steps):
    # Gradient descent does not magnify rounding errors. Adam divides small gradients by their own
    # size, and so magnifies their rounding errors: two runs of Keras that differ in the order of
    # images within a batch may differ by 7 % after 100 such steps. Hence the next test.
    ours, theirs = pair(keras, "sgd")
    (x, y), _ = mnist
    expected = [keras_step(theirs, x[part], y[part]) for part in batches(size)[:steps]]
    n = size * steps
    history = ours.fit(x[:n], y[:n], batch_size=size, shuffle=False, verbose=0)
    losses = np.array(history.batches["loss"])
    assert losses.shape == (steps,)
    assert np.abs(losses / expected - 1).max() < RELATIVE
    assert losses[-10:].mean() < 0.97 * losses[:10].mean()  # the network learns


def by_filter(array):
    """The norm of the part of each filter, unit or bias."""
    return np.linalg.norm(array.reshape(-1, array.shape[-1]), axis=0)


def test_promise_7_each_of_100_steps_of_adam_is_that_of_keras(keras, mnist):
    # Every step starts from the weights that Keras has reached; the moments are minicnn's.
    ours, theirs = pair(keras, "adam")
    (x, y), _ = mnist
    losses, expected = [], []
    for part in batches(8):
        ours.set_weights(theirs.get_weights())
        losses.append(ours.train_on_batch(x[part], y[part])[0])
        expected.append(keras_step(theirs, x[part], y[part]))
    assert_close(losses, expected, "float32 gradient")
    # The moments hold the gradients of all steps. Where rounding, which depends on the processor,
    # changes the sign of a ReLU's input or the maximum of a window, one filter's gradient differs.
    for ours_m, keras_m in zip(ours.optimizer.state["m"], theirs.optimizer._momentums, strict=True):
        apart, size = by_filter(ours_m - keras_m.numpy()), by_filter(keras_m.numpy()).max()
        assert np.mean(apart > RELATIVE * size) <= 0.05
        assert apart.max() < 0.05 * size
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 3


def test_the_tutorials_200_steps_learn_to_read_digits(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    samples = Dataset.from_tensor_slices((x_train, y_train))
    ds = samples.shuffle(buffer_size=len(y_train)).repeat().batch(64).prefetch(buffer_size=AUTOTUNE)
    model = tutorial_network(minicnn, minicnn.layers)
    model.compile(optimizer="adam", loss=SPARSE, metrics=["accuracy"])
    history = model.fit(ds, epochs=20, steps_per_epoch=10, verbose=0)
    assert history.params == {"verbose": 0, "epochs": 20, "steps": 10}
    assert history.epoch == list(range(20))
    assert [len(history.history[name]) for name in ("accuracy", "loss")] == [20, 20]
    assert model.optimizer.iterations == len(history.batches["loss"]) == 200
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert accuracy >= 0.95  # the notebook has 0.965
    assert loss < 0.2


@pytest.mark.full
def test_promise_7_training_follows_keras(keras):
    outcome = training()
    assert outcome.kept, outcome.figure
